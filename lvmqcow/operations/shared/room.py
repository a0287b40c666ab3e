"""More room for an image whose LV was full while a step wrote to it.

An LV is as large as its fully allocated image, and even that can be too little: a guest that discards and rewrites, or
a commit that frees clusters, leaves holes, and QEMU wants contiguous clusters for one request. If a step fails because
its LV is full, `lvmqcow.engine.run_plan`

1. extends the LV that the step writes to
2. restores the image: a rebase may have named its new backing file, and a commit may have leaked clusters
3. runs the step again

It repeats this until the step succeeds or the volume group has no extents left. A cut leaves the same as a cut inside
the step, and an LV that is larger than its image needs, which is harmless.

An LVM step that finds no space cannot be helped: another process took the extents after the plan was made.
"""

from __future__ import annotations

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume
from lvmqcow.errors import CommandFailed
from lvmqcow.operations.shared.allocation import require_space
from lvmqcow.steps import LvCreate, LvExtend, Step

__all__ = ["more_room"]

_PART = 16
"""An LV grows by this fraction of itself, not by one extent, because the step starts from its beginning each time."""


def more_room(vg: VolumeGroup, step: Step, failed: CommandFailed) -> tuple[Step, ...]:
    """Return the steps after which a failed step can run again; empty if it did not fail because its LV was full.

    Raises:
        NoSpace: the volume group has too few extents.
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
