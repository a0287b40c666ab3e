"""Resize: the volume grows; what is new of it reads as zeros. It never shrinks.

1. the intent ``resize/OLD/NEW`` on V
2. extend V, where it is too small for NEW
3. qcow2: write NEW to the image's header; raw: zero what is new, for the extents hold what they held before
4. drop the intent; the index says NEW

Only 2 needs space, and recovery none: a cut before it is undone (nothing has happened but a tag), a cut after it is
finished, by 3 and 4 again. The LV says which: it is large enough for NEW, or it is not. After a rollback
the LV of a qcow2 volume is larger than its image needs; the next resize uses that up first.

To the size it has, the plan is empty: who does not know whether it was done asks again. Unless V is too small for the
image it has (the seed's sums, a merge by other tools): then 3 has nothing to do and is left out, so that this can be
done below a running guest, which is who needs it.
"""

from __future__ import annotations

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.intents import Resizing
from lvmqcow.core.lv import index_tags
from lvmqcow.core.names import Format
from lvmqcow.core.sizing import whole_extents, whole_sectors
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.errors import NotPossible
from lvmqcow.operations.requests import Grow, Resize
from lvmqcow.operations.shared.common import activated, deactivated, grown, indexed, require_changing, sound_chain
from lvmqcow.operations.shared.plan import Measure, Plan
from lvmqcow.steps import LvTag, LvZeroRange, QcowResize, Step
from lvmqcow.units import format_apart

__all__ = ["finish_resize", "lv_bytes", "plan_grow", "plan_resize"]


def plan_resize(vg: VolumeGroup, request: Resize, measure: Measure) -> Plan:
    """Raises VolumeNotFound, InvalidSize, NotPossible (smaller), NoSpace or Corrupt."""
    volume = vg.volume(request.volume)
    require_changing(volume, "resize")
    return _plan(vg, volume, sound_chain(volume), request.size_bytes, measure)


def plan_grow(vg: VolumeGroup, request: Grow, measure: Measure) -> Plan:
    """As `plan_resize`, to so much more than it has."""
    volume = vg.volume(request.volume)
    require_changing(volume, "resize")
    chain = sound_chain(volume)
    return _plan(vg, volume, chain, _size_bytes(chain[0]) + request.more_bytes, measure)


def lv_bytes(volume: Volume, current: Layer, intent: Resizing, measure: Measure) -> int:
    """What the current LV has to hold before anything else happens."""
    return measure(intent.new_bytes, current.options) if volume.name.format is Format.QCOW2 else intent.new_bytes


def finish_resize(volume: Volume, current: Layer, intent: Resizing) -> tuple[Step, ...]:
    """Once the LV is large enough: also what recovery runs."""
    name, added = current.lv.name, intent.new_bytes - intent.old_bytes
    if not added:
        return (LvTag((name,), drop=(intent.tag,)),)
    if volume.name.format is Format.RAW:
        return (LvZeroRange(name, intent.old_bytes, added), LvTag((name,), drop=(intent.tag,)))
    (old,), (new,) = index_tags(intent.old_bytes, None), index_tags(intent.new_bytes, None)
    return (QcowResize(name, intent.new_bytes), LvTag((name,), add=(new,), drop=(intent.tag, old)))


def _plan(vg: VolumeGroup, volume: Volume, chain: tuple[Layer, ...], size_bytes: int, measure: Measure) -> Plan:
    current, name = chain[0], volume.name
    old_bytes, new_bytes = _size_bytes(current), whole_sectors(size_bytes)
    if volume.name.format is Format.RAW:
        new_bytes = whole_extents(new_bytes, vg.extent_size_bytes)
    if new_bytes < old_bytes:
        has, beyond = format_apart(old_bytes, new_bytes)
        reason = f"it has {has}, and making it smaller would cut off what lies beyond {beyond}"
        raise NotPossible(volume.target, reason, "create a smaller volume and let the guest copy what it needs")
    intent = Resizing(old_bytes, new_bytes)
    more = grown(vg, current, lv_bytes(volume, current, intent, measure))
    if new_bytes == old_bytes and not more:
        return Plan("resize", vg.name, name, ())
    opened = chain if new_bytes > old_bytes else ()
    committed: tuple[Step, ...] = (
        *indexed(chain if name.format is Format.QCOW2 else ()),
        *activated((*opened, *volume.bases) if opened else ()),
        LvTag((current.lv.name,), add=(intent.tag,)),
        *more,
    )
    steps = (*committed, *finish_resize(volume, current, intent), *deactivated(opened))
    return Plan("resize", vg.name, name, steps)


def _size_bytes(current: Layer) -> int:
    assert current.virtual_size_bytes is not None  # sound_chain
    return current.virtual_size_bytes
