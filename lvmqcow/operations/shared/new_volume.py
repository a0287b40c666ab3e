"""How a volume is made: what create, import, copy, convert and clone have in common.

1. create an LV with the intent ``create``
2. format the LV (qcow2) or zero it (raw), and copy the content into it, if any
3. drop the intent: now the volume exists

A cut before 3 leaves an LV with the intent ``create``, which holds no data: recovery removes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume, index_tags
from lvmqcow.core.names import Format, VolumeName, check_fits, pending_removal_origin
from lvmqcow.core.qcow2 import Measure
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.errors import AlreadyExists, Corrupt
from lvmqcow.operations.operation import OnLv, Recovery, carrier
from lvmqcow.operations.shared.allocation import Allocation
from lvmqcow.operations.shared.plan import Commit, dropping
from lvmqcow.operations.shared.preconditions import require_free_name, require_unclaimed
from lvmqcow.steps import LvCreate, LvRemove, LvTag, LvZero, QcowCreate, Step

__all__ = ["Creating", "allocate_steps", "commit_step", "created", "recover_new_volume", "undo_steps"]


@dataclass(frozen=True)
class Creating(OnLv):
    """A volume is being made. Its LV carries this intent and holds no data that anybody needs."""

    verb: ClassVar = "create"

    def belongs(self, volume: Volume, lv: LogicalVolume) -> bool:
        return volume.layer(lv.name) is not None or pending_removal_origin(lv.name) is not None


created: Final = Commit(dropping(Creating))
"""The volume exists once its intent is dropped."""


def allocate_steps(
    vg: VolumeGroup, name: VolumeName, size_bytes: int, measure: Measure, fill: tuple[Step, ...]
) -> tuple[Step, ...]:
    """Return steps 1 and 2. ``fill`` copies the content into an LV of that name that reads as zeros.

    ``size_bytes`` is the virtual size. LVs of an earlier volume of that name that wait for their removal, as ``del-…``,
    do not matter.

    Raises:
        AlreadyExists, NoSpace, NotPossible, InvalidName.
    """
    check_fits(vg.name, name)
    if any(volume.name == name and volume.members for volume in vg.volumes):  # its LVs would become part of the new one
        raise AlreadyExists("volume", name.text)
    require_free_name(vg, "volume", name.text, name.text)
    require_unclaimed(vg, name)
    qcow2 = name.format is Format.QCOW2
    lv_size_bytes = Allocation(vg, measure).new_lv_bytes(name.format, size_bytes)
    index = index_tags(size_bytes, None) if qcow2 else ()
    return (
        LvCreate(name.text, lv_size_bytes, (*name.tags, *index, Creating().tag)),
        QcowCreate(name.text, size_bytes) if qcow2 else LvZero(name.text),
        *fill,
    )


def commit_step(name: VolumeName) -> LvTag:
    """Return step 3, which drops the intent."""
    return LvTag((name.text,), drop=(Creating().tag,))


def recover_new_volume(vg: VolumeGroup, volume: Volume, measure: Measure) -> Recovery | None:
    """Plan the removal of a volume whose making was cut; None if it was not cut."""
    layer = carrier(volume, Creating)
    return Recovery("undo create", undo_steps(volume, layer)) if layer else None


def undo_steps(volume: Volume, layer: Layer) -> tuple[Step, ...]:
    """Return the step that removes the LV with the intent ``create``.

    Raises:
        Corrupt: the LV is part of a chain, so it may hold data.
    """
    own_parent = layer.parent is not None and not volume.is_base(layer.parent)
    if len(volume.layers) > 1 or volume.clones or own_parent or layer.lv.name != volume.name.text:
        raise Corrupt(volume.target, [f"{layer.lv.name} carries the intent of a new volume, but is part of a chain"])
    return (LvRemove((layer.lv.name,)),)
