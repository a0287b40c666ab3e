"""Activate or deactivate a volume: all its layers, and nothing else.

Activate:

1. activate the layers that are not active, a clone's bases too, in one command, for this host alone
2. let no boot activate those that one would (the seed patch made such): another host could have them open by then
3. refresh those that were active: an active LV keeps the size it had when another host extended it

Deactivate:

1. deactivate the layers that are active, in one command; bases stay, for another clone may use them

Every LV is named with its volume group, so a volume of the same name in another one stays as it is (a tag would reach
both); ``new-`` and ``del-`` LVs are no layers. A cut leaves some layers active and others not, which harms nothing and
leaves nothing to recover: the same request again does the rest.
"""

from __future__ import annotations

from lvmqcow.core.group import VolumeGroup
from lvmqcow.operations.requests import Activate, Deactivate
from lvmqcow.operations.shared.common import activated
from lvmqcow.operations.shared.plan import Plan
from lvmqcow.steps import LvAutoactivation, LvDeactivate, LvRefresh, Step

__all__ = ["plan_activate", "plan_deactivate"]


def plan_activate(vg: VolumeGroup, request: Activate) -> Plan:
    """Raises VolumeNotFound."""
    volume = vg.volume(request.volume)
    active = tuple(layer.lv.name for layer in volume.layers if layer.lv.active)
    at_boot = tuple(layer.lv.name for layer in volume.layers if layer.lv.autoactivated)
    steps: tuple[Step, ...] = (
        *activated((*volume.layers, *volume.bases)),
        *((LvAutoactivation(at_boot, False),) if at_boot else ()),
        *((LvRefresh(active),) if active else ()),
    )
    return Plan("activate", vg.name, request.volume, steps)


def plan_deactivate(vg: VolumeGroup, request: Deactivate) -> Plan:
    """Raises VolumeNotFound. Whether something uses the volume the picture does not say: that was asked before."""
    active = tuple(layer.lv.name for layer in vg.volume(request.volume).layers if layer.lv.active)
    steps: tuple[Step, ...] = (LvDeactivate(active),) if active else ()
    return Plan("deactivate", vg.name, request.volume, steps)
