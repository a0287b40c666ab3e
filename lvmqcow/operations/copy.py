"""Copy a volume, as it is now or as it was at a snapshot, into a new volume N of either format.

1. activate what is read
2. create N (`lvmqcow.operations.create`), with what a guest reads there, holes left out
3. drop N's intent: now N exists
4. deactivate what 1 activated; and N, if what was copied was not active

A cut before 3 is that of a create: recovery of N removes it. The source is only read. Whoever has its current layer
open could write to it meanwhile, so that is refused; a snapshot never changes, and can be copied below a running guest.
"""

from __future__ import annotations

from lvmqcow.core.group import VolumeGroup
from lvmqcow.operations.create import existing, filled
from lvmqcow.operations.requests import Copy
from lvmqcow.operations.shared.common import activated, deactivated, sound_below
from lvmqcow.operations.shared.plan import Measure, Plan
from lvmqcow.steps import ImageCopy, LvDeactivate, Step

__all__ = ["plan_copy"]


def plan_copy(vg: VolumeGroup, request: Copy, measure: Measure) -> Plan:
    """Raises VolumeNotFound, SnapshotNotFound, AlreadyExists, NoSpace, InvalidName (too long) or Corrupt."""
    volume, new = vg.volume(request.volume), request.new
    layer = volume.snapshot(request.snapshot) if request.snapshot else volume.current
    below = sound_below(volume, layer)
    assert layer.virtual_size_bytes is not None  # sound_below
    fill = ImageCopy(layer.lv.name, volume.name.format, new.text, new.format)
    done: tuple[Step, ...] = (
        *activated((*below, *volume.bases)),
        *filled(vg, new, layer.virtual_size_bytes, measure, (fill,)),
        existing(new),
    )
    steps = (*done, *deactivated(below), *(() if layer.lv.active else (LvDeactivate((new.text,)),)))
    still = frozenset({layer.lv.name} if layer.snapshot is None else ())
    return Plan("copy", vg.name, new, steps, still=still)
