"""Grow a volume with the current LV V. The new part reads as zeros. A volume never shrinks.

1. write the intent ``resize/OLD/NEW`` to V; both are sizes in bytes
2. extend V if it is too small for NEW
3. qcow2: write NEW to the image's header; raw: zero the new part, because its extents still hold earlier data
4. drop the intent, and write NEW to the index tags

Only 2 needs space; recovery needs none. After a cut before 2 only the intent was written, and recovery drops it. After
a later cut recovery runs 3 and 4. The size of V shows which: V is large enough for NEW, or it is not. After a rollback
the LV of a qcow2 volume may be larger than its image needs; then the next resize uses that room first.

Resizing to the present size does nothing, so a retry is safe. The exception is a V that is too small for its image,
after the size formula of the patch series or a merge by another tool: then V is extended. Step 3 is left out in this
case, so a guest may keep running.

Source: ``volume_resize`` of the patch series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume, index_tags
from lvmqcow.core.names import Format, VolumeName, pending_removal_origin
from lvmqcow.core.qcow2 import Measure
from lvmqcow.core.sizing import whole_extents, whole_sectors
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.errors import NotPossible
from lvmqcow.operations.operation import Kind, OnLv, Operation, Questions, Recovery, carrier
from lvmqcow.operations.shared.allocation import Allocation
from lvmqcow.operations.shared.chain_steps import activate_steps, deactivate_steps, index_steps, refresh_steps
from lvmqcow.operations.shared.interrupted import is_current, is_unread
from lvmqcow.operations.shared.plan import Commit, Plan, writing
from lvmqcow.operations.shared.preconditions import require_changing, verified_chain
from lvmqcow.steps import LvTag, LvZeroRange, QcowRepairLeaks, QcowResize, Step
from lvmqcow.units import format_apart

__all__ = ["RESIZE", "Grow", "Resize", "Resizing"]


@dataclass(frozen=True)
class Resizing(OnLv):
    """A resize is under way. The current LV carries this intent.

    The sizes are those that a guest sees, in bytes. The part between them may not read as zeros yet.
    """

    verb: ClassVar = "resize"

    old_bytes: int
    new_bytes: int

    def belongs(self, volume: Volume, lv: LogicalVolume) -> bool:
        return (is_current(volume, lv) and is_unread(volume, lv)) or pending_removal_origin(lv.name) is not None


_COMMIT: Final = Commit(writing(Resizing), extended=True)


@dataclass(frozen=True)
class Resize:
    """Grow the volume to ``size_bytes``, the size that a guest sees."""

    kind: ClassVar = Kind("resize", _COMMIT)

    volume: VolumeName
    size_bytes: int

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> VolumeName:
        return self.volume

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises VolumeNotFound, InvalidSize, NotPossible (smaller), NoSpace or Corrupt."""
        volume = vg.volume(self.volume)
        require_changing(volume, "resize")
        return _plan(vg, volume, verified_chain(volume), self.size_bytes, images.measure)


@dataclass(frozen=True)
class Grow:
    """Grow the volume by ``more_bytes``. Each such request grows it again."""

    kind: ClassVar = Kind("resize", _COMMIT)

    volume: VolumeName
    more_bytes: int

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> VolumeName:
        return self.volume

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises the errors of `Resize.plan`."""
        volume = vg.volume(self.volume)
        require_changing(volume, "resize")
        chain = verified_chain(volume)
        return _plan(vg, volume, chain, _size_bytes(chain[0]) + self.more_bytes, images.measure)


def _recover(vg: VolumeGroup, volume: Volume, measure: Measure) -> Recovery | None:
    current = carrier(volume, Resizing)
    intent = Resizing.among(current.lv.tags) if current else None
    if current is None or intent is None:
        return None
    if current.lv.size_bytes < _lv_bytes(vg, volume, current, intent, measure):
        return Recovery("undo resize", (LvTag((current.lv.name,), drop=(intent.tag,)),))
    if intent.new_bytes == intent.old_bytes:
        return Recovery("finish resize", (*refresh_steps([current]), *_finish_steps(volume, current, intent)))
    # a killed resize may have allocated a larger table and not linked it
    repair = (QcowRepairLeaks(current.lv.name),) if volume.name.format is Format.QCOW2 else ()
    again = (*repair, *_finish_steps(volume, current, intent))
    return Recovery(
        "finish resize",
        (
            *(*activate_steps(volume.reads(current)), *refresh_steps([current]), *again),
            *deactivate_steps(volume.below(current)),
        ),
    )


RESIZE: Final = Operation(
    requests=(Resize, Grow),
    intents=(Resizing,),
    recover=_recover,
    cuts=(
        ("`resize/OLD/NEW` on V, and V is too small for NEW", "undo: nothing has happened; drop the intent"),
        ("`resize/OLD/NEW` on V, and V is large enough", "finish: grow the image (raw: zero what is new) again"),
    ),
)


def _plan(vg: VolumeGroup, volume: Volume, chain: tuple[Layer, ...], size_bytes: int, measure: Measure) -> Plan:
    current, name = chain[0], volume.name
    old_bytes, new_bytes = _size_bytes(current), whole_sectors(size_bytes)
    if volume.name.format is Format.RAW:
        new_bytes = whole_extents(new_bytes, vg.extent_size_bytes)
    if new_bytes < old_bytes:
        has, beyond = format_apart(old_bytes, new_bytes)
        reason = f"the volume has {has}, and shrinking it would cut off all data beyond {beyond}"
        raise NotPossible(volume.target, reason, "create a smaller volume and let the guest copy its data")
    intent = Resizing(old_bytes, new_bytes)
    more = Allocation(vg, measure).extend_steps(current, _lv_bytes(vg, volume, current, intent, measure))
    if new_bytes == old_bytes and not more:
        return Plan("resize", vg.name, name, (), _COMMIT)
    opened = chain if new_bytes > old_bytes else ()
    committed: tuple[Step, ...] = (
        *index_steps(chain if name.format is Format.QCOW2 else ()),
        *activate_steps((*opened, *volume.bases) if opened else ()),
        LvTag((current.lv.name,), add=(intent.tag,)),
        *more,
    )
    steps = (*committed, *_finish_steps(volume, current, intent), *deactivate_steps(opened))
    return Plan("resize", vg.name, name, steps, _COMMIT)


def _lv_bytes(vg: VolumeGroup, volume: Volume, current: Layer, intent: Resizing, measure: Measure) -> int:
    """Return how many bytes the current LV must have before step 3."""
    return Allocation(vg, measure).lv_bytes(volume.name.format, intent.new_bytes, current.options)


def _finish_steps(volume: Volume, current: Layer, intent: Resizing) -> tuple[Step, ...]:
    """Return the steps from 3 on, for an LV that is large enough. Recovery runs the same steps."""
    name, added = current.lv.name, intent.new_bytes - intent.old_bytes
    if not added:
        return (LvTag((name,), drop=(intent.tag,)),)
    if volume.name.format is Format.RAW:
        return (LvZeroRange(name, intent.old_bytes, added), LvTag((name,), drop=(intent.tag,)))
    (old,), (new,) = index_tags(intent.old_bytes, None), index_tags(intent.new_bytes, None)
    return (QcowResize(name, intent.new_bytes), LvTag((name,), add=(new,), drop=(intent.tag, old)))


def _size_bytes(current: Layer) -> int:
    assert current.virtual_size_bytes is not None  # verified_chain
    return current.virtual_size_bytes
