"""Take a snapshot: the current LV V becomes the snapshot, and a new overlay takes its place.

1. create an LV ``new-V``, as large as a fully allocated overlay
2. format ``new-V`` as an overlay of the name that the snapshot will have
3. rename V to the snapshot's name
4. rename ``new-V`` to V

All steps that can fail because of a full volume group or a bad disk come before the first rename. A cut before 3 leaves
``new-V`` and V: recovery removes ``new-V``. A cut after 3 leaves ``new-V`` and no V: recovery runs 4. The names show
which, so no intent is needed. (The patch series renames first and then creates, so a failure in between leaves the
volume without a current LV.)

Source: ``volume_snapshot`` of the patch series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import index_tags
from lvmqcow.core.names import (
    Format,
    Layout,
    VolumeName,
    check_snapshot_fits,
    check_snapshot_name,
    new_lv_name,
    snapshot_lv_name,
)
from lvmqcow.core.qcow2 import Measure
from lvmqcow.core.volume import Volume
from lvmqcow.errors import Corrupt
from lvmqcow.operations.operation import Kind, Operation, Questions, Recovery
from lvmqcow.operations.shared.allocation import Allocation
from lvmqcow.operations.shared.chain_steps import deactivate_steps, index_steps
from lvmqcow.operations.shared.plan import Commit, Plan, renaming
from lvmqcow.operations.shared.preconditions import (
    require_changing,
    require_free_name,
    require_one_reading,
    require_qcow2,
    verified_chain,
)
from lvmqcow.steps import LvCreate, LvRemove, LvRename, QcowCreate, Step

__all__ = ["SNAPSHOT", "Snapshot"]

_COMMIT: Final = Commit(renaming)


@dataclass(frozen=True)
class Snapshot:
    """Take a snapshot of the volume."""

    kind: ClassVar = Kind("snapshot", _COMMIT)

    volume: VolumeName
    snapshot: str

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> VolumeName:
        return self.volume

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises InvalidName, VolumeNotFound, NotPossible (raw), AlreadyExists, NoSpace or Corrupt."""
        name = self.volume
        check_snapshot_name(self.snapshot)
        volume = vg.volume(name)
        check_snapshot_fits(vg.name, name, self.snapshot, volume.layout)
        require_qcow2(volume, "snapshots")
        require_changing(volume, "snapshot")
        current = verified_chain(volume)[0]
        frozen, new = volume.snapshot_lv(self.snapshot), new_lv_name(name)
        taken = (snapshot_lv_name(name, self.snapshot, each) for each in Layout)
        require_free_name(vg, "snapshot", self.snapshot, *taken)
        require_one_reading(vg, "snapshot", self.snapshot, name, frozen)
        require_free_name(vg, "logical volume", new, new)
        assert current.virtual_size_bytes is not None  # verified_chain
        lv_size_bytes = Allocation(vg, images.measure).new_lv_bytes(Format.QCOW2, current.virtual_size_bytes)
        tags = (*name.tags, *index_tags(current.virtual_size_bytes, frozen))
        steps: tuple[Step, ...] = (
            *index_steps([current]),
            LvCreate(new, lv_size_bytes, tags),
            QcowCreate(new, current.virtual_size_bytes, frozen),
            LvRename(name.text, frozen),
            LvRename(new, name.text),
            *deactivate_steps([current]),
        )
        return Plan("snapshot", vg.name, name, steps, _COMMIT)


def _recover(vg: VolumeGroup, volume: Volume, measure: Measure) -> Recovery | None:
    new = volume.new
    if new is None:
        return None
    parent = new.recorded_parent
    if volume.layer(volume.name.text) is not None:
        if parent is None or volume.layer(parent) is not None:
            raise Corrupt(volume.target, [f"{new.name} is not what a cut snapshot of {volume.name} leaves"])
        return Recovery("undo snapshot", (LvRemove((new.name,)),))
    if parent is None or volume.layer(parent) is None:
        raise Corrupt(volume.target, [f"{new.name} is to be the current LV, but its parent {parent} is not there"])
    return Recovery("finish snapshot", (LvRename(new.name, volume.name.text),))


SNAPSHOT: Final = Operation(
    requests=(Snapshot,),
    intents=(),
    recover=_recover,
    cuts=(
        ("`new-V` and V", "undo: remove `new-V`"),
        ("`new-V` and no V", "finish: rename `new-V` to V"),
    ),
)
