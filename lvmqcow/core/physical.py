"""The physical volumes below a volume group, and how much of their free space LVM would give to an LV.

Free is not the same as to be had. LVM takes nothing from a physical volume that is not allocatable or that is missing,
and the group's allocation policy (lvm(8), vgchange(8) ``--alloc``) may forbid the rest:

=====================  ===============================================  ===============================================
policy                 a new LV gets at most                            an LV grows by at most
=====================  ===============================================  ===============================================
normal, anywhere       all that is free                                 all that is free
contiguous             the largest free piece                           the free piece right behind one of its own
cling, cling_by_tags   what is free on one physical volume, and those   what is free on those it is on, and those that
                       that share a tag with it                         share a tag with one of them
=====================  ===============================================  ===============================================

These are upper bounds: LVM's own settings (``allocation/cling_tag_list``) can make it less. So what is refused for them
would have failed, and what is not refused may still fail, with LVM's own message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["PhysicalVolume", "Segment", "allocatable_extents", "free_extents"]


@dataclass(frozen=True)
class Segment:
    """Extents of a physical volume that follow each other: of the LV ``lv_uuid``, or free where that is empty."""

    start_extent: int
    extents: int
    lv_uuid: str = ""


@dataclass(frozen=True)
class PhysicalVolume:
    """One physical volume as LVM reports it. ``device`` is a path; ``[unknown]`` where it is missing.

    ``needed_bytes`` is where its last extent ends, ``device_bytes`` how large the device is. ``read_only``: its device
    takes no writes. ``duplicates``: other devices with the same UUID, that LVM does not use. ``outdated``: the metadata
    on it is older than the volume group's; somebody changed the group without it.
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
        """How a message names it."""
        return self.device if self.device.startswith("/") else f"the one with the UUID {self.uuid}"

    @property
    def too_small(self) -> bool:
        """Whether the device ends before the last extent does."""
        return not self.missing and self.device_bytes < self.needed_bytes

    @property
    def in_doubt(self) -> bool:
        """Whether LVM has to see more devices than this one to judge it."""
        return self.missing or self.outdated or bool(self.duplicates)

    @property
    def free_extents(self) -> int:
        """All that no LV has, be it allocatable or not."""
        return sum(segment.extents for segment in self.segments if not segment.lv_uuid)

    def holds(self, lv_uuid: str) -> bool:
        return any(segment.lv_uuid == lv_uuid for segment in self.segments)


def free_extents(volumes: Iterable[PhysicalVolume]) -> int:
    """How many extents LVM has to give, to all LVs together."""
    return sum(each.free_extents for each in _usable(volumes))


def allocatable_extents(volumes: Iterable[PhysicalVolume], policy: str, lv_uuid: str = "") -> int:
    """How many extents LVM gives at most: to a new LV, or to the LV ``lv_uuid``."""
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
