"""A plan: the steps of an operation as data, and its commit point."""

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
    """The commit point of an operation. Recovery undoes a cut before it and finishes a cut after it.

    The operation commits with the first step for which ``by`` returns True. ``extended``: if the next step extends an
    LV, the operation commits with that one.
    """

    by: Callable[[Step], bool]
    extended: bool = False


def writing(*intents: type[Intent]) -> Callable[[Step], bool]:
    """Return a test for the step that writes one of these intents."""
    return lambda step: isinstance(step, LvTag) and any(intent.among(step.add) for intent in intents)


def dropping(intent: type[Intent]) -> Callable[[Step], bool]:
    """Return a test for the step that drops the intent."""
    return lambda step: isinstance(step, LvTag) and intent.among(step.drop) is not None


def renaming(step: Step) -> bool:
    """Return whether the step renames an LV."""
    return isinstance(step, LvRename)


def _nothing(step: Step) -> bool:
    return False


NEVER: Final = Commit(_nothing)
"""The commit point of an operation that changes neither content nor name of a volume: nothing has to be recovered."""
HAPPENED: Final = Commit(_nothing)
"""The commit point of a recovery: it lies before the first step."""


@dataclass(frozen=True)
class Plan:
    """The steps of one operation on one volume.

    ``other_names`` are those of other volumes that the plan concerns, and the new name of a volume that gets one.
    ``must_not_change`` are LVs that the plan reads, so no program may write to them. ``if_it_fails`` are steps to run
    if a step fails, for a plan that leaves nothing to recover.
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
        """How many steps lead up to and include the commit point. If no step commits, all steps count."""
        if self.recovers:
            return 0
        at = next((number for number, step in enumerate(self.steps, 1) if self.commit.by(step)), len(self.steps))
        extended = self.commit.extended and isinstance(next(iter(self.steps[at : at + 1]), None), LvExtend)
        return at + 1 if extended else at

    @property
    def recovers(self) -> bool:
        """Whether the plan is a recovery."""
        return self.commit is HAPPENED

    @property
    def names(self) -> frozenset[VolumeName]:
        """The volume names that the plan concerns."""
        return frozenset({self.volume, *self.other_names})

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """The external commands, in order."""
        return tuple(step.argv(self.vg) for step in self.steps)

    @property
    def disturbed(self) -> frozenset[str]:
        """The LVs that no program may use while the plan runs: their content or name changes, or must not change."""
        return self.must_not_change.union(lv for step in self.steps for lv in step.disturbs)

    def outcome(self, done: int) -> str:
        """Return what recovery does after a cut behind ``done`` steps: ``undoes``, ``finishes``; empty: nothing."""
        if self.commit is NEVER:
            return ""
        return "finishes" if done >= self.commit_point else "undoes"
