"""Roll back to a snapshot T: the current LV is formatted anew, in place, as an empty overlay of it.

1. the intent ``rollback`` on V: from here on, what V held is given up
2. extend V, where T is larger than V is now
3. format V
4. drop the intent; V has the snapshot's virtual size, and the options that our images have

A cut after 1 leaves V half formatted, which no header shows for certain: the intent does. Recovery formats again, once
V is large enough; before that nothing has happened, and the intent is dropped. So only 2 needs space, and recovery
none. In place, because a volume group need not have room for a second current LV.

The snapshots that V read through above T are in the way, unless the request says what becomes of them. Kept, they are a
branch: nothing more is to be done. Discarded, the intent on V is ``discard``, and after 3 it is written to all of them,
in one command; after 4 they go (`lvmqcow.operations.shared.removal`; until then it is V that carries the record of their wipe).
Until 4 is done V is indexed as what it was, a child of the newest, so recovery finds them by going down from there;
then the intent on them alone says that they go.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.intents import Discarding, RollingBack
from lvmqcow.core.lv import index_tags
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.core.wiping import wipe_tags
from lvmqcow.errors import NewerSnapshots, NotPossible, SnapshotHasChildren
from lvmqcow.operations.requests import Newer, Rollback
from lvmqcow.operations.shared.common import (
    activated,
    deactivated,
    grown,
    indexed,
    require_changing,
    require_qcow2,
    require_unread,
    sound_tree,
)
from lvmqcow.operations.shared.plan import Measure, Plan
from lvmqcow.operations.shared.removal import gone, marked
from lvmqcow.steps import LvTag, QcowCreate, Step

__all__ = ["blockers", "format_again", "lv_bytes", "plan_rollback"]


def plan_rollback(vg: VolumeGroup, request: Rollback, measure: Measure) -> Plan:
    """Raises VolumeNotFound, NotPossible (raw), SnapshotNotFound, NewerSnapshots (with them), NoSpace or Corrupt.

    To discard what is newer also SnapshotHasChildren (it has branches or clones), and NotPossible (the snapshot is on
    another branch).
    """
    volume = vg.volume(request.volume)
    require_qcow2(volume, "snapshots")
    require_changing(volume, "rollback")
    target = volume.snapshot(request.snapshot)
    tree = sound_tree(volume)
    current = tree[0]
    discarded = _discarded(volume, target, request.newer)
    intent = Discarding(target.lv.name) if discarded else RollingBack(target.lv.name)
    wipe = request.wipe if discarded else None
    begin: tuple[Step, ...] = (
        *indexed(tree),
        *activated([current]),
        LvTag((current.lv.name,), add=(intent.tag, *wipe_tags(wipe))),
        *grown(vg, current, lv_bytes(current, target, measure)),
    )
    given_up = replace(current, lv=marked(current.lv, wipe))
    rest = (*format_again(vg, given_up, target, intent, discarded), *deactivated([current]))
    return Plan("rollback", vg.name, request.volume, (*begin, *rest))


def blockers(volume: Volume, target: Layer) -> tuple[Layer, ...]:
    """The snapshots that the current layer reads through and ``target`` does not, newest first, as far as they are."""
    kept = volume.below(target)
    return tuple(layer for layer in volume.below(volume.current)[1:] if layer not in kept)


def lv_bytes(current: Layer, target: Layer, measure: Measure) -> int:
    """What the current LV has to hold before it is formatted; 0 where it held as large an image up to now."""
    return measure(_size(target)) if _size(target) > _size(current) else 0


def format_again(
    vg: VolumeGroup,
    current: Layer,
    target: Layer,
    intent: RollingBack | Discarding,
    discarded: tuple[Layer, ...] = (),
) -> tuple[Step, ...]:
    """From the intent on, for a current LV that is large enough: also what recovery runs."""
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
        *gone(vg, going),
    )


def _discarded(volume: Volume, target: Layer, newer: Newer) -> tuple[Layer, ...]:
    """The snapshots that go."""
    left = blockers(volume, target)
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
    """The same, if nothing else needs them."""
    if target not in volume.chain:
        reason = f"snapshot {target.snapshot!r} is on another branch, and nothing is newer than it there"
        raise NotPossible(volume.target, reason, "--keep-newer rolls back to it, and the snapshots here stay")
    require_unread(volume, *left)
    for layer in left:
        kept = [child.lv.name for child in volume.children(layer) if child not in (volume.current, *left)]
        if kept:
            raise SnapshotHasChildren(volume.target, str(layer.snapshot), kept, "delete these first, or --keep-newer")
    return left


def _size(layer: Layer) -> int:
    assert layer.virtual_size_bytes is not None  # sound_tree, or recovery's own check
    return layer.virtual_size_bytes
