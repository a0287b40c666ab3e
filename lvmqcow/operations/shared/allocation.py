"""How large a logical volume has to be, and whether LVM has the room.

Volumes are thick: an LV holds all that its image can grow to. `Allocation` is the one place that says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from lvmqcow.core.fitness import require_lv_slot
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume
from lvmqcow.core.names import Format
from lvmqcow.core.qcow2 import OURS, ImageOptions, Measure
from lvmqcow.core.sizing import extents, whole_extents
from lvmqcow.core.volume import Layer
from lvmqcow.errors import NoSpace
from lvmqcow.steps import LvExtend

__all__ = ["Allocation", "require_space"]


@dataclass(frozen=True)
class Allocation:
    """The sizes of LVs in a volume group. ``measure`` says how large a fully allocated qcow2 image gets."""

    vg: VolumeGroup
    measure: Measure

    def lv_bytes(self, format: Format, virtual_size_bytes: int, options: ImageOptions = OURS) -> int:
        """What an LV has to hold for a disk of that size, as its guest sees it."""
        return self.measure(virtual_size_bytes, options) if format is Format.QCOW2 else virtual_size_bytes

    def new_lv_bytes(self, format: Format, virtual_size_bytes: int) -> int:
        """The size of a new LV for such a disk, in whole extents.

        Raises:
            NoSpace: LVM has no extents for it.
            NotPossible: the volume group may have no more LVs.
        """
        size_bytes = whole_extents(self.lv_bytes(format, virtual_size_bytes), self.vg.extent_size_bytes)
        require_lv_slot(self.vg)
        require_space(self.vg, size_bytes)
        return size_bytes

    def extend_steps(self, layer: Layer, size_bytes: int) -> tuple[LvExtend, ...]:
        """The step that makes a layer's LV hold ``size_bytes``; none where the LV does already.

        Raises:
            NoSpace: the volume group cannot give the extents.
        """
        wanted = whole_extents(size_bytes, self.vg.extent_size_bytes)
        if wanted <= layer.lv.size_bytes:
            return ()
        require_space(self.vg, wanted - layer.lv.size_bytes, layer.lv)
        return (LvExtend(layer.lv.name, wanted),)


def require_space(vg: VolumeGroup, size_bytes: int, lv: LogicalVolume | None = None) -> None:
    """Raises NoSpace unless LVM has extents for ``size_bytes``: for a new LV, or for ``lv`` to grow by."""
    needed, room = extents(size_bytes, vg.extent_size_bytes), vg.room_extents(lv)
    if needed > room:
        policy = vg.allocation_policy if needed <= vg.free_extents else ""
        raise NoSpace(vg.name, needed * vg.extent_size_bytes, room * vg.extent_size_bytes, policy)
