"""Roll back to the newest snapshot: the current LV is formatted anew, in place, as an empty overlay of it.

1. the intent ``rollback`` on V: from here on, what V held is given up
2. format V
3. drop the intent; V has the snapshot's virtual size, and the options that our images have

A cut after 1 leaves V half formatted, which no header shows for certain: the intent does. Recovery formats again.
In place, because a volume group need not have room for a second current LV.
"""

from __future__ import annotations

from lvmqcow.errors import NewerSnapshots
from lvmqcow.intents import RollingBack
from lvmqcow.model import Layer, VolumeGroup, index_tags
from lvmqcow.plans.common import activated, deactivated, indexed, require_qcow2, sound_chain
from lvmqcow.plans.plan import Plan
from lvmqcow.requests import Rollback
from lvmqcow.steps import LvTag, QcowCreate, Step

__all__ = ["format_again", "plan_rollback"]


def plan_rollback(vg: VolumeGroup, request: Rollback) -> Plan:
    """Raises VolumeNotFound, NotPossible (raw), SnapshotNotFound, NewerSnapshots (with them) or Corrupt."""
    volume = vg.volume(request.volume)
    require_qcow2(volume, "snapshots")
    target = volume.snapshot(request.snapshot)
    chain = sound_chain(volume)
    current = chain[0]
    newer = chain[1 : chain.index(target)] if target in chain else chain[1:]
    if newer or target not in chain:
        raise NewerSnapshots(volume.target, request.snapshot, [str(layer.snapshot) for layer in reversed(newer)])
    before: tuple[Step, ...] = (
        *indexed(chain),
        *activated([current]),
        LvTag((current.lv.name,), add=(RollingBack(target.lv.name).tag,)),
    )
    steps = (*before, *format_again(current, target), *deactivated([current]))
    return Plan("rollback", vg.name, request.volume, steps, commit_point=len(before))


def format_again(current: Layer, target: Layer) -> tuple[Step, ...]:
    """From the intent on: also what recovery runs."""
    assert target.virtual_size_bytes is not None  # sound_chain, or recovery's own check
    seen = index_tags(current.virtual_size_bytes or 0, current.parent, current.options)
    old = current.lv.index_tags if current.indexed else seen
    new = index_tags(target.virtual_size_bytes, target.lv.name)
    stale = tuple(tag for tag in old if tag not in new)
    fresh = tuple(tag for tag in new if tag not in old)
    return (
        QcowCreate(current.lv.name, target.virtual_size_bytes, target.lv.name),
        LvTag((current.lv.name,), add=fresh, drop=(RollingBack(target.lv.name).tag, *stale)),
    )
