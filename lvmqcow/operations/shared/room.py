"""More room for an image that found none while a step wrote to it.

An LV holds what the fully allocated image needs, and that can be too little: a guest that discarded and rewrote, or a
commit that freed clusters, leaves holes, and QEMU wants contiguous clusters for one request. So whoever runs a plan
(`lvmqcow.engine.run_plan`) and is told that there is no space

1. extends the LV that the step writes to
2. makes of the image what it was: a rebase may have named its new backing image, a commit have left clusters leaked
3. runs the step again

and again, until it is done or the volume group has no extents left. A cut leaves what a cut inside the step does, and
an LV that is larger than its image needs, which harms nothing.

For LVM's own steps there is nothing to be done: the plan had seen the extents, and somebody else took them since.
"""

from __future__ import annotations

from typing import assert_never

from lvmqcow.core.model import LogicalVolume, VolumeGroup
from lvmqcow.core.names import Format
from lvmqcow.errors import CommandFailed
from lvmqcow.operations.shared.common import require_space
from lvmqcow.steps.all import (
    DeviceStep,
    ImageCopy,
    ImageExport,
    ImageReceive,
    ImageSend,
    ImageWrite,
    LvCreate,
    LvExtend,
    LvmStep,
    LvZero,
    QcowCommit,
    QcowCreate,
    QcowRebase,
    QcowRelink,
    QcowRepairLeaks,
    QcowResize,
    RangeStep,
    Step,
)

__all__ = ["more_room", "written_lv"]

_PART = 16
"""An LV grows by one of so many parts of itself: a step that is run again has all to do again, so not by an extent."""


def more_room(vg: VolumeGroup, step: Step, failed: CommandFailed) -> tuple[Step, ...]:
    """What lets a step that failed be run again; nothing where it did not fail for want of space.

    Raises:
        NoSpace: the volume group has no extents for it.
    """
    lv = vg.lv(written_lv(vg, step) or "")
    if isinstance(step, LvCreate):
        require_space(vg, step.size_bytes)
    elif isinstance(step, LvExtend):
        if lv:
            require_space(vg, step.size_bytes - lv.size_bytes, lv)
    elif lv and failed.no_space:
        return (_extended(vg, lv), *_as_it_was(step, lv))
    return ()


def written_lv(vg: VolumeGroup, step: Step) -> str | None:
    """The LV in which a step takes space for an image, if it may be run again. An empty image fits into every LV."""
    if isinstance(step, LvmStep | DeviceStep | RangeStep):
        return step.lv if isinstance(step, LvExtend) else None
    match step:
        case QcowCommit():
            lv = vg.lv(step.lv)
            return lv.recorded_parent if lv else None
        case QcowRebase() | QcowResize():
            return step.lv
        case ImageWrite() | ImageCopy():  # a raw volume would only become larger
            return step.lv if step.format is Format.QCOW2 else None
        case ImageReceive():  # what the stream gave before is gone
            return None
        case LvZero() | QcowCreate() | QcowRelink() | QcowRepairLeaks() | ImageExport() | ImageSend():
            return None
        case _:
            assert_never(step)


def _extended(vg: VolumeGroup, lv: LogicalVolume) -> LvExtend:
    require_space(vg, vg.extent_size_bytes, lv)
    extents = min(vg.room_extents(lv), max(1, lv.size_bytes // _PART // vg.extent_size_bytes))
    return LvExtend(lv.name, lv.size_bytes + extents * vg.extent_size_bytes)


def _as_it_was(step: Step, lv: LogicalVolume) -> tuple[Step, ...]:
    """The index names what a rebased image read through: it is written anew after the rebase."""
    if isinstance(step, LvmStep | DeviceStep | RangeStep):
        return ()
    match step:
        case QcowRebase():
            parent = lv.recorded_parent
            return (QcowRelink(lv.name, parent), QcowRepairLeaks(lv.name)) if parent else ()
        case QcowCommit():
            return (QcowRepairLeaks(lv.name),)
        case QcowResize() | ImageWrite() | ImageCopy():  # the same again does what is left
            return ()
        case LvZero() | QcowCreate() | QcowRelink() | QcowRepairLeaks() | ImageReceive() | ImageExport() | ImageSend():
            return ()  # `written_lv` names no LV of theirs
        case _:
            assert_never(step)
