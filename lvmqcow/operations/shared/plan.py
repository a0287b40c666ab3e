"""A plan: what an operation will do, as data."""

from __future__ import annotations

from dataclasses import dataclass

from lvmqcow.core.names import VolumeName
from lvmqcow.core.qcow2 import Measure
from lvmqcow.operations.shared.outcomes import commit_point, never_commits, require_told
from lvmqcow.steps import Step

__all__ = ["Measure", "Plan"]


@dataclass(frozen=True)
class Plan:
    """The steps of one operation on one volume.

    ``beside`` is the volume's other name, where it is being renamed or converted. ``still`` are the LVs that are read
    and must not change meanwhile.
    """

    operation: str
    vg: str
    volume: VolumeName
    steps: tuple[Step, ...]
    beside: VolumeName | None = None
    still: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        require_told(self.operation)

    @property
    def target(self) -> str:
        return f"{self.vg}/{self.volume}"

    @property
    def commit_point(self) -> int:
        """After how many steps the operation has happened: recovery undoes a cut before it, and finishes one after."""
        return commit_point(self.operation, self.steps)

    @property
    def names(self) -> frozenset[VolumeName]:
        """Every volume name that the plan touches."""
        return frozenset({self.volume, self.beside or self.volume})

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """The external commands, in order."""
        return tuple(step.argv(self.vg) for step in self.steps)

    @property
    def disturbed(self) -> frozenset[str]:
        """The LVs that nobody may use meanwhile: their bytes change or must not change, or whose they are changes."""
        return self.still.union(lv for step in self.steps for lv in step.disturbs)

    def outcome(self, done: int) -> str:
        """What recovery makes of a cut after ``done`` steps: ``undoes``, ``finishes``, or nothing where it need not."""
        if never_commits(self.operation):
            return ""
        return "finishes" if done >= self.commit_point else "undoes"
