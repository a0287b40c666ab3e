"""A plan: what an operation will do, as data; and when it has happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lvmqcow.core.intents import Intent
from lvmqcow.core.names import VolumeName
from lvmqcow.core.qcow2 import Measure
from lvmqcow.steps import LvExtend, LvRename, LvTag, Step

__all__ = ["HAPPENED", "NEVER", "Commit", "Measure", "Plan", "dropping", "renaming", "writing"]


@dataclass(frozen=True)
class Commit:
    """When an operation has happened: with the first step that ``by`` tells; if an LV is extended next, after that.

    Recovery undoes a cut before it, and finishes one after it.
    """

    by: Callable[[Step], bool]
    extended: bool = False


def writing(*intents: type[Intent]) -> Callable[[Step], bool]:
    """Told by a step that writes one of these intents."""
    return lambda step: isinstance(step, LvTag) and any(intent.among(step.add) for intent in intents)


def dropping(intent: type[Intent]) -> Callable[[Step], bool]:
    """Told by the step that drops the intent."""
    return lambda step: isinstance(step, LvTag) and intent.among(step.drop) is not None


def renaming(step: Step) -> bool:
    """Told by the first LV that gets another name."""
    return isinstance(step, LvRename)


def _nothing(step: Step) -> bool:
    return False


NEVER: Final = Commit(_nothing)
"""Nothing that a volume holds or is called changes: a cut leaves nothing to recover."""
HAPPENED: Final = Commit(_nothing)
"""Of a recovery: what it is about has happened, or is undone, from the start."""


@dataclass(frozen=True)
class Plan:
    """The steps of one operation on one volume.

    ``other_names`` are those of other volumes that it is about, or the volume's new name where it gets one.
    ``must_not_change`` are the LVs that are read. ``if_it_fails`` are steps to try where one fails, of a plan that
    commits nothing.
    """

    operation: str
    vg: str
    volume: VolumeName
    steps: tuple[Step, ...]
    commit: Commit
    other_names: tuple[VolumeName, ...] = ()
    must_not_change: frozenset[str] = frozenset()
    if_it_fails: tuple[Step, ...] = ()

    @property
    def target(self) -> str:
        return f"{self.vg}/{self.volume}"

    @property
    def commit_point(self) -> int:
        """After how many steps the operation has happened. Where nothing commits, the last step counts."""
        if self.recovers:
            return 0
        at = next((number for number, step in enumerate(self.steps, 1) if self.commit.by(step)), len(self.steps))
        extended = self.commit.extended and isinstance(next(iter(self.steps[at : at + 1]), None), LvExtend)
        return at + 1 if extended else at

    @property
    def recovers(self) -> bool:
        """Whether it is a recovery of what was cut before."""
        return self.commit is HAPPENED

    @property
    def names(self) -> frozenset[VolumeName]:
        """Every volume name that the plan touches."""
        return frozenset({self.volume, *self.other_names})

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """The external commands, in order."""
        return tuple(step.argv(self.vg) for step in self.steps)

    @property
    def disturbed(self) -> frozenset[str]:
        """The LVs that nobody may use meanwhile: their bytes change or must not change, or whose they are changes."""
        return self.must_not_change.union(lv for step in self.steps for lv in step.disturbs)

    def outcome(self, done: int) -> str:
        """What recovery makes of a cut after ``done`` steps: ``undoes``, ``finishes``, or nothing where it need not."""
        if self.commit is NEVER:
            return ""
        return "finishes" if done >= self.commit_point else "undoes"
