"""Roll back to a snapshot T: format the current LV V in place, as an empty overlay of T.

1. write the intent ``rollback`` to V: from here on the content of V is not needed
2. extend V if T has a larger virtual size than V
3. format V
4. drop the intent; V gets the virtual size of T and the options of our images

A cut after 1 may leave V half formatted. No header shows that for certain, but the intent does. If V is large enough,
recovery formats V again. Else V was not extended yet and nothing has happened, so recovery drops the intent. So only 2
needs space; recovery needs none. V is formatted in place, because the volume group may have no room for a second LV.

Snapshots between V and T are newer than T. The request says what happens to them; else it is refused. If they are kept,
they become a branch, and nothing more has to be done. If they are discarded, the intent on V is ``discard``. After 3
one command writes the intent to all of them, and after 4 they are removed (`lvmqcow.operations.shared.removal`). Until
then V carries the record of their wipe. Until 4 is done, the index tags of V still name the newest snapshot, so
recovery finds the discarded snapshots below it. After 4 the intent on the snapshots alone says that they are removed.

Source: ``volume_snapshot_rollback`` of the patch series.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar, Final, assert_never

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume, index_tags
from lvmqcow.core.names import Format, VolumeName, pending_removal_origin
from lvmqcow.core.qcow2 import Measure
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.core.wiping import Wipe, wipe_tags
from lvmqcow.errors import Corrupt, NewerSnapshots, NotPossible, SnapshotHasChildren
from lvmqcow.operations.operation import Kind, OnLv, Operation, Questions, Recovery, carrier
from lvmqcow.operations.shared.allocation import Allocation
from lvmqcow.operations.shared.chain_steps import activate_steps, deactivate_steps, index_steps, refresh_steps
from lvmqcow.operations.shared.interrupted import (
    is_current,
    is_snapshot,
    is_unread,
    parent_in_header,
    require_read_by_none_but,
    wipe_records,
)
from lvmqcow.operations.shared.plan import Commit, Plan, writing
from lvmqcow.operations.shared.preconditions import require_changing, require_qcow2, require_unread, verified_tree
from lvmqcow.operations.shared.removal import removal_steps, wipe_or_default, with_wipe_record
from lvmqcow.steps import LvTag, QcowCreate, Step

__all__ = ["ROLLBACK", "Discarding", "Newer", "Rollback", "RollingBack", "newer_snapshots"]


class Newer(StrEnum):
    """What a rollback does with snapshots that are newer than its target. The volume no longer reads through them."""

    REFUSE = "refuse"
    """The rollback is refused if newer snapshots exist."""
    DISCARD = "discard"
    """Newer snapshots are removed once the volume no longer needs them."""
    KEEP = "keep"
    """Newer snapshots stay as a branch."""


@dataclass(frozen=True)
class RollingBack(OnLv):
    """A rollback is under way. The current LV carries this intent and becomes an overlay of ``backing``."""

    verb: ClassVar = "rollback"

    backing: str

    def belongs(self, volume: Volume, lv: LogicalVolume) -> bool:
        return (is_current(volume, lv) and is_unread(volume, lv)) or pending_removal_origin(lv.name) is not None


@dataclass(frozen=True)
class Discarding(OnLv):
    """Snapshots are being removed with their data. ``backing`` is the layer that the lowest of them reads through.

    The snapshots carry this intent. If the current LV carries it too, the LV is first formatted as an overlay of
    ``backing``, as with `RollingBack`, and all snapshots between the two are removed.
    """

    verb: ClassVar = "discard"
    content_unneeded: ClassVar = True

    backing: str

    def belongs(self, volume: Volume, lv: LogicalVolume) -> bool:
        current = is_current(volume, lv) and is_unread(volume, lv)
        return current or is_snapshot(volume, lv) or pending_removal_origin(lv.name) is not None

    @property
    def removes_its_snapshot(self) -> bool:
        return True


_COMMIT: Final = Commit(writing(RollingBack, Discarding), extended=True)


@dataclass(frozen=True)
class Rollback:
    """Roll the volume back to a snapshot: to the newest, or, if ``newer`` allows it, to any."""

    kind: ClassVar = Kind("rollback", _COMMIT)

    volume: VolumeName
    snapshot: str
    newer: Newer = Newer.REFUSE
    wipe: Wipe | None = None
    """How discarded snapshots are wiped. None: as the storage does by default."""

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> VolumeName:
        return self.volume

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises VolumeNotFound, NotPossible (the volume is raw), SnapshotNotFound, NewerSnapshots, NoSpace or Corrupt.

        If newer snapshots are to be discarded, it also raises SnapshotHasChildren (one of them has branches or clones)
        and NotPossible (the snapshot is on another branch).
        """
        volume = vg.volume(self.volume)
        require_qcow2(volume, "snapshots")
        require_changing(volume, "rollback")
        target = volume.snapshot(self.snapshot)
        tree = verified_tree(volume)
        current = tree[0]
        discarded = _discarded(volume, target, self.newer)
        intent = Discarding(target.lv.name) if discarded else RollingBack(target.lv.name)
        wipe = wipe_or_default(vg, self.wipe) if discarded else None
        allocation = Allocation(vg, images.measure)
        begin: tuple[Step, ...] = (
            *index_steps(tree),
            *activate_steps([current]),
            LvTag((current.lv.name,), add=(intent.tag, *wipe_tags(wipe))),
            *allocation.extend_steps(current, _lv_bytes(allocation, current, target)),
        )
        marked = replace(current, lv=with_wipe_record(current.lv, wipe))
        rest = (*_format_steps(vg, marked, target, intent, discarded), *deactivate_steps([current]))
        return Plan("rollback", vg.name, self.volume, (*begin, *rest), _COMMIT)


def _recover(vg: VolumeGroup, volume: Volume, measure: Measure) -> Recovery | None:
    layer = carrier(volume, RollingBack) or carrier(volume, Discarding)
    if layer is None:
        return None
    intent = RollingBack.among(layer.lv.tags) or Discarding.among(layer.lv.tags)
    assert intent is not None  # carrier
    current = volume.layer(volume.name.text)
    if isinstance(intent, Discarding) and not (current and intent.tag in current.lv.tags):
        return _finish_discard(vg, volume, intent)
    return _finish(vg, volume, layer if isinstance(intent, RollingBack) else current or layer, intent, measure)


ROLLBACK: Final = Operation(
    requests=(Rollback,),
    intents=(RollingBack, Discarding),
    recover=_recover,
    cuts=(
        ("`rollback/S` or `discard/S` on V, and V is too small for S", "undo: nothing has happened; drop the intent"),
        ("`rollback/S` on V, and V is large enough", "finish: format V again"),
        ("`discard/S` on V", "finish: format V again, then remove what V read above S"),
        ("`discard/S` on snapshots only", "finish: remove them"),
    ),
)


def _finish(
    vg: VolumeGroup, volume: Volume, current: Layer, intent: RollingBack | Discarding, measure: Measure
) -> Recovery:
    target = volume.layer(intent.backing)
    if target is None or target.snapshot is None or target.virtual_size_bytes is None:
        raise Corrupt(volume.target, [f"a rollback to {intent.backing} was cut, but that snapshot is not there"])
    wanted_bytes = _lv_bytes(Allocation(vg, measure), current, target)
    if current.lv.size_bytes < wanted_bytes:
        return Recovery("undo rollback", (LvTag((current.lv.name,), drop=(intent.tag, *wipe_records([current.lv]))),))
    left = newer_snapshots(volume, target) if isinstance(intent, Discarding) else ()
    if left and target not in volume.below(current):
        reason = f"{current.lv.name} carries {intent.tag}, but does not read through {target.lv.name}"
        raise Corrupt(volume.target, [reason])
    for layer in left:
        require_read_by_none_but(volume, layer, (current, *left))
    again: tuple[Step, ...] = (
        *activate_steps([current]),
        *(refresh_steps([current]) if wanted_bytes else ()),
        *_format_steps(vg, current, target, intent, left),
    )
    return Recovery("finish rollback", (*again, *deactivate_steps([current])))


def _finish_discard(vg: VolumeGroup, volume: Volume, intent: Discarding) -> Recovery:
    """Remove the snapshots that carry the intent. The current LV does not carry it any more, so nothing needs them."""
    discarded = [layer for layer in volume.layers if intent.tag in layer.lv.tags]
    left = [layer for layer in volume.layers if layer not in discarded]
    needed = {name for layer in left for name in (layer.parent, parent_in_header(volume, layer))}
    going = {layer.lv.name for layer in discarded}
    for layer in discarded:
        if layer.lv.name in needed or volume.clones_of(layer):
            raise Corrupt(volume.target, [f"{layer.lv.name} may not be removed: other layers read through it"])
        parent = layer.parent or ""
        if parent not in (intent.backing, *going) and volume.layer(parent) is not None:
            raise Corrupt(volume.target, [f"{layer.lv.name} carries {intent.tag}, but reads through {parent}"])
    return Recovery("finish removal", removal_steps(vg, [layer.lv for layer in discarded]))


def newer_snapshots(volume: Volume, target: Layer) -> tuple[Layer, ...]:
    """Return the snapshots that the current layer reads through and ``target`` does not, newest first."""
    kept = volume.below(target)
    return tuple(layer for layer in volume.below(volume.current)[1:] if layer not in kept)


def _lv_bytes(allocation: Allocation, current: Layer, target: Layer) -> int:
    """Return how many bytes the current LV must have before it is formatted; 0 if its virtual size does not grow."""
    larger = _size(target) > _size(current)
    return allocation.lv_bytes(Format.QCOW2, _size(target)) if larger else 0


def _format_steps(
    vg: VolumeGroup,
    current: Layer,
    target: Layer,
    intent: RollingBack | Discarding,
    discarded: tuple[Layer, ...] = (),
) -> tuple[Step, ...]:
    """Return the steps from 3 on, for a current LV that is large enough. Recovery runs the same steps."""
    seen = index_tags(_size(current), current.parent, current.options)
    old = current.lv.index_tags if current.indexed else seen
    new = index_tags(_size(target), target.lv.name)
    stale = tuple(tag for tag in old if tag not in new)
    fresh = tuple(tag for tag in new if tag not in old)
    record = (current.lv.wiping.tag,) if current.lv.wiping else ()
    going = tuple(replace(layer.lv, tags=layer.lv.tags | set(record)) for layer in discarded)
    return (
        QcowCreate(current.lv.name, _size(target), target.lv.name),
        *((LvTag(tuple(lv.name for lv in going), add=(intent.tag, *record)),) if going else ()),
        LvTag((current.lv.name,), add=fresh, drop=(intent.tag, *record, *stale)),
        *removal_steps(vg, going),
    )


def _discarded(volume: Volume, target: Layer, newer: Newer) -> tuple[Layer, ...]:
    """Return the snapshots that the rollback removes. Raises NewerSnapshots, SnapshotHasChildren or NotPossible."""
    left = newer_snapshots(volume, target)
    if not left:
        return ()
    match newer:
        case Newer.KEEP:
            return ()
        case Newer.REFUSE:
            raise NewerSnapshots(volume.target, str(target.snapshot), [str(layer.snapshot) for layer in reversed(left)])
        case Newer.DISCARD:
            return _discardable(volume, target, left)
        case _:
            assert_never(newer)


def _discardable(volume: Volume, target: Layer, left: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Return the newer snapshots if nothing else needs them; else raise SnapshotHasChildren or NotPossible."""
    if target not in volume.chain:
        reason = f"snapshot {target.snapshot!r} is on another branch, where no newer snapshot can be discarded"
        raise NotPossible(volume.target, reason, "--keep-newer rolls back to it and keeps the snapshots of this branch")
    require_unread(volume, *left)
    for layer in left:
        kept = [child.lv.name for child in volume.children(layer) if child not in (volume.current, *left)]
        if kept:
            raise SnapshotHasChildren(volume.target, str(layer.snapshot), kept, "delete these first, or --keep-newer")
    return left


def _size(layer: Layer) -> int:
    assert layer.virtual_size_bytes is not None  # verified_tree, or recovery's own check
    return layer.virtual_size_bytes
