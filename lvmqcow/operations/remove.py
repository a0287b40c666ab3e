"""Remove a volume with all its snapshots.

1. write the intent ``remove`` and the record of the wipe to every LV of the volume, in one command
2. remove the LVs (`lvmqcow.operations.shared.removal`); without a wipe, one command removes them all

lvm2 changes the LVs of one command one by one, in its own order. After a cut inside 1, some LVs lack the intent. So
nothing was renamed or removed yet, and recovery drops the intent. If all LVs have the intent, recovery goes on with 2.
LVs that wait under a ``del-`` name for another tool to wipe them are not ours and stay.

Source: ``free_image`` of the patch series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume
from lvmqcow.core.names import VolumeName, pending_removal_origin
from lvmqcow.core.qcow2 import Measure
from lvmqcow.core.volume import Volume
from lvmqcow.core.wiping import Wipe, wipe_tags
from lvmqcow.operations.operation import Kind, OnLv, Operation, Questions, Recovery
from lvmqcow.operations.shared.interrupted import wipe_records
from lvmqcow.operations.shared.plan import Commit, Plan, writing
from lvmqcow.operations.shared.preconditions import require_no_clones
from lvmqcow.operations.shared.removal import SEGMENT_BYTES, removal_steps, wipe_or_default, with_wipe_record
from lvmqcow.steps import LvTag, Step

__all__ = ["REMOVE", "Remove", "Removing", "plan_remove"]


@dataclass(frozen=True)
class Removing(OnLv):
    """The volume is being removed. Every LV of the volume carries this intent."""

    verb: ClassVar = "remove"
    content_unneeded: ClassVar = True

    def belongs(self, volume: Volume, lv: LogicalVolume) -> bool:
        return volume.layer(lv.name) is not None or pending_removal_origin(lv.name) is not None


_COMMIT: Final = Commit(writing(Removing))


@dataclass(frozen=True)
class Remove:
    """Remove a volume with all its snapshots."""

    kind: ClassVar = Kind("remove", _COMMIT)

    volume: VolumeName
    wipe: Wipe | None = None
    """How the LVs are wiped. None: as the storage does by default."""

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> None:
        return None

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises VolumeNotFound, or NotPossible if clones read through the volume. A damaged volume can be removed."""
        return plan_remove(vg, self)


def plan_remove(vg: VolumeGroup, request: Remove, segment_bytes: int = SEGMENT_BYTES) -> Plan:
    """Plan a removal, as `Remove.plan` does. ``segment_bytes`` is how much is wiped between two records."""
    volume = vg.volume(request.volume)
    require_no_clones(vg, volume)
    lvs, wipe = volume.members, wipe_or_default(vg, request.wipe)
    steps: tuple[Step, ...] = (
        LvTag(tuple(lv.name for lv in lvs), add=(Removing().tag, *wipe_tags(wipe))),
        *removal_steps(vg, [with_wipe_record(lv, wipe) for lv in lvs], segment_bytes),
    )
    return Plan("remove", vg.name, request.volume, steps, _COMMIT)


def _recover(vg: VolumeGroup, volume: Volume, measure: Measure) -> Recovery | None:
    given_up = tuple(lv for lv in volume.members if Removing.among(lv.tags))
    if not given_up:
        return None
    if len(given_up) == len(volume.members):
        return Recovery("finish remove", (), removed=given_up, whole_volume=True)
    drop = (Removing().tag, *wipe_records(given_up))
    return Recovery("undo remove", (LvTag(tuple(lv.name for lv in given_up), drop=drop),))


REMOVE: Final = Operation(
    requests=(Remove,),
    intents=(Removing,),
    recover=_recover,
    cuts=(
        ("`remove` on some of the LVs that are not `del-…`", "undo: nothing was removed yet; drop the intents"),
        ("`remove` on all of them", "finish: wipe what is to be wiped, and remove them"),
    ),
)
