"""The state of a simulated volume group: LVs and what is on them, files, ``/dev``; and what LVM and QEMU refuse.

A new LV holds the bytes of its extents' last user, and discarded bytes are still there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.holder import Holder
from lvmqcow.core.lv import LogicalVolume, Stray, StrayKind
from lvmqcow.core.qcow2 import OURS, Header, ImageOptions
from lvmqcow.core.sizing import extents
from lvmqcow.errors import CommandFailed
from lvmqcow.testing.content import BLOCK_BYTES, Blocks, Content

__all__ = ["STALE", "Lv", "Qcow", "Raw", "State", "header_of", "stream_path"]

STALE: Final = 0xAA
"""The byte in extents that were used before."""


@dataclass(frozen=True)
class Raw:
    """Plain bytes: of a raw volume, or what an unformatted LV was left with."""

    blocks: Blocks = field(hash=False)
    rest: int = 0
    """The byte in every block that is not listed."""


@dataclass(frozen=True)
class Qcow:
    """A qcow2 image: its header, and the blocks it has of its own."""

    virtual_size_bytes: int
    backing: str | None
    blocks: Blocks = field(default_factory=dict, hash=False)
    leaked_clusters: int = 0
    options: ImageOptions = OURS
    scattered_bytes: int = 0
    """How much more than the fully allocated image it takes: holes that no request fits into."""


@dataclass(frozen=True)
class Lv:
    """A logical volume, and what is on it."""

    uuid: str
    size_bytes: int
    tags: frozenset[str]
    active: bool
    image: Raw | Qcow
    device_bytes: int
    """How large its device is while it is active: not as large as it is itself after an lvextend that was cut."""
    holders: tuple[Holder, ...] = ()
    writable: bool = True
    autoactivated: bool = False
    suspended: bool = False
    """Whether its device is suspended, until LVM changes the LV again. A reader would hang."""
    preloaded_bytes: int | None = None
    """How large its device would be with the table that waits in it; that comes into force when LVM resumes it."""
    wrong_in_dev: bool = False
    """Its name in ``/dev`` is not what it should be."""
    discarded_bytes: int = 0
    """How much of it was discarded, from its start: what a device reads there is its own affair."""

    @property
    def wiped(self) -> bool:
        """Whether its content can no longer be read: all of it is zero, or was discarded."""
        if self.discarded_bytes == self.size_bytes or isinstance(self.image, Qcow):
            return self.discarded_bytes == self.size_bytes
        listed = len(self.image.blocks) == self.size_bytes // BLOCK_BYTES
        return not any(self.image.blocks.values()) and (listed or not self.image.rest)

    def resumed(self) -> Lv:
        """Return the LV as LVM leaves it after a suspend and resume, which puts a waiting table into force."""
        if self.preloaded_bytes is None:
            return replace(self, suspended=False)
        return replace(self, device_bytes=self.preloaded_bytes, preloaded_bytes=None, suspended=True)


class State:
    """The LVs of one volume group, the files beside it, and what is in ``/dev``."""

    def __init__(self, vg: str, extents: int, extent_size_bytes: int, files: dict[str, Content]) -> None:
        self.vg = vg
        self.extent_size_bytes = extent_size_bytes
        self.extents = extents
        self.files = files
        self.lvs: dict[str, Lv] = {}
        self.made = 0
        self.partial: frozenset[str] = frozenset()
        self.group = VolumeGroup(vg, "sim-vg", extent_size_bytes, 0, ())
        self.freed: tuple[str, ...] = ()
        self.strays: dict[str, StrayKind] = {}
        self._seen: dict[str, tuple[Lv, LogicalVolume]] = {}

    def copy(self) -> State:
        """Return a copy. LVs are immutable, so a copy costs little."""
        twin = State(self.vg, self.extents, self.extent_size_bytes, dict(self.files))
        twin.lvs = dict(self.lvs)
        twin.made = self.made
        twin.partial = self.partial
        twin.group = self.group
        twin.freed = self.freed
        twin.strays = dict(self.strays)
        twin._seen = dict(self._seen)
        return twin

    def observe(self) -> VolumeGroup:
        used = sum(extents(lv.size_bytes, self.extent_size_bytes) for lv in self.lvs.values())
        lvs = (self._seen_lv(name, lv) for name, lv in sorted(self.lvs.items()))
        kept_back = sum(each.free_extents for each in self.group.physical_volumes if not each.allocatable)
        return replace(
            self.group,
            free_extents=max(0, self.extents - used - kept_back),
            logical_volumes=tuple(lvs),
            missing_physical_volumes=1 if self.partial else 0,
            strays=tuple(Stray(name, kind) for name, kind in sorted(self.strays.items())),
        )

    def _seen_lv(self, name: str, lv: Lv) -> LogicalVolume:
        """Return the LV as LVM reports it: the same object while the LV is the same, because it keeps what it knows."""
        was, seen = self._seen.get(name, (None, None))
        if was is not lv or seen is None or seen.partial != (lv.uuid in self.partial):
            seen = LogicalVolume(
                *(name, lv.uuid, lv.size_bytes, lv.tags, lv.active),
                partial=lv.uuid in self.partial,
                writable=lv.writable,
                autoactivated=lv.autoactivated,
                suspended=lv.active and lv.suspended,
                has_inactive_table=lv.active and lv.preloaded_bytes is not None,
                wrong_in_dev=lv.wrong_in_dev,
            )
            self._seen[name] = lv, seen
        return seen

    def find(self, lv_name: str, argv: tuple[str, ...]) -> Lv:
        """The LV. Raises CommandFailed, as LVM: there is none of that name."""
        lv = self.lvs.get(lv_name)
        if lv is None:
            raise CommandFailed(argv, 5, f'Failed to find logical volume "{self.vg}/{lv_name}"')
        return lv

    def unused(self, lv_name: str, argv: tuple[str, ...]) -> Lv:
        """The LV. Raises CommandFailed, as LVM: something has it open."""
        lv = self.find(lv_name, argv)
        if lv.holders:
            raise CommandFailed(argv, 5, f"Logical volume {self.vg}/{lv_name} in use.")
        return lv

    def open(self, lv_name: str, argv: tuple[str, ...]) -> Lv:
        """The LV. Raises CommandFailed, as QEMU: its device is not there, or would not answer."""
        lv = self.lvs.get(lv_name)
        if lv is None or not lv.active:
            raise CommandFailed(argv, 1, f"Could not open '/dev/{self.vg}/{lv_name}': No such file or directory")
        if lv.suspended:
            raise CommandFailed(argv, 1, f"/dev/{self.vg}/{lv_name} is suspended: a reader of a real one would hang")
        if lv.wrong_in_dev:
            raise CommandFailed(argv, 1, f"/dev/{self.vg}/{lv_name} is not there, or another LV's")
        return lv

    def qcow(self, lv_name: str, argv: tuple[str, ...]) -> Qcow:
        """The image on it. Raises CommandFailed, as QEMU: it has none."""
        image = self.open(lv_name, argv).image
        if not isinstance(image, Qcow):
            raise CommandFailed(argv, 1, "Image is not in qcow2 format")
        return image

    def view(self, lv_name: str, argv: tuple[str, ...], above: tuple[str, ...] = ()) -> Blocks:
        """The blocks a guest reads through an image, which lies below those ``above``."""
        if lv_name in above:
            raise CommandFailed(argv, 1, f"Backing file '{lv_name}' creates an infinite loop")
        image = self.qcow(lv_name, argv)
        below = self.view(image.backing, argv, (*above, lv_name)) if image.backing else {}
        last = image.virtual_size_bytes // BLOCK_BYTES
        return {block: byte for block, byte in {**below, **image.blocks}.items() if block < last}

    def require_writable(self, lv_name: str) -> None:
        """Raises CommandFailed, as QEMU: the LV is read-only."""
        if not self.lvs[lv_name].writable:
            raise CommandFailed(("write", lv_name), 1, f"Could not open '/dev/{self.vg}/{lv_name}': Permission denied")

    def put(self, lv_name: str, image: Raw | Qcow) -> None:
        """Give the LV other content. Raises CommandFailed where it is read-only."""
        self.require_writable(lv_name)
        self.lvs[lv_name] = replace(self.lvs[lv_name], image=image)

    def require_changeable(self, argv: tuple[str, ...]) -> None:
        """As LVM does; a physical volume that is too small, or has old metadata, it only warns of."""
        group, volumes = self.group, self.group.physical_volumes
        refused = {
            f"Volume group {self.vg} is exported": group.exported,
            f"Cannot access VG {self.vg} with system ID {group.owner}.": group.owner is not None,
            f"Cannot access VG {self.vg} with lock type {group.lock_type}.": bool(group.lock_type),
            f"Volume group {self.vg} is read-only.": group.read_only,
            f"Cannot update volume group {self.vg} with duplicate PV devices.": any(pv.duplicates for pv in volumes),
            f"Failed to write VG {self.vg}.": any(pv.read_only for pv in volumes),
        }
        for said, so in refused.items():
            if so:
                raise CommandFailed(argv, 5, said)

    def require_extents(self, size_bytes: int, argv: tuple[str, ...]) -> None:
        """Raises CommandFailed, as LVM: there is no space."""
        free = self.observe().free_extents
        needed = extents(size_bytes, self.extent_size_bytes)
        if needed > free:
            said = f'Volume group "{self.vg}" has insufficient free space ({free} extents): {needed} required.'
            raise CommandFailed(argv, 5, said)

    def take_name(self, lv_name: str, argv: tuple[str, ...]) -> None:
        """The new LV's name in ``/dev`` takes the place of a node or a link, and not of a device."""
        if self.strays.pop(lv_name, None) in (StrayKind.DEVICE, StrayKind.OTHER):
            raise CommandFailed(argv, 5, f"device-mapper: create ioctl on {lv_name} failed: Device or resource busy")


def header_of(image: Qcow) -> Header:
    """The header of an image."""
    return Header(
        version=3,
        virtual_size_bytes=image.virtual_size_bytes,
        cluster_size_bytes=image.options.cluster_size_bytes,
        backing=image.backing,
        extended_l2=image.options.extended_l2,
        dirty=False,
        corrupt=False,
        encrypted=False,
        external_data=False,
        internal_snapshots=0,
        unknown_features=0,
        backing_format="qcow2" if image.backing else None,
    )


def stream_path(stream: int) -> str:
    """Under what path a simulated host has what comes from a file descriptor, or went to it."""
    return f"/dev/fd/{stream}"
