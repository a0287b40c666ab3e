"""Run a verification: processes on this machine for simulated volume groups, and in the lab for real ones.

Each process writes its verdict to its stdout. So nothing has to be shared with the lab, whose files are thrown away.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import IO, Final

from lvmqcow.errors import CommandFailed, InvalidRequest
from lvmqcow.lab import lab_kind, probe
from lvmqcow.testing.conformance.suite import Place, Suite
from lvmqcow.testing.conformance.trace import parse_trace
from lvmqcow.testing.conformance.verdict import Verdict
from lvmqcow.testing.drivers.suites import driver_suites
from lvmqcow.testing.real_group import needs_real_groups
from lvmqcow.testing.report.json_report import merged, read_json
from lvmqcow.testing.specimens.registry import specimen
from lvmqcow.testing.suites.registry import SUITES, chosen
from lvmqcow.testing.verify.task import Task

__all__ = ["Asked", "verify"]

_LAB: Final = ("-m", "lvmqcow.lab", "run", "--memory", "2G", "--")


@dataclass(frozen=True)
class Asked:
    """What is asked of a verification."""

    suites: tuple[str, ...] = ()
    """Their names; none means all."""
    place: Place | None = None
    """None means both."""
    budget_seconds: float = 600
    seed: int = 0
    jobs: int = 1
    only: str | None = None
    specimen: str | None = None
    driver: str | None = None
    """The command of a driver to judge instead of lvmqcow."""
    replay: Path | None = None
    """A trace to replay instead of running suites."""
    here: bool = False
    """Whether real volume groups are made on this machine only, never in the lab."""
    command: str = "lvmqcow verify"


def verify(asked: Asked, progress: Callable[[str], None] = lambda text: None) -> Verdict:
    """Run the suites that are asked for; returns one verdict of all processes.

    Raises:
        InvalidRequest: there is no such suite.
        CommandFailed: a process ended without a verdict.
    """
    if asked.specimen:
        specimen(asked.specimen)
    if asked.replay:
        trace = _read(asked.replay)
        place = asked.place or Place(parse_trace(trace.splitlines()).world)
        return replace(
            merged(_verdicts(asked, place, (), asked.budget_seconds, progress, trace)), command=asked.command
        )
    wanted = chosen(asked.suites, asked.place, driver_suites(asked.driver) if asked.driver else SUITES)
    verdicts = []
    for place in Place:
        suites = [suite for suite in wanted if suite.place is place]
        if suites:
            budget_seconds = asked.budget_seconds * len(suites) / len(wanted)
            verdicts += _verdicts(asked, place, suites, budget_seconds, progress)
    return merged(verdicts)


def _verdicts(
    asked: Asked,
    place: Place,
    suites: Sequence[Suite],
    budget_seconds: float,
    progress: Callable[[str], None],
    trace: str | None = None,
) -> list[Verdict]:
    task = Task(
        suites=tuple(suite.name for suite in suites),
        place=place.value,
        budget_seconds=budget_seconds,
        seed=asked.seed,
        shares=1 if asked.only or trace else asked.jobs,
        only=asked.only,
        specimen=asked.specimen,
        driver=asked.driver,
        trace=trace,
        command=asked.command,
    )
    program = [sys.executable, "-P"]
    if place is Place.REAL and not asked.here and needs_real_groups() is not None and lab_kind(probe()) is not None:
        program += [*_LAB, sys.executable, "-P"]
    with tempfile.TemporaryDirectory(prefix="lvmqcow-verify-") as directory, ExitStack() as running:
        workers = [
            running.enter_context(_Worker(program, replace(task, share=share), Path(directory), progress))
            for share in range(task.shares)
        ]
        return [worker.verdict() for worker in workers]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the trace {path} cannot be read: {error}") from error


class _Worker:
    """A process of a verification. It is ended with the block."""

    def __init__(self, program: Sequence[str], task: Task, directory: Path, progress: Callable[[str], None]) -> None:
        self._file = directory / f"{task.place}-{task.share}.json"
        self._last = ""
        argv = self._argv = (*program, "-m", "lvmqcow.testing.verify.worker", task.dumped())
        with self._file.open("wb") as out:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, text=True, env=_environment()
            )
        self._reader = Thread(target=self._read, args=(self._process.stderr, progress))
        self._reader.start()

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        self._reader.join()

    def verdict(self) -> Verdict:
        """Wait for the process, and return its verdict. Raises CommandFailed."""
        status = self._process.wait()
        self._reader.join()
        if status:
            raise CommandFailed(self._argv, status, self._last)
        return read_json(self._file)

    def _read(self, lines: IO[str] | None, progress: Callable[[str], None]) -> None:
        for line in _stripped(lines):
            self._last = line
            progress(line)


def _stripped(lines: IO[str] | None) -> Iterator[str]:
    for line in lines or ():
        if line.strip():
            yield line.strip()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1"}
