"""Flatten a clone: copy into its lowest layer L all data that L reads through P, a layer of another volume.

1. write the intent ``flatten/P`` to L
2. extend L if it is too small
3. rebase L onto no backing file
4. drop the intent and the index tag that names P

After a cut between 1 and 4, L's header may name no backing file while the data is not in L yet. P is complete, because
the bases of a clone never change. Recovery links L back to P, so that L reads right again, and goes on from 2. For a
volume that is no clone the plan is empty.

Source: ``qemu-img rebase``, as Proxmox VE's full clone of a linked one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume, parent_tags
from lvmqcow.core.names import Format, VolumeName, pending_removal_origin
from lvmqcow.core.qcow2 import Measure
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.errors import Corrupt
from lvmqcow.operations.operation import Kind, OnLv, Operation, Questions, Recovery, carrier
from lvmqcow.operations.shared.allocation import Allocation
from lvmqcow.operations.shared.chain_steps import activate_steps, deactivate_steps, index_steps, refresh_steps
from lvmqcow.operations.shared.interrupted import is_changing, reads_through
from lvmqcow.operations.shared.plan import Commit, Plan, writing
from lvmqcow.operations.shared.preconditions import require_changing, require_unread, verified_tree
from lvmqcow.steps import LvTag, QcowRebase, QcowRelink, QcowRepairLeaks, Step

__all__ = ["FLATTEN", "Flatten", "Flattening"]


@dataclass(frozen=True)
class Flattening(OnLv):
    """A flatten is under way. The lowest layer of a clone carries this intent; ``base`` is another volume's layer."""

    verb: ClassVar = "flatten"

    base: str

    def belongs(self, volume: Volume, lv: LogicalVolume) -> bool:
        return is_changing(volume, lv) or pending_removal_origin(lv.name) is not None

    def safe_to_open(self, volume: Volume, lv: LogicalVolume) -> bool:
        return reads_through(volume, lv.name, self.base)


_COMMIT: Final = Commit(writing(Flattening))


@dataclass(frozen=True)
class Flatten:
    """Copy into a clone all data that it reads through other volumes, so that it no longer depends on them."""

    kind: ClassVar = Kind("flatten", _COMMIT)

    volume: VolumeName

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> VolumeName:
        return self.volume

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises VolumeNotFound, NotPossible (a template), SnapshotHasChildren (clones of it), NoSpace or Corrupt."""
        volume = vg.volume(self.volume)
        tree = verified_tree(volume)
        if not volume.bases:
            return Plan("flatten", vg.name, self.volume, (), _COMMIT)
        require_changing(volume, "flattening")
        lowest = volume.chain[-1]
        require_unread(volume, lowest)
        intent = Flattening(volume.bases[0].lv.name)
        before: tuple[Step, ...] = (
            *index_steps(tree),
            *activate_steps(volume.reads(lowest)),
            LvTag((lowest.lv.name,), add=(intent.tag,)),
        )
        steps = (*before, *_flatten_steps(vg, lowest, intent, images.measure), *deactivate_steps([lowest]))
        return Plan("flatten", vg.name, self.volume, steps, _COMMIT)


def _recover(vg: VolumeGroup, volume: Volume, measure: Measure) -> Recovery | None:
    lowest = carrier(volume, Flattening)
    intent = Flattening.among(lowest.lv.tags) if lowest else None
    if lowest is None or intent is None:
        return None
    if lowest.parent != intent.base or not volume.is_base(intent.base) or lowest.virtual_size_bytes is None:
        raise Corrupt(volume.target, [f"{lowest.lv.name} was being flattened, but its base {intent.base} is not there"])
    again: tuple[Step, ...] = (
        *refresh_steps([lowest]),
        QcowRelink(lowest.lv.name, intent.base),
        QcowRepairLeaks(lowest.lv.name),
        *_flatten_steps(vg, lowest, intent, measure),
    )
    steps = (*activate_steps(volume.reads(lowest)), *again, *deactivate_steps([lowest]))
    return Recovery("finish flatten", steps)


FLATTEN: Final = Operation(
    requests=(Flatten,),
    intents=(Flattening,),
    recover=_recover,
    cuts=(("`flatten/P` on L", "finish: link L back to P, which makes L whole; rebase again"),),
)


def _flatten_steps(vg: VolumeGroup, lowest: Layer, intent: Flattening, measure: Measure) -> tuple[Step, ...]:
    """Return the steps from 2 on. Recovery runs the same steps."""
    assert lowest.virtual_size_bytes is not None  # verified_tree, or recovery's own check
    allocation = Allocation(vg, measure)
    needed = allocation.lv_bytes(Format.QCOW2, lowest.virtual_size_bytes, lowest.options)
    return (
        *allocation.extend_steps(lowest, needed),
        QcowRebase(lowest.lv.name, None, intent.base),
        LvTag((lowest.lv.name,), drop=(intent.tag, *parent_tags(intent.base))),
    )
