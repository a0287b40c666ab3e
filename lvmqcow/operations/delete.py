"""Delete a snapshot: S, between its parent P (or nothing) and its child C. The data of S and C become one image.

C is the current layer or a snapshot, of the chain or of another branch. With several of them S stays: it would have to
be merged into each; and it stays while a clone reads through it. P may be the layer of another volume.

Pull, C takes from S what it reads through it (moves S minus C):

1. the intent ``pull`` on S, with the record that it is to be wiped
2. extend C where it is too small
3. rebase C onto P
4. index C as a child of P: from here on nothing needs S
5. remove S (`lvmqcow.operations.shared.removal`)

A cut after 1 and before 4 leaves a C whose header may name P while the data is not there; S is whole. Recovery links
C back to S, which makes C whole, and goes on from 3. After 4 it goes on with 5.

Push, S takes all of C's data, then C's place (moves C):

1. the intent ``push`` on S: from here on S is no snapshot any more; the record of a wipe on it is for C
2. extend S to hold what C can
3. commit C into S
4. move the record to C; rename C to ``del-C``
5. rename S to C: what read through C reads through the same name
6. drop the intent and the record; S has C's size
7. remove ``del-C``

Until 3 is done C reads right, whatever S holds, so recovery may always commit again. It goes on from the first step
that is not done, which the names tell.

Without a C, at the tip of a branch, nothing needs the data of S:

1. the intent ``discard`` on S: from here on it is no snapshot (`lvmqcow.operations.rollback` recovers that)
2. remove it

Source: ``volume_snapshot_delete`` of the patch series; libvirt calls the two ways blockpull and blockcommit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar, Final, assert_never

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume, index_tags
from lvmqcow.core.names import Format, VolumeName, pending_removal_name, pending_removal_origin
from lvmqcow.core.qcow2 import Measure
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.core.wiping import Wipe, Wiping, wipe_tags
from lvmqcow.errors import Corrupt, SnapshotHasChildren
from lvmqcow.operations.operation import Kind, OnLv, Operation, Questions, Recovery, carrier
from lvmqcow.operations.rollback import Discarding
from lvmqcow.operations.shared.allocation import Allocation
from lvmqcow.operations.shared.chain_steps import activate_steps, deactivate_steps, index_steps, refresh_steps
from lvmqcow.operations.shared.interrupted import (
    is_snapshot,
    parent_in_header,
    reads_through,
    require_read_by_none_but,
)
from lvmqcow.operations.shared.plan import Commit, Plan, writing
from lvmqcow.operations.shared.preconditions import require_changing, require_qcow2, require_unread, verified_tree
from lvmqcow.operations.shared.removal import removal_steps, wipe_or_default, with_wipe_record
from lvmqcow.steps import LvRename, LvTag, QcowCommit, QcowRebase, QcowRelink, QcowRepairLeaks, Step

__all__ = ["DELETE", "DeleteSnapshot", "Merge", "Pulling", "Pushing"]


class Merge(StrEnum):
    """How the data of a deleted snapshot and its child become one."""

    AUTO = "auto"
    """Whichever moves fewer bytes."""
    PULL = "pull"
    """The child takes what it reads through the snapshot (``qemu-img rebase``)."""
    PUSH = "push"
    """The snapshot takes all of the child's data, then its place (``qemu-img commit``)."""
    RFC = "rfc"
    """As the patch series does: push into the oldest snapshot, pull from any other."""


@dataclass(frozen=True)
class Pulling(OnLv):
    """On a snapshot being deleted: its data is on the way into ``child``. Its own image stays whole."""

    verb: ClassVar = "pull"
    content_unneeded: ClassVar = True

    child: str

    def belongs(self, volume: Volume, lv: LogicalVolume) -> bool:
        snapshot = is_snapshot(volume, lv) and self.child != lv.name
        return snapshot or pending_removal_origin(lv.name) is not None

    def safe_to_open(self, volume: Volume, lv: LogicalVolume) -> bool:
        return self.child == lv.name or reads_through(volume, self.child, lv.name)


@dataclass(frozen=True)
class Pushing(OnLv):
    """On a snapshot being deleted: it takes the data of ``child``, then its name.

    ``snapshot`` is what the LV was called at first, so that it shows whether it was renamed yet.
    """

    verb: ClassVar = "push"

    snapshot: str
    child: str

    def belongs(self, volume: Volume, lv: LogicalVolume) -> bool:
        before = is_snapshot(volume, lv) and lv.name == self.snapshot != self.child
        renamed = lv.name == self.child and volume.layer(self.snapshot) is None
        merged = volume.layer(lv.name) is not None and renamed
        return before or merged or pending_removal_origin(lv.name) is not None

    def safe_to_open(self, volume: Volume, lv: LogicalVolume) -> bool:
        return self.child == lv.name or reads_through(volume, self.child, lv.name)

    @property
    def replaces(self) -> str:
        return self.child


_COMMIT: Final = Commit(writing(Pulling, Pushing, Discarding))


@dataclass(frozen=True)
class DeleteSnapshot:
    """Forget a snapshot of any branch; what the volume and the other snapshots hold stays."""

    kind: ClassVar = Kind("delete-snapshot", _COMMIT)

    volume: VolumeName
    snapshot: str
    merge: Merge = Merge.AUTO
    wipe: Wipe | None = None
    """None: as the storage does by default."""

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> VolumeName:
        return self.volume

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises VolumeNotFound, SnapshotNotFound, NotPossible (raw, a template), SnapshotHasChildren (several, or
        clones), NoSpace or Corrupt.
        """
        volume = vg.volume(self.volume)
        child = self._only_child(volume)
        pulling = child is not None and self._pulls(volume, child, images)
        snapshot = volume.snapshot(self.snapshot)
        tree, wipe = verified_tree(volume), wipe_or_default(vg, self.wipe)
        marked = replace(snapshot, lv=with_wipe_record(snapshot.lv, wipe))
        if child is None:
            assert snapshot.parent is not None  # verified_tree: the lowest layer of all is below the current one
            begin = LvTag((snapshot.lv.name,), add=(Discarding(snapshot.parent).tag, *wipe_tags(wipe)))
            steps = (*index_steps(tree), begin, *removal_steps(vg, [marked.lv]))
            return Plan("delete-snapshot", vg.name, self.volume, steps, _COMMIT)
        intent = Pulling(child.lv.name) if pulling else Pushing(snapshot.lv.name, child.lv.name)
        merge = _pull_steps if pulling else _push_steps
        below = (layer for layer in volume.line(child) if layer is not snapshot)
        begun: tuple[Step, ...] = (
            *index_steps(tree),
            *activate_steps(volume.reads(child)),
            LvTag((snapshot.lv.name,), add=(intent.tag, *wipe_tags(wipe))),
        )
        merged = (*begun, *merge(vg, marked, child, images.measure), *deactivate_steps(below))
        return Plan("delete-snapshot", vg.name, self.volume, merged, _COMMIT)

    def _only_child(self, volume: Volume) -> Layer | None:
        """The one layer that reads through the snapshot; None at the tip of a branch."""
        require_qcow2(volume, "snapshots")
        require_changing(volume, "deletion of a snapshot")
        snapshot = volume.snapshot(self.snapshot)
        require_unread(volume, snapshot)
        children = volume.children(snapshot)
        if len(children) > 1:
            raise SnapshotHasChildren(volume.target, self.snapshot, [child.lv.name for child in children])
        return children[0] if children else None

    def _pulls(self, volume: Volume, child: Layer, images: Questions) -> bool:
        """Whether the child takes what it reads through the snapshot, rather than the snapshot the child's data."""
        match self.merge:
            case Merge.PULL:
                return True
            case Merge.PUSH:
                return False
            case Merge.RFC:
                return volume.snapshot(self.snapshot).parent is not None
            case Merge.AUTO:
                if not all(layer.lv.active for layer in (*volume.line(child), *volume.bases)):
                    return volume.snapshot(self.snapshot).parent is not None  # what would move cannot be seen
                cost = images.merge_cost(child.lv.name)
                return cost.pull_bytes <= cost.push_bytes
            case _:
                assert_never(self.merge)


def _recover(vg: VolumeGroup, volume: Volume, measure: Measure) -> Recovery | None:
    if snapshot := carrier(volume, Pulling):
        pulling = Pulling.among(snapshot.lv.tags)
        assert pulling is not None  # carrier
        return Recovery("finish delete-snapshot", _pull_again(vg, volume, snapshot, pulling, measure))
    if snapshot := carrier(volume, Pushing):
        pushing = Pushing.among(snapshot.lv.tags)
        assert pushing is not None  # carrier
        return Recovery("finish delete-snapshot", _push_again(vg, volume, snapshot, pushing, measure))
    return None


DELETE: Final = Operation(
    requests=(DeleteSnapshot,),
    intents=(Pulling, Pushing),
    recover=_recover,
    cuts=(
        ("`pull/C` on S, C is indexed as S's child", "finish: link C back to S, which makes C whole; pull again"),
        ("`pull/C` on S, C is indexed otherwise", "finish: remove S"),
        ("`push/S/C` on S, C is there", "finish: free what is leaked in S, commit again"),
        ("`push/S/C` on S, C is called `del-C`", "finish: rename S to C"),
        ("`push/S/C` on C", "finish: drop the intent, remove `del-C`"),
        ("`discard/P` on S", "finish: remove S"),
    ),
)


def _pull_steps(vg: VolumeGroup, snapshot: Layer, child: Layer, measure: Measure) -> tuple[Step, ...]:
    """From 2 on; recovery runs the same."""
    new = index_tags(_size(child), snapshot.parent)
    old = index_tags(_size(child), snapshot.lv.name)
    allocation = Allocation(vg, measure)
    return (
        *allocation.extend_steps(child, allocation.lv_bytes(Format.QCOW2, _size(child), child.options)),
        QcowRebase(child.lv.name, snapshot.parent, snapshot.lv.name),
        LvTag(
            (child.lv.name,),
            add=tuple(tag for tag in new if tag not in old),
            drop=tuple(tag for tag in old if tag not in new),
        ),
        *removal_steps(vg, [replace(snapshot.lv, active=True)]),
    )


def _push_steps(vg: VolumeGroup, snapshot: Layer, child: Layer, measure: Measure) -> tuple[Step, ...]:
    """From 2 on; recovery runs the same."""
    wiping = snapshot.lv.wiping
    record = wipe_tags(wiping.wipe) if isinstance(wiping, Wiping) else ()
    leaving_name = pending_removal_name(child.lv.name, vg.lv_names)
    leaving = replace(child.lv, name=leaving_name, tags=child.lv.tags | set(record), active=True)
    larger = max(_size(child), _size(snapshot))
    allocation = Allocation(vg, measure)
    return (
        *allocation.extend_steps(snapshot, allocation.lv_bytes(Format.QCOW2, larger, snapshot.options)),
        QcowCommit(child.lv.name, snapshot.lv.name),
        *((LvTag((child.lv.name,), add=record),) if record else ()),
        LvRename(child.lv.name, leaving_name),
        *_take_place_steps(snapshot, Pushing(snapshot.lv.name, child.lv.name), _size(child)),
        *removal_steps(vg, [leaving]),
    )


def _take_place_steps(snapshot: Layer, intent: Pushing, size_bytes: int) -> tuple[Step, ...]:
    """S, merged and not renamed yet, takes the child's name, and its size."""
    return (LvRename(intent.snapshot, intent.child), _done_step(snapshot, intent, size_bytes))


def _done_step(snapshot: Layer, intent: Pushing, size_bytes: int) -> LvTag:
    """S, under its new name, is done: no intent, no record of a wipe, and the child's size in the index."""
    new = index_tags(size_bytes, snapshot.parent)
    old = index_tags(_size(snapshot), snapshot.parent)
    record = (snapshot.lv.wiping.tag,) if snapshot.lv.wiping else ()
    return LvTag(
        (intent.child,),
        add=tuple(tag for tag in new if tag not in old),
        drop=(intent.tag, *record, *(tag for tag in old if tag not in new)),
    )


def _pull_again(
    vg: VolumeGroup, volume: Volume, snapshot: Layer, intent: Pulling, measure: Measure
) -> tuple[Step, ...]:
    child = volume.layer(intent.child)
    if child is None:
        raise Corrupt(volume.target, [f"{snapshot.lv.name} was being pulled into {intent.child}, which is not there"])
    if child.parent != snapshot.lv.name:
        named = parent_in_header(volume, child)
        if volume.children(snapshot) or not (child.parent == named == snapshot.parent):
            reads = f"{child.lv.name} reads through {named}, and its tags say {child.parent}"
            raise Corrupt(volume.target, [f"{snapshot.lv.name} may not be removed yet: {reads}"])
        return removal_steps(vg, [snapshot.lv])
    require_read_by_none_but(volume, snapshot, (child,))
    below = (layer for layer in volume.below(child) if layer is not snapshot)
    return (
        *activate_steps(volume.reads(child)),
        *refresh_steps([child]),
        QcowRelink(child.lv.name, snapshot.lv.name),
        QcowRepairLeaks(child.lv.name),
        *_pull_steps(vg, snapshot, child, measure),
        *deactivate_steps(below),
    )


def _push_again(
    vg: VolumeGroup, volume: Volume, snapshot: Layer, intent: Pushing, measure: Measure
) -> tuple[Step, ...]:
    child = volume.layer(intent.child)
    if snapshot.lv.name == intent.snapshot and child is not None:
        if child.parent != snapshot.lv.name or parent_in_header(volume, child) != snapshot.lv.name:
            raise Corrupt(volume.target, [f"{child.lv.name} was being pushed into {intent.snapshot}, not its parent"])
        require_read_by_none_but(volume, snapshot, (child,))
        below = (layer for layer in volume.below(child) if layer is not snapshot)
        return (
            *activate_steps(volume.reads(child)),
            *refresh_steps([snapshot]),
            QcowRepairLeaks(snapshot.lv.name),  # a commit that was killed may have allocated clusters, not linked yet
            *_push_steps(vg, snapshot, child, measure),
            *deactivate_steps(below),
        )
    merged = next((lv for lv in volume.own_pending_removals if pending_removal_origin(lv.name) == intent.child), None)
    if merged is None or merged.recorded_size_bytes is None:
        raise Corrupt(volume.target, [f"{intent.child} was being pushed into {snapshot.lv.name}, and is not there"])
    if snapshot.lv.name == intent.snapshot:
        return _take_place_steps(snapshot, intent, merged.recorded_size_bytes)
    return (_done_step(snapshot, intent, merged.recorded_size_bytes),)


def _size(layer: Layer) -> int:
    assert layer.virtual_size_bytes is not None  # verified_tree
    return layer.virtual_size_bytes
