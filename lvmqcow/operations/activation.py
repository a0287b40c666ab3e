"""Activate or deactivate a volume: all its layers, and nothing else.

Activate:

1. activate the inactive layers and the bases of a clone, in one command, exclusively on this host
2. turn autoactivation off on layers that have it (the patch series left it on): at the next boot, another host could
   already use them
3. refresh the layers that were active: after another host extended an LV, its device here has the old size

Deactivate:

1. deactivate the active layers, in one command; bases stay active, because other clones may use them

The commands name every LV with its volume group, so they do not touch a volume of the same name in another volume
group, as a tag would. LVs named ``new-`` and ``del-`` are no layers. A cut leaves some layers active and others
inactive. That is harmless and leaves nothing to recover: the same request again does the rest.

Source: ``activate_volume`` and ``deactivate_volume`` of the patch series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import VolumeName
from lvmqcow.operations.operation import NOTHING_CUT, Kind, Operation, Questions
from lvmqcow.operations.shared.chain_steps import activate_steps
from lvmqcow.operations.shared.plan import NEVER, Plan
from lvmqcow.steps import LvAutoactivation, LvDeactivate, LvRefresh, Step

__all__ = ["ACTIVATION", "Activate", "Deactivate"]


@dataclass(frozen=True)
class Activate:
    """Activate a volume and its snapshots exclusively on this host, and refresh those that are active."""

    kind: ClassVar = Kind("activate", NEVER, while_postponed=True)

    volume: VolumeName

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> None:
        return None

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises VolumeNotFound."""
        volume = vg.volume(self.volume)
        active = tuple(layer.lv.name for layer in volume.layers if layer.lv.active)
        at_boot = tuple(layer.lv.name for layer in volume.layers if layer.lv.autoactivated)
        steps: tuple[Step, ...] = (
            *activate_steps((*volume.layers, *volume.bases)),
            *((LvAutoactivation(at_boot, False),) if at_boot else ()),
            *((LvRefresh(active),) if active else ()),
        )
        return Plan("activate", vg.name, self.volume, steps, NEVER)


@dataclass(frozen=True)
class Deactivate:
    """Deactivate a volume and its snapshots on this host."""

    kind: ClassVar = Kind("deactivate", NEVER, while_postponed=True)

    volume: VolumeName

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> None:
        return None

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises VolumeNotFound. The engine checks whether something uses the volume; the picture does not show it."""
        active = tuple(layer.lv.name for layer in vg.volume(self.volume).layers if layer.lv.active)
        steps: tuple[Step, ...] = (LvDeactivate(active),) if active else ()
        return Plan("deactivate", vg.name, self.volume, steps, NEVER)


ACTIVATION: Final = Operation(
    requests=(Activate, Deactivate),
    intents=(),
    recover=NOTHING_CUT,
    cuts=(),
)
