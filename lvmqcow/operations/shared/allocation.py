"""How large a logical volume has to be, and whether LVM has the room.

Volumes are not thin: an LV is as large as its fully allocated image. Only `Allocation` computes these sizes.
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
    """Computes the sizes of LVs in a volume group. ``measure`` returns the size of a fully allocated qcow2 image."""

    vg: VolumeGroup
    measure: Measure

    def lv_bytes(self, format: Format, virtual_size_bytes: int, options: ImageOptions = OURS) -> int:
        """Return how many bytes an LV must have for a disk of that virtual size."""
        return self.measure(virtual_size_bytes, options) if format is Format.QCOW2 else virtual_size_bytes

    def new_lv_bytes(self, format: Format, virtual_size_bytes: int) -> int:
        """Return the size in bytes of a new LV for a disk of that virtual size, in whole extents.

        Raises:
            NoSpace: LVM has too few extents.
            NotPossible: the volume group has reached its limit of LVs.
        """
        size_bytes = whole_extents(self.lv_bytes(format, virtual_size_bytes), self.vg.extent_size_bytes)
        require_lv_slot(self.vg)
        require_space(self.vg, size_bytes)
        return size_bytes

    def extend_steps(self, layer: Layer, size_bytes: int) -> tuple[LvExtend, ...]:
        """Return the step that extends a layer's LV to ``size_bytes``; empty if the LV is large enough.

        Raises:
            NoSpace: LVM has too few extents.
        """
        wanted = whole_extents(size_bytes, self.vg.extent_size_bytes)
        if wanted <= layer.lv.size_bytes:
            return ()
        require_space(self.vg, wanted - layer.lv.size_bytes, layer.lv)
        return (LvExtend(layer.lv.name, wanted),)


def require_space(vg: VolumeGroup, size_bytes: int, lv: LogicalVolume | None = None) -> None:
    """Check that LVM has extents for ``size_bytes``: for a new LV, or for ``lv`` to grow by. Raises NoSpace."""
    needed, room = extents(size_bytes, vg.extent_size_bytes), vg.room_extents(lv)
    if needed > room:
        policy = vg.allocation_policy if needed <= vg.free_extents else ""
        raise NoSpace(vg.name, needed * vg.extent_size_bytes, room * vg.extent_size_bytes, policy)
