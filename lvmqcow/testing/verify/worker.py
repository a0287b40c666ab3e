"""One process of a verification: ``python -m lvmqcow.testing.verify.worker TASK`` writes its verdict to stdout as JSON.

Its progress goes to stderr, one line for each trial.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from lvmqcow.testing.conformance.implementation import OURS, Implementation
from lvmqcow.testing.conformance.suite import MOST_FINDINGS, Budget, Place, Suite, Surroundings, run_suite
from lvmqcow.testing.conformance.trace import parse_trace
from lvmqcow.testing.conformance.verdict import Verdict
from lvmqcow.testing.drivers.suites import driver_suites
from lvmqcow.testing.report.json_report import document
from lvmqcow.testing.specimens.registry import specimen
from lvmqcow.testing.suites.registry import SUITES, chosen
from lvmqcow.testing.suites.sequences import replay_suite
from lvmqcow.testing.verify.task import Task
from lvmqcow.testing.verify.versions import versions

__all__ = ["MOST_DRIVER_FINDINGS", "run_task"]

MOST_DRIVER_FINDINGS = 100
"""Of a driver, more is of use: one defect must not hide the others."""


def run_task(task: Task) -> Verdict:
    """Run the suites of a task, one after the other. Time that a suite leaves goes to those after it.

    Raises:
        InvalidRequest: there is no such suite or specimen, or the trace is none.
    """
    place, begun, started = Place(task.place), time.monotonic(), datetime.now().astimezone()
    implementation = _implementation(task)
    if task.trace is not None:
        trace = parse_trace(task.trace.splitlines())
        suites: tuple[Suite, ...] = (replay_suite(trace, place),)
    else:
        suites = chosen(task.suites, place, driver_suites(task.driver) if task.driver else SUITES)
    results = []
    most = MOST_DRIVER_FINDINGS if task.driver else MOST_FINDINGS
    for number, suite in enumerate(suites):
        left_seconds = task.budget_seconds - (time.monotonic() - begun)
        budget = Budget(max(0.0, left_seconds) / (len(suites) - number))
        with tempfile.TemporaryDirectory(prefix="lvmqcow-verify-") as directory:
            surroundings = Surroundings(Path(directory), task.seed, implementation)
            share = (task.share, task.shares)
            results.append(run_suite(suite, surroundings, budget, task.only, _say, share, most))
    return Verdict(
        subject=task.driver or implementation.name,
        place=place.value,
        seed=task.seed,
        started=started.isoformat(timespec="seconds"),
        seconds=time.monotonic() - begun,
        command=task.command,
        versions=versions(place),
        suites=tuple(results),
    )


def _implementation(task: Task) -> Implementation:
    return specimen(task.specimen).implementation if task.specimen else OURS


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    print(json.dumps(document(run_task(Task.loaded(sys.argv[1])))))
