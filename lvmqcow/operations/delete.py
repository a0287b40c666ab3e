"""Delete a snapshot: S, between its parent P (or nothing) and its child C. The data of S and C become one image.

C is the current layer or a snapshot, of the chain or of another branch. With several of them S stays: it would have to
be merged into each; and it stays while a clone reads through it. P may be the layer of another volume.

Pull, C takes from S what it reads through it (moves S minus C):

1. the intent ``pull`` on S, with the record that it is to be wiped
2. extend C where it is too small
3. rebase C onto P
4. index C as a child of P: from here on nothing needs S
5. let S go (`lvmqcow.operations.shared.removal`)

A cut after 1 and before 4 leaves a C whose header may name P while the data is not there; S is whole. Recovery links
C back to S, which makes it whole, and goes on from 3. After 4 it goes on with 5.

Push, S takes all of C's data, then C's place (moves C):

1. the intent ``push`` on S: from here on S is no snapshot any more; the record of a wipe on it is for C
2. extend S to hold what C can
3. commit C into S
4. move the record to C; rename C to ``del-C``
5. rename S to C: who read through C reads through the same name
6. drop the intent and the record; S has C's size
7. let ``del-C`` go

Until 3 is done C reads right, whatever S holds, so recovery may always commit again; it goes on from the first step
not done, which the names tell.

Without a C, at the tip of a branch, nothing needs the data of S:

1. the intent ``discard`` on S: from here on it is no snapshot
2. remove it
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.intents import Discarding, Pulling, Pushing
from lvmqcow.core.lv import index_tags
from lvmqcow.core.names import doomed_lv_name
from lvmqcow.core.volume import Layer
from lvmqcow.core.wiping import Wiping, wipe_tags
from lvmqcow.errors import SnapshotHasChildren
from lvmqcow.operations.requests import DeleteSnapshot, Merge
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
from lvmqcow.steps import LvRename, LvTag, QcowCommit, QcowRebase, Step

__all__ = ["drop_pushed", "only_child", "plan_delete", "pull", "push", "push_renames"]


def plan_delete(vg: VolumeGroup, request: DeleteSnapshot, measure: Measure) -> Plan:
    """Raises VolumeNotFound, SnapshotNotFound, NotPossible (raw), SnapshotHasChildren, NoSpace or Corrupt.

    ``request.merge`` is ``pull``, ``push`` or ``seed``; what ``auto`` means was asked of the images before.
    """
    child = only_child(vg, request)
    volume = vg.volume(request.volume)
    snapshot = volume.snapshot(request.snapshot)
    tree = sound_tree(volume)
    if child is None:
        return _plan_tip(vg, request, tree, snapshot)
    below = volume.line(child)
    pulling = _pulls(request.merge, snapshot)
    intent = Pulling(child.lv.name) if pulling else Pushing(snapshot.lv.name, child.lv.name)
    record = (intent.tag, *wipe_tags(request.wipe))
    before: tuple[Step, ...] = (
        *indexed(tree),
        *activated(volume.reads(child)),
        LvTag((snapshot.lv.name,), add=record),
    )
    given_up = replace(snapshot, lv=marked(snapshot.lv, request.wipe))
    merge = pull(vg, given_up, child, measure) if pulling else push(vg, given_up, child, measure)
    after = deactivated(layer for layer in below if layer is not snapshot)
    return Plan("delete-snapshot", vg.name, request.volume, (*before, *merge, *after))


def _pulls(merge: Merge, snapshot: Layer) -> bool:
    """Whether the child takes what it reads through the snapshot, rather than the snapshot the child's data."""
    match merge:
        case Merge.PULL:
            return True
        case Merge.PUSH | Merge.AUTO:
            return False
        case Merge.SEED:
            return snapshot.parent is not None
        case _:
            assert_never(merge)


def only_child(vg: VolumeGroup, request: DeleteSnapshot) -> Layer | None:
    """The one layer that reads through the snapshot; None at the tip of a branch.

    Raises:
        SnapshotHasChildren: there are several, or clones.
        NotPossible: the volume is raw, or a template.
        VolumeNotFound, SnapshotNotFound.
    """
    volume = vg.volume(request.volume)
    require_qcow2(volume, "snapshots")
    require_changing(volume, "deletion of a snapshot")
    require_unread(volume, volume.snapshot(request.snapshot))
    children = volume.children(volume.snapshot(request.snapshot))
    if len(children) > 1:
        raise SnapshotHasChildren(volume.target, request.snapshot, [child.lv.name for child in children])
    return children[0] if children else None


def pull(vg: VolumeGroup, snapshot: Layer, child: Layer, measure: Measure) -> tuple[Step, ...]:
    """From the intent on; recovery runs the same."""
    new = index_tags(_size(child), snapshot.parent)
    old = index_tags(_size(child), snapshot.lv.name)
    return (
        *grown(vg, child, measure(_size(child), child.options)),
        QcowRebase(child.lv.name, snapshot.parent, snapshot.lv.name),
        LvTag(
            (child.lv.name,),
            add=tuple(tag for tag in new if tag not in old),
            drop=tuple(tag for tag in old if tag not in new),
        ),
        *gone(vg, [replace(snapshot.lv, active=True)]),
    )


def push(vg: VolumeGroup, snapshot: Layer, child: Layer, measure: Measure) -> tuple[Step, ...]:
    """From the intent on; recovery runs the same."""
    wiping = snapshot.lv.wiping
    record = wipe_tags(wiping.wipe) if isinstance(wiping, Wiping) else ()
    doomed = doomed_lv_name(child.lv.name, vg.lv_names)
    leaving = replace(child.lv, name=doomed, tags=child.lv.tags | set(record), active=True)
    return (
        *grown(vg, snapshot, measure(max(_size(child), _size(snapshot)), snapshot.options)),
        QcowCommit(child.lv.name, snapshot.lv.name),
        *((LvTag((child.lv.name,), add=record),) if record else ()),
        LvRename(child.lv.name, doomed),
        *push_renames(snapshot, Pushing(snapshot.lv.name, child.lv.name), _size(child)),
        *gone(vg, [leaving]),
    )


def _plan_tip(vg: VolumeGroup, request: DeleteSnapshot, tree: tuple[Layer, ...], snapshot: Layer) -> Plan:
    before = indexed(tree)
    lvs = (snapshot.lv.name,)
    assert snapshot.parent is not None  # sound_tree: the lowest layer of all is below the current one
    steps: tuple[Step, ...] = (
        *before,
        LvTag(lvs, add=(Discarding(snapshot.parent).tag, *wipe_tags(request.wipe))),
        *gone(vg, [marked(snapshot.lv, request.wipe)]),
    )
    return Plan("delete-snapshot", vg.name, request.volume, steps)


def push_renames(snapshot: Layer, intent: Pushing, size_bytes: int) -> tuple[Step, ...]:
    """S, merged and not renamed yet, takes the child's name, and its size."""
    return (LvRename(intent.snapshot, intent.child), drop_pushed(snapshot, intent, size_bytes))


def drop_pushed(snapshot: Layer, intent: Pushing, size_bytes: int) -> LvTag:
    """S, under its new name, is done: no intent, no record of a wipe, and the child's size in the index."""
    new = index_tags(size_bytes, snapshot.parent)
    old = index_tags(_size(snapshot), snapshot.parent)
    record = (snapshot.lv.wiping.tag,) if snapshot.lv.wiping else ()
    return LvTag(
        (intent.child,),
        add=tuple(tag for tag in new if tag not in old),
        drop=(intent.tag, *record, *(tag for tag in old if tag not in new)),
    )


def _size(layer: Layer) -> int:
    assert layer.virtual_size_bytes is not None  # sound_tree
    return layer.virtual_size_bytes
