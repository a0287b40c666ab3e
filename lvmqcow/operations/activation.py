"""Activate or deactivate a volume: all its layers, and nothing else.

Activate:

1. activate the layers that are not active, a clone's bases too, in one command, for this host alone
2. turn autoactivation off where it is on (the patch series left it on): another host could have them open by then
3. refresh those that were active: an active LV keeps the size it had when another host extended it

Deactivate:

1. deactivate the layers that are active, in one command; bases stay, for another clone may use them

Every LV is named with its volume group, so a volume of the same name in another one stays as it is (a tag would reach
both). LVs named ``new-`` and ``del-`` are no layers. A cut leaves some layers active and others not. That harms nothing
and leaves nothing to recover: the same request again does the rest.

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
    """Make a volume's devices, and those of its snapshots, there and up to date on this host alone."""

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
    """Take a volume's devices, and those of its snapshots, away from this host."""

    kind: ClassVar = Kind("deactivate", NEVER, while_postponed=True)

    volume: VolumeName

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> None:
        return None

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises VolumeNotFound. The picture does not say whether something uses the volume: the engine asks that."""
        active = tuple(layer.lv.name for layer in vg.volume(self.volume).layers if layer.lv.active)
        steps: tuple[Step, ...] = (LvDeactivate(active),) if active else ()
        return Plan("deactivate", vg.name, self.volume, steps, NEVER)


ACTIVATION: Final = Operation(
    requests=(Activate, Deactivate),
    intents=(),
    recover=NOTHING_CUT,
    cuts=(),
)
