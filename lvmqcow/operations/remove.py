"""Remove a volume with all its snapshots.

1. the intent ``remove`` on every LV of it, in one command, and there too the record that it is to be wiped
2. let them go (`lvmqcow.operations.shared.removal`): without a wipe they are removed in one command

lvm2 works through the LVs of one command one by one, in an order of its own. A cut inside 1 leaves some LVs without
the intent, so nothing was renamed or removed yet: recovery takes it back. Once all have it, recovery goes on with 2.
What waits under a ``del-`` name for another tool to wipe it is not ours and stays.
"""

from __future__ import annotations

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.intents import Removing
from lvmqcow.core.wiping import wipe_tags
from lvmqcow.operations.requests import Remove
from lvmqcow.operations.shared.common import require_no_clones
from lvmqcow.operations.shared.plan import Plan
from lvmqcow.operations.shared.removal import SEGMENT_BYTES, gone, marked
from lvmqcow.steps import LvTag, Step

__all__ = ["plan_remove"]


def plan_remove(vg: VolumeGroup, request: Remove, segment_bytes: int = SEGMENT_BYTES) -> Plan:
    """Raises VolumeNotFound, or NotPossible while there are clones of it. A damaged volume can be removed."""
    volume = vg.volume(request.volume)
    require_no_clones(vg, volume)
    lvs = volume.kept
    steps: tuple[Step, ...] = (
        LvTag(tuple(lv.name for lv in lvs), add=(Removing().tag, *wipe_tags(request.wipe))),
        *gone(vg, [marked(lv, request.wipe) for lv in lvs], segment_bytes),
    )
    return Plan("remove", vg.name, request.volume, steps)
