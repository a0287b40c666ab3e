"""Actions on snapshots: take, roll back to, rename, delete."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from lvmqcow.core.names import Format
from lvmqcow.core.wiping import Wipe
from lvmqcow.errors import AlreadyExists, LvmqcowError, NewerSnapshots, NotPossible, SnapshotHasChildren
from lvmqcow.operations import Merge, Newer, Plan
from lvmqcow.testing.conformance.actions.base import LARGE_BYTES, LARGEST_BYTES, SNAPSHOTS, Action, Chooser, Rule
from lvmqcow.testing.conformance.actions.volumes import Create, Remove, Resize, WriteTo, write_to
from lvmqcow.testing.content import BLOCK_BYTES, Write
from lvmqcow.testing.model import (
    Disks,
    Model,
    SnapshotModel,
    changing,
    clones,
    rename_in_model,
    with_older_snapshots,
    with_snapshots,
    writable,
)
from lvmqcow.testing.worlds import World

__all__ = ["KINDS", "RULES"]

_MOST_SNAPSHOTS: Final = 5
_BACKUP: Final = "vzdump"
_LARGE: Final = "vm-1000-disk-9.qcow2"


@dataclass(frozen=True)
class Snapshot:
    """Take a snapshot."""

    kind: ClassVar[str] = "snapshot"
    volume: str
    snapshot: str

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        disk = model.disks[self.volume]
        if disk.image_format is Format.RAW or disk.template:
            return NotPossible
        return AlreadyExists if self.snapshot in disk.snapshots else None

    def on(self, world: World) -> Plan | None:
        return world.storage.volume(self.volume).snapshot(self.snapshot)

    def change(self, model: Model, ran: Plan | None) -> None:
        disk = model.disks[self.volume]
        disk.snapshots[self.snapshot] = SnapshotModel(disk.current, disk.under)
        disk.under = self.snapshot


@dataclass(frozen=True)
class Rollback:
    """Roll back to a snapshot."""

    kind: ClassVar[str] = "rollback"
    volume: str
    snapshot: str
    newer: Newer = Newer.REFUSE
    wipe: Wipe | None = None

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        disk = model.disks[self.volume]
        if disk.template:
            return NotPossible
        newer = disk.newer(self.snapshot)
        if self.newer is Newer.REFUSE:
            return NewerSnapshots if newer else None
        if self.newer is Newer.KEEP:
            return None
        if self.snapshot not in disk.line(disk.under):
            return NotPossible
        cloned = any(clones(model.disks, self.volume, snapshot) for snapshot in newer)
        read = any(reader and reader not in newer for snapshot in newer for reader in disk.readers(snapshot))
        return SnapshotHasChildren if cloned or read else None

    def on(self, world: World) -> Plan | None:
        return world.storage.volume(self.volume).rollback(self.snapshot, self.newer, self.wipe)

    def change(self, model: Model, ran: Plan | None) -> None:
        disk = model.disks[self.volume]
        gone = disk.newer(self.snapshot) if self.newer is Newer.DISCARD else []
        disk.current, disk.under = disk.snapshots[self.snapshot].content, self.snapshot
        for snapshot in gone:
            del disk.snapshots[snapshot]


@dataclass(frozen=True)
class DeleteSnapshot:
    """Delete a snapshot."""

    kind: ClassVar[str] = "delete_snapshot"
    volume: str
    snapshot: str
    merge: Merge = Merge.AUTO
    wipe: Wipe | None = None

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        disk = model.disks[self.volume]
        if disk.template:
            return NotPossible
        read = len(disk.readers(self.snapshot)) > 1 or clones(model.disks, self.volume, self.snapshot)
        return SnapshotHasChildren if read else None

    def on(self, world: World) -> Plan | None:
        return world.storage.volume(self.volume).delete_snapshot(self.snapshot, self.merge, self.wipe)

    def change(self, model: Model, ran: Plan | None) -> None:
        model.disks[self.volume].forget(self.snapshot)


@dataclass(frozen=True)
class RenameSnapshot:
    """Give a snapshot another name."""

    kind: ClassVar[str] = "rename_snapshot"
    volume: str
    snapshot: str
    new: str

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        return AlreadyExists if self.new in model.disks[self.volume].snapshots else None

    def on(self, world: World) -> Plan | None:
        return world.storage.volume(self.volume).rename_snapshot(self.snapshot, self.new)

    def change(self, model: Model, ran: Plan | None) -> None:
        rename_in_model(model.disks, self.volume, self.snapshot, self.new)


def _snapshot(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    name = chooser.pick(changing(disks), "volume")
    action = Snapshot(name, chooser.pick(SNAPSHOTS, "snapshot"))
    if len(disks[name].snapshots) < _MOST_SNAPSHOTS or action.snapshot in disks[name].snapshots:
        yield action


def _backup(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    """Take a snapshot, let the guest write, and delete the snapshot again."""
    name, merge = chooser.pick(writable(disks), "volume"), chooser.pick(tuple(Merge), "merge")
    if disks[name].image_format is Format.QCOW2 and _BACKUP not in disks[name].snapshots:
        yield Snapshot(name, _BACKUP)
        yield write_to(disks, name, chooser)
        yield DeleteSnapshot(name, _BACKUP, merge)


def _large(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    """Take and delete a snapshot of a large volume, and remove the volume."""
    if _LARGE not in disks:
        last = LARGE_BYTES // BLOCK_BYTES - 1
        yield Create(_LARGE, LARGE_BYTES)
        yield WriteTo(_LARGE, (Write(0, 1, 1), Write(last, 1, 2)))
        yield Snapshot(_LARGE, _BACKUP)
        yield WriteTo(_LARGE, (Write(last - 1, 2, 3),))
        yield DeleteSnapshot(_LARGE, _BACKUP, chooser.pick(tuple(Merge), "merge"))
        yield Remove(_LARGE)


def _rollback(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    name = chooser.pick(with_snapshots(disks), "volume")
    yield Rollback(name, disks[name].line(disks[name].under)[-1])


def _rollback_to_an_older_one(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    yield Rollback(*_older(disks, chooser))


def _rollback_keeping_the_newer(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    yield Rollback(*_any_snapshot(disks, chooser), Newer.KEEP)


def _rollback_discarding_the_newer(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    yield Rollback(*_older(disks, chooser), Newer.DISCARD, chooser.pick((None, *Wipe), "wipe"))


def _delete_snapshot(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    merge, wipe = chooser.pick(tuple(Merge), "merge"), chooser.pick((None, *Wipe), "wipe")
    yield DeleteSnapshot(*_any_snapshot(disks, chooser), merge, wipe)


def _rename_snapshot(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    yield RenameSnapshot(*_any_snapshot(disks, chooser), chooser.pick(SNAPSHOTS, "new name"))


def _changes_of_a_template(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    """Try to change a template, which never changes."""
    name = chooser.pick(_templates(disks), "volume")
    yield Snapshot(name, "new")
    yield Resize(name, LARGEST_BYTES)
    for snapshot in list(disks[name].snapshots)[:1]:
        yield Rollback(name, snapshot)
        yield DeleteSnapshot(name, snapshot)


def _templates(disks: Disks) -> list[str]:
    return sorted(name for name, disk in disks.items() if disk.template)


def _any_snapshot(disks: Disks, chooser: Chooser) -> tuple[str, str]:
    name = chooser.pick(with_snapshots(disks), "volume")
    return name, chooser.pick(list(disks[name].snapshots), "snapshot")


def _older(disks: Disks, chooser: Chooser) -> tuple[str, str]:
    older = with_older_snapshots(disks)
    name = chooser.pick(sorted(older), "volume")
    return name, chooser.pick(older[name], "snapshot")


KINDS: Final = (Snapshot, Rollback, DeleteSnapshot, RenameSnapshot)
"""The actions of this module."""

RULES: Final = (
    Rule("snapshot", frozenset({"snapshot"}), changing, _snapshot),
    Rule("backup", frozenset({"snapshot", "delete_snapshot"}), writable, _backup),
    Rule("large", frozenset({"large", "snapshot", "delete_snapshot", "remove"}), lambda disks: True, _large),
    Rule("rollback", frozenset({"rollback"}), with_snapshots, _rollback),
    Rule("rollback_to_an_older_one", frozenset({"rollback"}), with_older_snapshots, _rollback_to_an_older_one),
    Rule("rollback_keeping_the_newer", frozenset({"rollback", "branch"}), with_snapshots, _rollback_keeping_the_newer),
    Rule(
        "rollback_discarding_the_newer",
        frozenset({"rollback", "branch"}),
        with_older_snapshots,
        _rollback_discarding_the_newer,
    ),
    Rule("delete_snapshot", frozenset({"delete_snapshot"}), with_snapshots, _delete_snapshot),
    Rule("rename_snapshot", frozenset({"rename_snapshot"}), with_snapshots, _rename_snapshot),
    Rule("changes_of_a_template", frozenset({"template"}), _templates, _changes_of_a_template),
)
"""How they are drawn.

``large`` is offered where there is space for a large volume; ``branch`` by an implementation whose rollback can keep or
discard newer snapshots.
"""
