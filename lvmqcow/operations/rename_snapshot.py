"""Rename a snapshot: S, called OLD, is called NEW. What reads through S reads through NEW: layers of the volume, of its
branches, and clones.

1. the intent ``rename-snapshot/OLD/NEW`` (the names of the LVs) on S, then on every layer that reads through S
2. rename S
3. rewrite the backing name in the header of each reader; a template can be written to for as long as that takes
4. deactivate the readers that were inactive; index each as a child of NEW, and drop its intent, in one metadata commit
5. drop the intent on S

A cut before 2 leaves S under its old name: recovery drops the intents. A cut after 2 leaves S under its new name:
recovery goes on with 3 for the readers that still have the intent. To do 3 again changes nothing.

The intent is on the readers too, so a clone that was cut half-way is known by its own tags: its recovery is that of the
whole. S has the intent before any reader and until the last has lost it, so the recovery of S's volume misses none. The
names of all the volumes are locked together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from lvmqcow.core.consistency import contradictions
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume, parent_tags
from lvmqcow.core.names import (
    Layout,
    VolumeName,
    check_snapshot_fits,
    check_snapshot_name,
    layout_of,
    snapshot_lv_name,
)
from lvmqcow.core.qcow2 import Measure
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.errors import Corrupt, NotPossible
from lvmqcow.operations.operation import Kind, OnLv, Operation, Questions, Recovery
from lvmqcow.operations.shared.chain_steps import activate_steps, deactivate_steps, index_steps
from lvmqcow.operations.shared.plan import Commit, Plan, renaming
from lvmqcow.operations.shared.preconditions import (
    require_free_name,
    require_one_reading,
    require_qcow2,
    verified_tree,
)
from lvmqcow.steps import LvPermission, LvRename, LvTag, Permission, QcowRelink, Step

__all__ = ["RENAME_SNAPSHOT", "RenameSnapshot", "RenamingSnapshot"]


@dataclass(frozen=True)
class RenamingSnapshot(OnLv):
    """On a snapshot that gets another name, and on every layer that reads through it; both are names of LVs."""

    verb: ClassVar = "rename-snapshot"
    shared: ClassVar = True

    old: str
    new: str

    def belongs(self, volume: Volume, lv: LogicalVolume) -> bool:
        layer = volume.layer(lv.name)
        if layer is None or self.old == self.new:
            return False
        names = (self.old, self.new)
        return (layer.snapshot is not None and lv.name in names) or layer.parent in names


_COMMIT: Final = Commit(renaming)


@dataclass(frozen=True)
class RenameSnapshot:
    """Give a snapshot another name; what the volume and its snapshots hold stays."""

    kind: ClassVar = Kind("rename-snapshot", _COMMIT)

    volume: VolumeName
    snapshot: str
    new: str

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> VolumeName:
        return self.volume

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises InvalidName, VolumeNotFound, SnapshotNotFound, NotPossible (raw, a clone was cut), AlreadyExists or
        Corrupt.
        """
        name = self.volume
        check_snapshot_name(self.new)
        volume = vg.volume(name)
        require_qcow2(volume, "snapshots")
        snapshot = volume.snapshot(self.snapshot)
        layout = layout_of(snapshot.lv.name, name) or volume.layout
        check_snapshot_fits(vg.name, name, self.new, layout)
        new_lv = snapshot_lv_name(name, self.new, layout)
        require_free_name(vg, "snapshot", self.new, *(snapshot_lv_name(name, self.new, each) for each in Layout))
        require_one_reading(vg, "snapshot", self.new, name, new_lv)
        tree = verified_tree(volume)
        clones = [clone for clone in volume.clones if clone.parent == snapshot.lv.name]
        _require_verified(vg, clones)
        readers = (*volume.children(snapshot), *clones)
        intent = RenamingSnapshot(snapshot.lv.name, new_lv)
        steps: tuple[Step, ...] = (
            *index_steps((*tree, *clones)),
            LvTag((snapshot.lv.name,), add=(intent.tag,)),
            *((LvTag(tuple(reader.lv.name for reader in readers), add=(intent.tag,)),) if readers else ()),
            LvRename(snapshot.lv.name, new_lv),
            *_follow_steps(readers, intent),
        )
        others = tuple(sorted({clone.volume for clone in clones}))
        return Plan("rename-snapshot", vg.name, name, steps, _COMMIT, other_names=others)


def _recover(vg: VolumeGroup, volume: Volume, measure: Measure) -> Recovery | None:
    intent = next((found for layer in volume.layers if (found := RenamingSnapshot.among(layer.lv.tags))), None)
    if intent is None:
        return None
    marked = [layer for each in vg.volumes for layer in each.layers if intent.tag in layer.lv.tags]
    readers = tuple(layer for layer in marked if layer.lv.name not in (intent.old, intent.new))
    old, new = vg.lv(intent.old), vg.lv(intent.new)
    if (old is None) == (new is None):
        there = "both are there" if old else "neither is there"
        reason = f"snapshot {intent.old} was being renamed to {intent.new}, and {there}"
        raise Corrupt(volume.target, [reason])
    if new is None:
        return Recovery("undo rename-snapshot", _drop_steps(readers, intent.old, intent))
    return Recovery("finish rename-snapshot", _follow_steps(readers, intent))


RENAME_SNAPSHOT: Final = Operation(
    requests=(RenameSnapshot,),
    intents=(RenamingSnapshot,),
    recover=_recover,
    cuts=(
        ("`rename-snapshot/OLD/NEW`, and S is called OLD", "undo: nothing was renamed yet; drop the intents"),
        ("`rename-snapshot/OLD/NEW`, and S is called NEW", "finish: rewrite and tag the readers that have the intent"),
    ),
)


def _require_verified(vg: VolumeGroup, clones: Iterable[Layer]) -> None:
    """Raises NotPossible for a clone on which an operation was cut, or Corrupt where its tags and header differ."""
    for clone in clones:
        volume = vg.volume(clone.volume)
        if volume.new is not None or any(lv.intent_tags for lv in volume.members):
            recover = f"lvmqcow recover {volume.target}"
            raise NotPossible(volume.target, "it reads through the snapshot, and an operation on it was cut", recover)
        if wrong := contradictions(volume, clone):
            raise Corrupt(volume.target, list(wrong))


def _follow_steps(readers: tuple[Layer, ...], intent: RenamingSnapshot) -> tuple[Step, ...]:
    """From 3 on; recovery runs the same. ``readers`` are those that have the intent."""
    templates = [reader.lv for reader in readers if reader.lv.template]
    return (
        *activate_steps(readers),
        *(LvPermission(lv.name, Permission.WRITE) for lv in templates if not lv.writable),
        *(QcowRelink(reader.lv.name, intent.new) for reader in readers),
        *(LvPermission(lv.name, Permission.READ) for lv in templates),
        *deactivate_steps(readers),
        *(
            LvTag((reader.lv.name,), add=parent_tags(intent.new), drop=(intent.tag, *parent_tags(intent.old)))
            for reader in readers
        ),
        LvTag((intent.new,), drop=(intent.tag,)),
    )


def _drop_steps(readers: tuple[Layer, ...], snapshot_lv: str, intent: RenamingSnapshot) -> tuple[Step, ...]:
    """Nothing was renamed: the readers lose the intent, then S."""
    names = tuple(reader.lv.name for reader in readers)
    first = (LvTag(names, drop=(intent.tag,)),) if names else ()
    return (*first, LvTag((snapshot_lv,), drop=(intent.tag,)))
