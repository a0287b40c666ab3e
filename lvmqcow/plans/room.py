"""More room for an image that found none while a step wrote to it.

An LV holds what the fully allocated image needs, and that can be too little: a guest that discarded and rewrote, or a
commit that freed clusters, leaves holes, and QEMU wants contiguous clusters for one request. So whoever runs a plan
(`lvmqcow.runner`) and is told that there is no space

1. extends the LV that the step writes to
2. makes of the image what it was: a rebase may have named its new backing image, a commit have left clusters leaked
3. runs the step again

and again, until it is done or the volume group has no extents left. A cut leaves what a cut inside the step does, and
an LV that is larger than its image needs, which harms nothing.

For LVM's own steps there is nothing to be done: the plan had seen the extents, and somebody else took them since.
"""

from __future__ import annotations

from lvmqcow.errors import CommandFailed
from lvmqcow.model import LogicalVolume, VolumeGroup
from lvmqcow.names import Format
from lvmqcow.plans.common import require_space
from lvmqcow.steps import (
    ImageCopy,
    ImageWrite,
    LvCreate,
    LvExtend,
    QcowCommit,
    QcowRebase,
    QcowRelink,
    QcowRepairLeaks,
    QcowResize,
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
    match step:
        case LvCreate():
            require_space(vg, step.size_bytes)
        case LvExtend() if lv:
            require_space(vg, step.size_bytes - lv.size_bytes, lv)
        case _ if lv and failed.no_space:
            return (_extended(vg, lv), *_as_it_was(step, lv))
    return ()


def written_lv(vg: VolumeGroup, step: Step) -> str | None:
    """The LV in which a step takes space for an image, if it may be run again. An empty image fits into every LV."""
    match step:
        case QcowCommit():
            lv = vg.lv(step.lv)
            return lv.recorded_parent if lv else None
        case LvExtend() | QcowRebase() | QcowResize():
            return step.lv
        case ImageWrite() | ImageCopy() if step.format is Format.QCOW2:  # a raw volume would only become larger
            return step.lv
        case _:
            return None


def _extended(vg: VolumeGroup, lv: LogicalVolume) -> LvExtend:
    require_space(vg, vg.extent_size_bytes, lv)
    extents = min(vg.room_extents(lv), max(1, lv.size_bytes // _PART // vg.extent_size_bytes))
    return LvExtend(lv.name, lv.size_bytes + extents * vg.extent_size_bytes)


def _as_it_was(step: Step, lv: LogicalVolume) -> tuple[Step, ...]:
    """The index names what a rebased image read through: it is written anew after the rebase."""
    match step:
        case QcowRebase() if lv.recorded_parent:
            return (QcowRelink(lv.name, lv.recorded_parent), QcowRepairLeaks(lv.name))
        case QcowCommit():
            return (QcowRepairLeaks(lv.name),)
        case _:
            return ()
