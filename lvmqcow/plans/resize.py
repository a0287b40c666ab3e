"""Resize: the volume grows; what is new of it reads as zeros. It never shrinks.

1. the intent ``resize/OLD/NEW`` on V
2. extend V, where it is too small for NEW
3. qcow2: write NEW to the image's header; raw: zero what is new, for the extents hold what they held before
4. drop the intent; the index says NEW

Only 2 needs space, and recovery none: a cut before it is undone (nothing has happened but a tag), a cut after it is
finished, by 3 and 4 again. The LV says which: it is large enough for NEW, or it is not. After a rollback
the LV of a qcow2 volume is larger than its image needs; the next resize uses that up first.

To the size it has, the plan is empty: who does not know whether it was done asks again.
"""

from __future__ import annotations

from lvmqcow.errors import NotPossible
from lvmqcow.intents import Resizing
from lvmqcow.model import Layer, Volume, VolumeGroup, index_tags
from lvmqcow.names import Format
from lvmqcow.plans.common import activated, deactivated, grown, indexed, sound_chain
from lvmqcow.plans.plan import Measure, Plan
from lvmqcow.requests import Resize
from lvmqcow.sizing import whole_extents, whole_sectors
from lvmqcow.steps import LvTag, LvZeroRange, QcowResize, Step

__all__ = ["finish_resize", "lv_bytes", "plan_resize"]


def plan_resize(vg: VolumeGroup, request: Resize, measure: Measure) -> Plan:
    """Raises VolumeNotFound, InvalidSize, NotPossible (smaller), NoSpace or Corrupt."""
    volume = vg.volume(request.volume)
    chain = sound_chain(volume)
    current = chain[0]
    old_bytes = current.virtual_size_bytes
    assert old_bytes is not None  # sound_chain
    new_bytes = whole_sectors(request.size_bytes + (old_bytes if request.relative else 0))
    if volume.name.format is Format.RAW:
        new_bytes = whole_extents(new_bytes, vg.extent_size_bytes)
    if new_bytes < old_bytes:
        reason = f"it has {old_bytes} bytes, and making it smaller would cut off what lies beyond {new_bytes}"
        raise NotPossible(volume.target, reason, "create a smaller volume and let the guest copy what it needs")
    if new_bytes == old_bytes:
        return Plan("resize", vg.name, request.volume, (), commit_point=0)
    intent = Resizing(old_bytes, new_bytes)
    committed: tuple[Step, ...] = (
        *indexed(chain if volume.name.format is Format.QCOW2 else ()),
        *activated(chain),
        LvTag((current.lv.name,), add=(intent.tag,)),
        *grown(vg, current, lv_bytes(volume, intent, measure)),
    )
    steps = (*committed, *finish_resize(volume, current, intent), *deactivated(chain))
    return Plan("resize", vg.name, request.volume, steps, commit_point=len(committed))


def lv_bytes(volume: Volume, intent: Resizing, measure: Measure) -> int:
    """What the current LV has to hold before anything else happens."""
    return measure(intent.new_bytes) if volume.name.format is Format.QCOW2 else intent.new_bytes


def finish_resize(volume: Volume, current: Layer, intent: Resizing) -> tuple[Step, ...]:
    """Once the LV is large enough: also what recovery runs."""
    name, added = current.lv.name, intent.new_bytes - intent.old_bytes
    if volume.name.format is Format.RAW:
        return (LvZeroRange(name, intent.old_bytes, added), LvTag((name,), drop=(intent.tag,)))
    (old,), (new,) = index_tags(intent.old_bytes, None), index_tags(intent.new_bytes, None)
    return (QcowResize(name, intent.new_bytes), LvTag((name,), add=(new,), drop=(intent.tag, old)))
