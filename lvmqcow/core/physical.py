"""The physical volumes below a volume group, and how much of their free space LVM would give to an LV.

LVM does not allocate every free extent. It takes none from a physical volume that is missing or not allocatable, and
the allocation policy of the volume group (lvm(8), vgchange(8) ``--alloc``) may exclude others:

=====================  ===============================================  ===============================================
policy                 a new LV gets at most                            an LV grows by at most
=====================  ===============================================  ===============================================
normal, anywhere       all free extents                                 all free extents
contiguous             the largest run of free extents                  the free extents right behind one of its own
                                                                        segments
cling, cling_by_tags   the free extents of one physical volume, and     the free extents of the physical volumes that
                       of those that share a tag with it                it is on, and of those that share a tag with one
                                                                        of them
=====================  ===============================================  ===============================================

These are upper bounds. LVM's own settings (``allocation/cling_tag_list``) can lower them. So a request that we refuse
would have failed in LVM too. A request that we let pass may still fail, with LVM's message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["PhysicalVolume", "Segment", "allocatable_extents", "free_extents"]


@dataclass(frozen=True)
class Segment:
    """A run of extents of a physical volume. ``lv_uuid`` is the LV that has them; empty: they are free."""

    start_extent: int
    extents: int
    lv_uuid: str = ""


@dataclass(frozen=True)
class PhysicalVolume:
    """One physical volume as LVM reports it. ``device`` is its path, or ``[unknown]`` if it is missing.

    ``needed_bytes`` is where its last extent ends. ``device_bytes`` is the size of the device. ``read_only``: the
    device is read-only. ``duplicates`` are other devices with the same UUID, which LVM does not use. ``outdated``: its
    metadata is older than that of the volume group, because the group was changed while the device was not there.
    """

    uuid: str
    device: str
    segments: tuple[Segment, ...] = ()
    tags: frozenset[str] = frozenset()
    needed_bytes: int = 0
    device_bytes: int = 0
    allocatable: bool = True
    missing: bool = False
    read_only: bool = False
    duplicates: tuple[str, ...] = ()
    outdated: bool = False

    @property
    def name(self) -> str:
        """How a message names the physical volume: by its path, or by its UUID if it is missing."""
        return self.device if self.device.startswith("/") else f"the one with the UUID {self.uuid}"

    @property
    def too_small(self) -> bool:
        """Whether the device ends before the last extent does."""
        return not self.missing and self.device_bytes < self.needed_bytes

    @property
    def in_doubt(self) -> bool:
        """Whether LVM has to see all devices of the machine to judge this physical volume."""
        return self.missing or self.outdated or bool(self.duplicates)

    @property
    def free_extents(self) -> int:
        """The number of extents that no LV has, allocatable or not."""
        return sum(segment.extents for segment in self.segments if not segment.lv_uuid)

    def holds(self, lv_uuid: str) -> bool:
        return any(segment.lv_uuid == lv_uuid for segment in self.segments)


def free_extents(volumes: Iterable[PhysicalVolume]) -> int:
    """Return how many extents LVM can allocate in all."""
    return sum(each.free_extents for each in _usable(volumes))


def allocatable_extents(volumes: Iterable[PhysicalVolume], policy: str, lv_uuid: str = "") -> int:
    """Return how many extents LVM gives at most to the LV ``lv_uuid``, or to a new LV if that is empty."""
    usable = _usable(volumes)
    if policy == "contiguous":
        return max((_largest_piece(each, lv_uuid) for each in usable), default=0)
    if policy not in ("cling", "cling_by_tags"):
        return free_extents(usable)
    if not lv_uuid:
        return max((free_extents(_clinging([each], usable)) for each in usable), default=0)
    return free_extents(_clinging([each for each in usable if each.holds(lv_uuid)], usable))


def _usable(volumes: Iterable[PhysicalVolume]) -> list[PhysicalVolume]:
    return [each for each in volumes if each.allocatable and not each.missing]


def _clinging(near: Sequence[PhysicalVolume], usable: Iterable[PhysicalVolume]) -> list[PhysicalVolume]:
    tags = {tag for each in near for tag in each.tags}
    return [each for each in usable if each in near or not tags.isdisjoint(each.tags)]


def _largest_piece(volume: PhysicalVolume, lv_uuid: str) -> int:
    ends = {segment.start_extent + segment.extents for segment in volume.segments if segment.lv_uuid == lv_uuid}
    free = (segment for segment in volume.segments if not segment.lv_uuid)
    return max((piece.extents for piece in free if not lv_uuid or piece.start_extent in ends), default=0)
