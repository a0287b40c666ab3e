"""What a test knows of each volume: a model that cannot lose anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lvmqcow.core.names import Format, Layout, parse_volume_name, snapshot_lv_name
from lvmqcow.core.sizing import whole_extents
from lvmqcow.errors import AlreadyExists, FormatMismatch, LvmqcowError, NotPossible
from lvmqcow.testing.content import Content

__all__ = [
    "DiskModel",
    "Disks",
    "Model",
    "SnapshotModel",
    "changing",
    "clones",
    "contents_of",
    "loosen",
    "refusal_of_clone",
    "refusal_of_conversion",
    "rename_in_model",
    "source_of",
    "with_older_snapshots",
    "with_snapshots",
    "writable",
]


@dataclass(frozen=True)
class SnapshotModel:
    """What one snapshot should hold, and the one it reads through."""

    content: Content
    parent: str | None


@dataclass
class DiskModel:
    """What one volume should hold: snapshots that are a tree, and the current layer over one of them."""

    image_format: Format
    current: Content
    snapshots: dict[str, SnapshotModel] = field(default_factory=dict)
    under: str | None = None
    """The snapshot that the current layer reads through."""
    base: tuple[str, str | None] | None = None
    """The volume, and the snapshot of it, that a clone reads through."""
    template: bool = False
    active: bool = True
    loose: bool = False
    """Whether some of its layers may have been left active, by a clone that is none any more."""

    def content(self, snapshot: str | None) -> Content:
        """Return what the current layer holds, or what a snapshot holds."""
        return self.snapshots[snapshot].content if snapshot else self.current

    def line(self, snapshot: str | None) -> list[str]:
        """A snapshot and those it reads through, oldest first."""
        return [*self.line(self.snapshots[snapshot].parent), snapshot] if snapshot else []

    def readers(self, snapshot: str) -> list[str | None]:
        """The snapshots that read through one, and None if the current layer does."""
        above = [name for name, other in self.snapshots.items() if other.parent == snapshot]
        return [*above, None] if self.under == snapshot else [*above]

    def newer(self, snapshot: str) -> list[str]:
        """The snapshots that the current layer no longer reads through after a rollback, oldest first."""
        return [name for name in self.line(self.under) if name not in self.line(snapshot)]

    def listed(self) -> tuple[str, ...]:
        """Its snapshots in the order of a listing: chain first, then branch by branch."""
        chain = self.line(self.under)
        return (*chain, *sorted(self.snapshots.keys() - set(chain), key=self.line))

    def forget(self, snapshot: str) -> None:
        """Delete a snapshot that at most one layer reads through."""
        parent = self.snapshots.pop(snapshot).parent
        if self.under == snapshot:
            self.under = parent
        for name, other in self.snapshots.items():
            if other.parent == snapshot:
                self.snapshots[name] = replace(other, parent=parent)


Disks = Mapping[str, DiskModel]
"""All volumes, by name."""


@dataclass
class Model:
    """All volumes, and what else decides how an operation ends."""

    extent_size_bytes: int
    layout: Layout
    disks: dict[str, DiskModel] = field(default_factory=dict)
    active_lvs: frozenset[str] = frozenset()
    """The LVs that were active when the volumes were last verified."""

    def copy(self) -> Model:
        """Return a second model in the same state."""
        disks = {name: replace(disk, snapshots=dict(disk.snapshots)) for name, disk in self.disks.items()}
        return replace(self, disks=disks)

    def visible_bytes(self, image_format: Format, size_bytes: int) -> int:
        """Return the size that a guest sees of a volume for which this size was requested."""
        return size_bytes if image_format is Format.QCOW2 else whole_extents(size_bytes, self.extent_size_bytes)

    def is_active(self, volume: str, snapshot: str | None) -> bool:
        """Return whether a layer was active when the volumes were last verified."""
        lv = snapshot_lv_name(parse_volume_name(volume), snapshot, self.layout) if snapshot else volume
        return lv in self.active_lvs

    def add_copy(self, name: str, content: Content, active: bool) -> None:
        """Add a volume with the content of another one."""
        image_format = parse_volume_name(name).format
        holds = replace(content, size_bytes=self.visible_bytes(image_format, content.size_bytes))
        self.disks[name] = DiskModel(image_format, holds, active=active)


def changing(disks: Disks) -> list[str]:
    """Return the volumes that are no templates."""
    return sorted(name for name, disk in disks.items() if not disk.template)


def writable(disks: Disks) -> list[str]:
    """Return the volumes that a guest can write to."""
    return [name for name in changing(disks) if disks[name].active]


def with_snapshots(disks: Disks) -> list[str]:
    """Return the volumes whose snapshots may be changed."""
    return [name for name in changing(disks) if disks[name].snapshots]


def clones(disks: Disks, name: str, snapshot: str | None = None) -> list[str]:
    """Return the clones that read through a volume, or through a snapshot of it."""
    found = {other: disk.base[1] for other, disk in disks.items() if disk.base and disk.base[0] == name}
    disk = disks[name]
    return sorted(
        other
        for other, read in found.items()
        if snapshot is None or snapshot in disk.line(read if read is not None else disk.under)
    )


def loosen(disks: Disks, clone: DiskModel) -> None:
    """Record that a clone no longer reads through other volumes."""
    while clone.base:
        clone = disks[clone.base[0]]
        clone.loose = True


def with_older_snapshots(disks: Disks) -> dict[str, list[str]]:
    """Return, by volume, the snapshots that are not the newest: a rollback to one leaves others behind."""
    older = {
        name: [snapshot for snapshot in disks[name].snapshots if disks[name].newer(snapshot)]
        for name in changing(disks)
    }
    return {name: snapshots for name, snapshots in older.items() if snapshots}


def refusal_of_clone(disks: Disks, disk: DiskModel, snapshot: str | None, new: str) -> type[LvmqcowError] | None:
    """The error that a clone of it is refused with; None where it is possible."""
    if disk.image_format is Format.RAW:
        return NotPossible
    if parse_volume_name(new).format is Format.RAW:
        return FormatMismatch
    if new in disks:
        return AlreadyExists
    return None if snapshot or disk.template else NotPossible


def refusal_of_conversion(disks: Disks, disk: DiskModel, new: str) -> type[LvmqcowError] | None:
    """The error that its conversion is refused with; None where it is possible."""
    if parse_volume_name(new).format is disk.image_format:
        return FormatMismatch
    if disk.snapshots or disk.template:
        return NotPossible
    return AlreadyExists if new in disks else None


def source_of(disk: DiskModel) -> str | None:
    """Return how a listing names the source of a clone."""
    if disk.base is None:
        return None
    name, snapshot = disk.base
    return f"{name}@{snapshot}" if snapshot else name


def contents_of(name: str, disk: DiskModel, layout: Layout) -> dict[str, Content]:
    """Return what each logical volume of a volume should hold."""
    volume = parse_volume_name(name)
    frozen = {snapshot_lv_name(volume, name, layout): snapshot.content for name, snapshot in disk.snapshots.items()}
    return {name: disk.current, **frozen}


def rename_in_model(disks: Disks, name: str, old: str, new: str) -> None:
    """Give a snapshot another name: in its volume, and where a clone reads through it."""
    disk = disks[name]
    disk.snapshots = {(new if each == old else each): snapshot for each, snapshot in disk.snapshots.items()}
    for each, snapshot in disk.snapshots.items():
        if snapshot.parent == old:
            disk.snapshots[each] = replace(snapshot, parent=new)
    if disk.under == old:
        disk.under = new
    for other in disks.values():
        if other.base == (name, old):
            other.base = (name, new)
