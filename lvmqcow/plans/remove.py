"""Remove a volume with all its snapshots.

1. the intent ``remove`` on every LV of it, in one command
2. remove them all, in one command

lvm2 works through the LVs of one command one by one, in an order of its own. A cut inside 1 leaves some LVs without
the intent, so nothing was removed yet: recovery takes it back. Once all have it, recovery goes on with 2.
"""

from __future__ import annotations

from lvmqcow.intents import Removing
from lvmqcow.model import VolumeGroup
from lvmqcow.plans.plan import Plan
from lvmqcow.requests import Remove
from lvmqcow.steps import LvRemove, LvTag, Step

__all__ = ["plan_remove"]


def plan_remove(vg: VolumeGroup, request: Remove) -> Plan:
    """Raises VolumeNotFound. A damaged volume can be removed."""
    volume = vg.volume(request.volume)
    lvs = tuple(lv.name for lv in volume.logical_volumes)
    steps: tuple[Step, ...] = (LvTag(lvs, add=(Removing().tag,)), LvRemove(lvs))
    return Plan("remove", vg.name, request.volume, steps, commit_point=1)
