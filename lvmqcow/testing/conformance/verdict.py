"""A verdict: what was verified, what was tried, and each finding with its facts.

The report formats (text, JSON, JUnit, HTML) show a `Verdict` and know nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, assert_never

from lvmqcow.errors import UnfitMachine

__all__ = ["Finding", "Json", "Layer", "Outcome", "Status", "SuiteResult", "Tried", "Verdict"]

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""A value that JSON can hold."""

_LOST: Final = 1


class Outcome(StrEnum):
    """What became of one operation that was tried."""

    HELD = "held"
    """It succeeded, or it was disturbed and recovered, and everything holds what it should."""
    REFUSED = "refused"
    """It ended with a named error, and nothing was lost."""
    LOST = "lost"
    """Something is lost, wrong or left over. A finding says what."""


class Status(StrEnum):
    """What a suite, or a whole verification, says."""

    HELD = "held"
    FAILED = "failed"
    NOT_PROVED = "not proved"
    """It did not run, or it tried nothing. It is never counted as held."""


@dataclass(frozen=True)
class Tried:
    """One cell of the matrix: how often an operation was disturbed in one way, with one outcome."""

    operation: str
    """``snapshot``, ``delete_snapshot``, …"""
    disturbance: str
    """``none``, ``cut after a step``, ``killed inside a step``, ``EIO on write``, …"""
    outcome: Outcome
    count: int


@dataclass(frozen=True)
class Layer:
    """One layer of a volume, as a report draws it."""

    volume: str
    name: str | None
    """The snapshot; None is the current layer."""
    lv: str
    parent: str | None
    """The LV that it reads through."""
    size_bytes: int
    """The virtual size."""


@dataclass(frozen=True)
class Finding:
    """Something that does not hold."""

    suite: str
    operation: str
    disturbance: str
    what: str
    """One sentence: what is lost, wrong or left over."""
    expected: str
    found: str
    reproduce: str
    """The command line that shows it again."""
    trace: tuple[Mapping[str, Json], ...] = ()
    """The shortest sequence that shows it: a header, then one operation each. `lvmqcow verify --replay` runs it."""
    commands: tuple[str, ...] = ()
    """The external commands of the last operation, in order."""
    before: tuple[Layer, ...] = ()
    """All layers before the last operation."""
    after: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class SuiteResult:
    """What one suite tried and found."""

    name: str
    about: str
    """One line: what the suite does."""
    seconds: float
    why_not: str | None = None
    """Why the suite could not run here; None if it ran."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How much was tried: ``sequences``, ``operations``, ``cuts``, ``kills``, …"""
    tried: tuple[Tried, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def status(self) -> Status:
        if self.findings:
            return Status.FAILED
        return Status.HELD if self.why_not is None and any(self.counts.values()) else Status.NOT_PROVED


@dataclass(frozen=True)
class Verdict:
    """The answer of one verification."""

    subject: str
    """What was judged: ``lvmqcow 0.1.0``, or the name of a driver or a specimen."""
    place: str
    """``real`` or ``simulated``."""
    seed: int
    started: str
    """ISO 8601, with the time zone."""
    seconds: float
    command: str
    """The command line, so that somebody else can repeat it."""
    versions: Mapping[str, str]
    """``lvmqcow``, ``python``, ``kernel``, ``lvm2``, ``device-mapper``, ``qemu``; "not used" where nothing used it."""
    suites: tuple[SuiteResult, ...]

    @property
    def status(self) -> Status:
        statuses = {suite.status for suite in self.suites}
        if Status.FAILED in statuses:
            return Status.FAILED
        return Status.HELD if Status.HELD in statuses else Status.NOT_PROVED

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for suite in self.suites for finding in suite.findings)

    @property
    def not_proved(self) -> tuple[SuiteResult, ...]:
        return tuple(suite for suite in self.suites if suite.status is Status.NOT_PROVED)

    @property
    def exit_status(self) -> int:
        """0: everything that ran held. 1: something does not hold. 16: nothing could be run."""
        match self.status:
            case Status.HELD:
                return 0
            case Status.FAILED:
                return _LOST
            case Status.NOT_PROVED:
                return UnfitMachine.exit_status
            case _:
                assert_never(self.status)
