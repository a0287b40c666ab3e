"""Take a snapshot: the current LV becomes the snapshot, a fresh overlay takes its place.

1. an LV ``new-V``, as large as a full overlay can get
2. format it as an overlay of the name the snapshot will have
3. rename V to the snapshot's name
4. rename ``new-V`` to V

Everything that can fail for want of space or of a sound disk is over before the first rename. A cut before 3 leaves
``new-V`` beside V: recovery removes it. A cut after 3 leaves ``new-V`` and no V: recovery does 4. The names say it;
no intent is needed. (The seed renames first, then creates: a failure in between leaves no current volume.)
"""

from __future__ import annotations

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import index_tags
from lvmqcow.core.names import Layout, check_snapshot_fits, check_snapshot_name, new_lv_name, snapshot_lv_name
from lvmqcow.core.sizing import whole_extents
from lvmqcow.operations.requests import Snapshot
from lvmqcow.operations.shared.common import (
    deactivated,
    indexed,
    require_changing,
    require_free_name,
    require_new_lv,
    require_one_reading,
    require_qcow2,
    sound_chain,
)
from lvmqcow.operations.shared.plan import Measure, Plan
from lvmqcow.steps import LvCreate, LvRename, QcowCreate, Step

__all__ = ["plan_snapshot"]


def plan_snapshot(vg: VolumeGroup, request: Snapshot, measure: Measure) -> Plan:
    """Raises InvalidName, VolumeNotFound, NotPossible (raw), AlreadyExists, NoSpace or Corrupt."""
    name = request.volume
    check_snapshot_name(request.snapshot)
    volume = vg.volume(name)
    check_snapshot_fits(vg.name, name, request.snapshot, volume.layout)
    require_qcow2(volume, "snapshots")
    require_changing(volume, "snapshot")
    current = sound_chain(volume)[0]
    frozen, new = volume.snapshot_lv(request.snapshot), new_lv_name(name)
    require_free_name(
        vg, "snapshot", request.snapshot, *(snapshot_lv_name(name, request.snapshot, each) for each in Layout)
    )
    require_one_reading(vg, "snapshot", request.snapshot, name, frozen)
    require_free_name(vg, "logical volume", new, new)
    assert current.virtual_size_bytes is not None  # sound_chain
    lv_size_bytes = whole_extents(measure(current.virtual_size_bytes), vg.extent_size_bytes)
    require_new_lv(vg, lv_size_bytes)
    index = index_tags(current.virtual_size_bytes, frozen)
    before = indexed([current])
    steps: tuple[Step, ...] = (
        *before,
        LvCreate(new, lv_size_bytes, (*name.tags, *index)),
        QcowCreate(new, current.virtual_size_bytes, frozen),
        LvRename(name.text, frozen),
        LvRename(new, name.text),
        *deactivated([current]),
    )
    return Plan("snapshot", vg.name, name, steps)
