"""A plan: what an operation will do, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from lvmqcow.core.names import VolumeName
from lvmqcow.core.qcow2 import Measure
from lvmqcow.operations.shared.outcomes import commit_point, never_commits, require_told
from lvmqcow.steps.all import (
    DeviceClear,
    DeviceRemove,
    ImageCopy,
    ImageExport,
    ImageReceive,
    ImageSend,
    ImageWrite,
    LinkRemove,
    LvActivate,
    LvAutoactivation,
    LvCreate,
    LvDeactivate,
    LvDiscardRange,
    LvExtend,
    LvPermission,
    LvRefresh,
    LvRemove,
    LvRename,
    LvTag,
    LvZero,
    LvZeroRange,
    NodeRemove,
    Permission,
    QcowCommit,
    QcowCreate,
    QcowRebase,
    QcowRelink,
    QcowRepairLeaks,
    QcowResize,
    Step,
)

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
        return self.still.union(lv for step in self.steps for lv in _disturbed(step))

    def outcome(self, done: int) -> str:
        """What recovery makes of a cut after ``done`` steps: ``undoes``, ``finishes``, or nothing where it need not."""
        if never_commits(self.operation):
            return ""
        return "finishes" if done >= self.commit_point else "undoes"


def _disturbed(step: Step) -> tuple[str, ...]:
    match step:
        case LvCreate() | LvTag() | LvExtend() | LvActivate() | LvRefresh() | LvAutoactivation():
            return ()
        case DeviceClear() | NodeRemove() | LinkRemove():
            return ()
        case ImageExport() | ImageSend():
            return ()
        case LvRemove() | LvDeactivate():
            return step.lvs
        case LvPermission():
            return () if step.permission is Permission.WRITE else (step.lv,)
        case DeviceRemove() | LvRename() | LvZero() | LvZeroRange() | LvDiscardRange():
            return (step.lv,)
        case QcowCreate() | QcowCommit() | QcowRebase() | QcowRelink() | QcowRepairLeaks() | QcowResize():
            return (step.lv,)
        case ImageWrite() | ImageCopy() | ImageReceive():
            return (step.lv,)
        case _:
            assert_never(step)
