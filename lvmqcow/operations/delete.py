"""Delete a snapshot S with the parent P (or none) and the child C. The data of S and C become one image.

C is the current layer or a snapshot of any branch. If S has several children, the deletion is refused, because S would
have to be merged into each. It is also refused while a clone reads through S. P may be a layer of another volume.

Pull copies into C the data that C reads through S. It moves the clusters of S that C does not have:

1. write the intent ``pull`` to S, with the record of its wipe
2. extend C if it is too small
3. rebase C onto P
4. change C's index tags to name P: from here on nothing needs S
5. remove S (`lvmqcow.operations.shared.removal`)

After a cut between 1 and 4, C's header may name P while the data is not in C yet. S is still complete. Recovery links C
back to S, so that C reads right again, and goes on from 3. After a cut after 4, recovery goes on with 5.

Push writes all data of C into S, and then S takes the place of C. It moves the clusters of C:

1. write the intent ``push`` to S: from here on S is no snapshot; the record of a wipe on S is meant for C
2. extend S so that it can hold all that C can
3. commit C into S
4. write the record to C, and rename C to ``del-C``
5. rename S to C: layers that read through C now read through S under the same name
6. drop the intent and the record; the index tags of S get C's size
7. remove ``del-C``

Until 3 is done, C reads right whatever S holds, so recovery may commit again. The names show which step is the first
that is not done, and recovery goes on from there.

Without a child, at the tip of a branch, nothing needs the data of S:

1. write the intent ``discard`` to S: from here on S is no snapshot (`lvmqcow.operations.rollback` recovers this)
2. remove S

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
    """Which way data moves when a snapshot is deleted."""

    AUTO = "auto"
    """Pull or push, whichever moves fewer bytes."""
    PULL = "pull"
    """Copy into the child the data that it reads through the snapshot (``qemu-img rebase``)."""
    PUSH = "push"
    """Write all data of the child into the snapshot, which takes the child's place (``qemu-img commit``)."""
    RFC = "rfc"
    """Do what the patch series does: push into the oldest snapshot, pull from any other."""


@dataclass(frozen=True)
class Pulling(OnLv):
    """A pull is under way. The snapshot that carries this intent is being copied into ``child`` and stays complete."""

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
    """A push is under way. The LV that carries this intent takes the data of ``child``, then its name.

    ``snapshot`` is the first name of that LV, so the intent shows whether the LV was renamed.
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
    """Delete a snapshot of any branch. The content of the volume and of the other snapshots stays."""

    kind: ClassVar = Kind("delete-snapshot", _COMMIT)

    volume: VolumeName
    snapshot: str
    merge: Merge = Merge.AUTO
    wipe: Wipe | None = None
    """How the LV that goes is wiped. None: as the storage does by default."""

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> VolumeName:
        return self.volume

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises VolumeNotFound, SnapshotNotFound, NotPossible (the volume is raw or a template), SnapshotHasChildren
        (several children, or clones), NoSpace or Corrupt.
        """
        volume = vg.volume(self.volume)
        child = self._only_child(volume)
        pulling = child is not None and self._pulls(volume, child, images)
        snapshot = volume.snapshot(self.snapshot)
        tree, wipe = verified_tree(volume), wipe_or_default(vg, self.wipe)
        marked = replace(snapshot, lv=with_wipe_record(snapshot.lv, wipe))
        if child is None:
            assert snapshot.parent is not None  # verified_tree: the oldest layer is below the current one
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
        """Return the one layer that reads through the snapshot; None at the tip of a branch."""
        require_qcow2(volume, "snapshots")
        require_changing(volume, "deletion of a snapshot")
        snapshot = volume.snapshot(self.snapshot)
        require_unread(volume, snapshot)
        children = volume.children(snapshot)
        if len(children) > 1:
            raise SnapshotHasChildren(volume.target, self.snapshot, [child.lv.name for child in children])
        return children[0] if children else None

    def _pulls(self, volume: Volume, child: Layer, images: Questions) -> bool:
        """Return whether to pull; else push."""
        match self.merge:
            case Merge.PULL:
                return True
            case Merge.PUSH:
                return False
            case Merge.RFC:
                return volume.snapshot(self.snapshot).parent is not None
            case Merge.AUTO:
                if not all(layer.lv.active for layer in (*volume.line(child), *volume.bases)):
                    return volume.snapshot(self.snapshot).parent is not None  # inactive images cannot be measured
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
    """Return the steps of a pull from 2 on. Recovery runs the same steps."""
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
    """Return the steps of a push from 2 on. Recovery runs the same steps."""
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
    """Return steps 5 and 6 of a push: S takes the child's name and size."""
    return (LvRename(intent.snapshot, intent.child), _done_step(snapshot, intent, size_bytes))


def _done_step(snapshot: Layer, intent: Pushing, size_bytes: int) -> LvTag:
    """Return step 6 of a push: drop the intent and the record of a wipe, and write the child's size."""
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
            reads = f"{child.lv.name} reads through {named}, but its tags name {child.parent}"
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
            QcowRepairLeaks(snapshot.lv.name),  # a killed commit may have allocated clusters and not linked them
            *_push_steps(vg, snapshot, child, measure),
            *deactivate_steps(below),
        )
    merged = next((lv for lv in volume.own_pending_removals if pending_removal_origin(lv.name) == intent.child), None)
    if merged is None or merged.recorded_size_bytes is None:
        raise Corrupt(volume.target, [f"{intent.child} was being pushed into {snapshot.lv.name}, but is not there"])
    if snapshot.lv.name == intent.snapshot:
        return _take_place_steps(snapshot, intent, merged.recorded_size_bytes)
    return (_done_step(snapshot, intent, merged.recorded_size_bytes),)


def _size(layer: Layer) -> int:
    assert layer.virtual_size_bytes is not None  # verified_tree
    return layer.virtual_size_bytes
