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

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume
from lvmqcow.errors import CommandFailed
from lvmqcow.operations.shared.allocation import require_space
from lvmqcow.steps import LvCreate, LvExtend, Step

__all__ = ["more_room"]

_PART = 16
"""An LV grows by one of so many parts of itself: a step that is run again has all to do again, so not by an extent."""


def more_room(vg: VolumeGroup, step: Step, failed: CommandFailed) -> tuple[Step, ...]:
    """What lets a step that failed be run again; nothing where it did not fail for want of space.

    Raises:
        NoSpace: the volume group has no extents for it.
    """
    if isinstance(step, LvCreate):
        require_space(vg, step.size_bytes)
    elif isinstance(step, LvExtend):
        if lv := vg.lv(step.lv):
            require_space(vg, step.size_bytes - lv.size_bytes, lv)
    elif failed.no_space and step.fills and (lv := vg.lv(step.fills)):
        return (_extended(vg, lv), *step.mend)
    return ()


def _extended(vg: VolumeGroup, lv: LogicalVolume) -> LvExtend:
    require_space(vg, vg.extent_size_bytes, lv)
    extents = min(vg.room_extents(lv), max(1, lv.size_bytes // _PART // vg.extent_size_bytes))
    return LvExtend(lv.name, lv.size_bytes + extents * vg.extent_size_bytes)
