"""Suites: what is tried, within a budget, and what came of it.

A suite is a list of trials. Each has a name, by which it can be repeated alone. One class runs all of them, so that
`lvmqcow verify`, pytest and a consumer's test run the same code.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Final

from lvmqcow.errors import LvmqcowError
from lvmqcow.testing.conformance.implementation import OURS, Implementation
from lvmqcow.testing.conformance.verdict import Finding, Outcome, SuiteResult, Tried
from lvmqcow.testing.conformance.violation import Violation

__all__ = ["MOST_FINDINGS", "Budget", "Came", "Place", "Suite", "Surroundings", "Trial", "run_suite"]

MOST_FINDINGS: Final = 10
"""How many findings a suite reports before it stops. More of the same helps nobody."""


class Place(StrEnum):
    """Where a suite runs."""

    REAL = "real"
    """Volume groups on sparse files, with lvm2, QEMU and device-mapper."""
    SIMULATED = "simulated"
    """Volume groups in memory."""


class Budget:
    """Seconds that may be used."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def is_over(self) -> bool:
        """Return whether the time is over."""
        return time.monotonic() >= self._end


@dataclass(frozen=True)
class Surroundings:
    """What a suite may use."""

    directory: Path
    """An empty directory for its files."""
    seed: int = 0
    implementation: Implementation = OURS
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass
class Came:
    """What came of a trial."""

    counts: Counter[str] = field(default_factory=Counter)
    cells: Counter[tuple[str, str, Outcome]] = field(default_factory=Counter)
    """By operation, what was done to it, and outcome."""
    findings: list[Finding] = field(default_factory=list)

    def add(self, operation: str, disturbance: str, outcome: Outcome = Outcome.HELD, count: int = 1) -> None:
        """Count something that was tried."""
        self.cells[operation, disturbance, outcome] += count

    def include(self, other: Came) -> None:
        """Add what came of another trial."""
        self.counts += other.counts
        self.cells += other.cells
        self.findings += other.findings


Trial = Callable[[str], Came]
"""Carries out the trial of a name. Raises AssertionError or LvmqcowError: it found something."""


@dataclass(frozen=True)
class Suite:
    """One way to try an implementation."""

    name: str
    about: str
    """One line: what it does."""
    place: Place
    disturbance: str
    """What it does to an operation, for the matrix."""
    needs: Callable[[], str | None]
    """Why it cannot run on this machine; None if it can."""
    trials: Callable[[Random], Iterable[str]]
    """The names of its trials, in the order to try them; the list may be endless."""
    opened: Callable[[Surroundings], AbstractContextManager[Trial]]
    """Prepares what all trials use, and removes it at the end."""
    operation: Callable[[str], str] = field(default=lambda trial: trial)
    """The operation that a trial tries, for the matrix."""


def run_suite(
    suite: Suite,
    surroundings: Surroundings,
    budget: Budget,
    only: str | None = None,
    progress: Callable[[str], None] = lambda text: None,
    share: tuple[int, int] = (0, 1),
    most_findings: int = MOST_FINDINGS,
) -> SuiteResult:
    """Run a suite until its budget is over; returns what it tried and found.

    ``only`` names the one trial to run. ``share`` is the number of this process, and of all that divide the trials.
    """
    begun = time.monotonic()
    empty = SuiteResult(f"{suite.name}, {suite.place}", suite.about, 0)
    reason = suite.needs()
    if reason is not None:
        return replace(empty, why_not=reason)
    came = Came()
    with suite.opened(surroundings) as trial:
        for name in _names(suite, surroundings.seed, only, share):
            if budget.is_over() and came.counts:
                break
            progress(f"{suite.name}: {name}")
            came.include(_tried(suite, trial, name, surroundings))
            came.counts["trials"] += 1
            if len(came.findings) >= most_findings:
                break
    tried = tuple(Tried(*cell, count) for cell, count in sorted(came.cells.items()))
    return replace(
        empty,
        seconds=time.monotonic() - begun,
        counts=dict(sorted(came.counts.items())),
        tried=tried,
        findings=tuple(came.findings),
    )


def _names(suite: Suite, seed: int, only: str | None, share: tuple[int, int]) -> Iterator[str]:
    if only is not None:
        yield only
        return
    mine, all_shares = share
    for number, name in enumerate(suite.trials(Random(seed))):
        if number % all_shares == mine:
            yield name


def _tried(suite: Suite, trial: Trial, name: str, surroundings: Surroundings) -> Came:
    try:
        return trial(name)
    except (AssertionError, LvmqcowError) as error:
        operation = suite.operation(name)
        came = Came()
        came.add(operation, suite.disturbance, Outcome.LOST)
        came.findings.append(_finding(suite, name, operation, error, surroundings))
        return came


def _finding(suite: Suite, name: str, operation: str, error: Exception, surroundings: Surroundings) -> Finding:
    what, expected, found = name, "no error", f"{type(error).__name__}: {error}"
    if isinstance(error, Violation):
        what, expected, found = error.what, error.expected, error.found
    subject = "" if surroundings.implementation.is_ours else f" --specimen {surroundings.implementation.name}"
    line = f"lvmqcow verify --on {suite.place} --suite {suite.name}{subject} --seed {surroundings.seed} --only '{name}'"
    return Finding(suite.name, operation, suite.disturbance, what, expected, found, line)
