"""A logical volume as LVM reports it, and the tags that index the image on it.

Index tags repeat what the qcow2 header says: the parent's LV name, the virtual size, and the image options if they are
not ours. So one LVM report shows all volumes, and no LV has to be active. Proxmox VE writes no such tags: its images
are known by their headers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from lvmqcow.core.intents import Unknown, intent_tags
from lvmqcow.core.names import Format, VolumeName, as_volume_name, pending_removal_origin
from lvmqcow.core.qcow2 import OURS, Header, ImageOptions
from lvmqcow.core.wiping import Wiping, parse_wiping

__all__ = ["TEMPLATE", "LogicalVolume", "Stray", "StrayKind", "index_tags", "parent_tags"]


_PARENT_PREFIX = "lvmqcow.parent="


_SIZE_PREFIX = "lvmqcow.size="


_OPTIONS_PREFIX = "lvmqcow.image="


TEMPLATE = "lvmqcow.template"
"""The tag of a current LV that never changes again."""


def index_tags(virtual_size_bytes: int, parent: str | None, options: ImageOptions = OURS) -> tuple[str, ...]:
    """Return the tags that index an image: its virtual size, its parent's LV name, and its options if not ours."""
    return (f"{_SIZE_PREFIX}{virtual_size_bytes}", *parent_tags(parent), *_options_tags(options))


def parent_tags(parent: str | None) -> tuple[str, ...]:
    """Return the part of `index_tags` that names the parent."""
    return (f"{_PARENT_PREFIX}{parent}",) if parent else ()


def _options_tags(options: ImageOptions) -> tuple[str, ...]:
    if options == OURS:
        return ()
    return (f"{_OPTIONS_PREFIX}{options.cluster_size_bytes}{'/extended_l2' if options.extended_l2 else ''}",)


@dataclass(frozen=True)
class LogicalVolume:
    """One LV as LVM reports it, with the header of its image if that was read.

    ``partial``: a part of the LV is on a physical volume that is missing. ``autoactivated``: LVM activates it at every
    boot.

    Three things can be wrong with the device of the LV. An lvm that was killed while it changed the LV leaves them:

    ``suspended``: the device is suspended, has no table, or has a table that differs from LVM's metadata. A program
    that uses the device may hang until the LV is refreshed. An LV that another host changed looks the same.
    ``has_inactive_table``: the device holds a second table, which LVM never committed. The next LVM command that
    resumes the device would activate that table, and it may map free extents or the extents of another LV.
    ``wrong_in_dev``: the LV is active, and its name in ``/dev`` is missing or leads to another device; or the LV is
    inactive, and its name is in ``/dev``.

    ``device_number`` is the kernel's major and minor number. It is no property of the LV, so it is not compared.
    """

    name: str
    uuid: str
    size_bytes: int
    tags: frozenset[str]
    active: bool
    header: Header | None = None
    partial: bool = False
    writable: bool = True
    autoactivated: bool = False
    suspended: bool = False
    has_inactive_table: bool = False
    wrong_in_dev: bool = False
    device_number: tuple[int, int] | None = field(default=None, compare=False)

    @property
    def readable(self) -> bool:
        """Whether the LV can be read now: it is active, not suspended, and its name in ``/dev`` leads to its device."""
        return self.active and not (self.suspended or self.wrong_in_dev)

    @property
    def devices_to_restore(self) -> bool:
        """Whether recovery has to repair the LV's device or its names in ``/dev`` before the LV is used."""
        return self.suspended or self.has_inactive_table or self.wrong_in_dev

    def with_header(self, header: Header | None) -> LogicalVolume:
        """Return the LV with this image header."""
        return self if header == self.header else replace(self, header=header)

    @property
    def template(self) -> bool:
        return TEMPLATE in self.tags

    @cached_property
    def intent_tags(self) -> tuple[str, ...]:
        """The tags of the LV that record an intent. A cut leaves at most one."""
        return intent_tags(self.tags)

    @cached_property
    def named_volumes(self) -> tuple[VolumeName, ...]:
        """The volumes that the LV's tags name."""
        named = (as_volume_name(tag.removeprefix("pve-")) for tag in sorted(self.tags) if tag.startswith("pve-vm-"))
        return tuple(name for name in named if name)

    @cached_property
    def owner(self) -> VolumeName | None:
        """The volume that the LV belongs to: by its volume tag, else by its name. Raw volumes have no volume tag."""
        if self.named_volumes:
            named = self.named_volumes[0]
            return named if named.format is Format.QCOW2 else None
        return as_volume_name(pending_removal_origin(self.name) or self.name)

    @cached_property
    def ours(self) -> bool:
        """Whether lvmqcow made the LV or works on it."""
        return bool(self.intent_tags) or self.wiping is not None or self.recorded_size_bytes is not None

    @cached_property
    def wiping(self) -> Wiping | Unknown | None:
        """How the LV is to be wiped before its removal; None if it carries no such record."""
        return parse_wiping(self.tags)

    @cached_property
    def recorded_parent(self) -> str | None:
        return self._recorded(_PARENT_PREFIX)

    @cached_property
    def recorded_size_bytes(self) -> int | None:
        text = self._recorded(_SIZE_PREFIX)
        return int(text) if text and text.isdecimal() else None

    @cached_property
    def recorded_options(self) -> ImageOptions:
        """The image options that the tags name; ours if no tag names any."""
        match = re.fullmatch(r"([0-9]{1,9})(/extended_l2)?", self._recorded(_OPTIONS_PREFIX) or "")
        return ImageOptions(int(match[1]), extended_l2=match[2] is not None) if match else OURS

    @cached_property
    def index_tags(self) -> tuple[str, ...]:
        """The index tags that the LV has."""
        prefixes = (_PARENT_PREFIX, _SIZE_PREFIX, _OPTIONS_PREFIX)
        return tuple(sorted(tag for tag in self.tags if tag.startswith(prefixes)))

    def _recorded(self, prefix: str) -> str | None:
        values = sorted(tag.removeprefix(prefix) for tag in self.tags if tag.startswith(prefix))
        return values[0] if len(values) == 1 else None


class StrayKind(StrEnum):
    """What kind of `Stray` it is."""

    DEVICE = "device"
    """A device-mapper device of an LV that was removed. Its table maps extents that are free or another LV's."""
    NODE = "node"
    """A device node without a device. The kernel may give its number to another LV."""
    LINK = "link"
    """A link in ``/dev/VG`` that leads nowhere."""
    OTHER = "other"
    """A file, or a device that LVM did not make for this volume group. It may hold data, so it is never removed."""


@dataclass(frozen=True)
class Stray:
    """Something in ``/dev`` under a name that no LV of the volume group has; ``lv_name`` is that name.

    An lvm that is killed during a removal or a rename leaves it.
    """

    lv_name: str
    kind: StrayKind
