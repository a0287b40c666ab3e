"""Rename a volume O and its snapshots to N. N may have the VMID of another machine.

1. write the intent ``rename/O/N`` to every layer, in one command
2. rename each LV
3. rewrite the backing name in each overlay's header; a template is writable during this step
4. for each LV, in one metadata commit: replace O's tags by N's, name the parent's new name, and drop the intent

lvm2 changes the LVs of one command one by one, in its own order. A cut inside 1 leaves layers with O's tags and without
the intent. No later step leaves such layers, so nothing was renamed yet, and recovery drops the intent. If all layers
have the intent, recovery goes on: with 2 for an LV that still has O's name, with 3 and 4 for an LV that has the intent.
Step 3 may be repeated without harm. An LV without the intent needs no step, because 3 is done before 4 begins.

A volume that clones read through is refused.

Until the last LV has lost the intent, the volume is O and no volume N exists. Its LVs may have either name and the tags
of either, because the intent names both. N's name was free before the rename, so an LV with N's name belongs to O.

Source: ``rename_volume`` of the patch series.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from lvmqcow.core import intents
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume, parent_tags
from lvmqcow.core.names import (
    Format,
    VolumeName,
    check_fits,
    check_snapshot_fits,
    check_snapshot_name,
    renamed_lv_name,
)
from lvmqcow.core.qcow2 import Measure
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.errors import AlreadyExists, Corrupt, FormatMismatch
from lvmqcow.operations.operation import Kind, OnLv, Operation, Questions, Recovery
from lvmqcow.operations.shared.chain_steps import activate_steps, index_steps
from lvmqcow.operations.shared.plan import Commit, Plan, writing
from lvmqcow.operations.shared.preconditions import (
    require_free_name,
    require_no_clones,
    require_one_reading,
    require_unclaimed,
    verified_tree,
)
from lvmqcow.steps import LvDeactivate, LvPermission, LvRename, LvTag, Permission, QcowRelink, Step

__all__ = ["RENAME", "Rename", "Renaming"]


@dataclass(frozen=True)
class Renaming(intents.Renaming, OnLv):
    """The intent of a rename; `lvmqcow.core.intents.Renaming` explains it."""

    def belongs(self, volume: Volume, lv: LogicalVolume) -> bool:
        new = volume.rename_target
        expected = new is not None and self == Renaming(volume.name.text, new.text)
        return volume.layer(lv.name) is not None and expected


_COMMIT: Final = Commit(writing(Renaming))


@dataclass(frozen=True)
class Rename:
    """Rename a volume with all its snapshots. The new name may have the VMID of another machine."""

    kind: ClassVar = Kind("rename", _COMMIT)

    volume: VolumeName
    new: VolumeName

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume, self.new)

    @property
    def headers_of(self) -> VolumeName:
        return self.volume

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises VolumeNotFound, FormatMismatch, InvalidName (too long, ambiguous), AlreadyExists, Corrupt, or
        NotPossible (clones read through the volume).
        """
        old, new = self.volume, self.new
        volume = vg.volume(old)
        require_no_clones(vg, volume)
        if new.format is not old.format:
            raise FormatMismatch(new.text, new.format, old.format)
        there = vg.find(new)
        if there is not None and (there.members or there.convert_target):  # its LVs would become part of this volume
            raise AlreadyExists("volume", new.text)
        check_fits(vg.name, new)
        for layer in volume.layers:
            if layer.snapshot:
                check_snapshot_name(layer.snapshot)
                check_snapshot_fits(vg.name, new, layer.snapshot, volume.layout)
            lv_name = renamed_lv_name(layer.lv.name, old, new)
            require_free_name(vg, "logical volume", lv_name, lv_name)
            require_one_reading(vg, "volume", new.text, new, lv_name)
        require_unclaimed(vg, new)
        verified_tree(volume)
        lvs = tuple(layer.lv.name for layer in volume.layers)
        before: tuple[Step, ...] = (
            *index_steps(volume.layers if old.format is Format.QCOW2 else ()),
            *activate_steps(layer for layer in volume.layers if layer.parent),
            LvTag(lvs, add=(Renaming(old.text, new.text).tag,)),
        )
        steps = (*before, *_rename_steps(volume.layers, volume.layers, old, new))
        return Plan("rename", vg.name, old, steps, _COMMIT, other_names=(new,))


def _recover(vg: VolumeGroup, volume: Volume, measure: Measure) -> Recovery | None:
    new = volume.rename_target
    if new is None:
        return None
    rest = [layer for layer in volume.layers if Renaming.among(layer.lv.tags)]
    without = [layer.lv for layer in volume.layers if layer not in rest]
    if not rest:
        raise Corrupt(volume.target, [f"an LV of another volume carries the intent of a rename to {new}"])
    if not any(volume.name.volume_tag in lv.tags for lv in without):
        overlays = [layer for layer in rest if layer.parent]
        steps = (*activate_steps(overlays), *_rename_steps(volume.layers, rest, volume.name, new))
        return Recovery("finish rename", steps)
    renamed = [
        layer.lv.name for layer in volume.layers if renamed_lv_name(layer.lv.name, new, volume.name) != layer.lv.name
    ]
    if renamed:
        texts = [f"{name} was renamed to be part of {new}, but not all layers carry the intent" for name in renamed]
        raise Corrupt(volume.target, texts)
    drop = (Renaming(volume.name.text, new.text).tag,)
    return Recovery("undo rename", (LvTag(tuple(layer.lv.name for layer in rest), drop=drop),))


RENAME: Final = Operation(
    requests=(Rename,),
    intents=(Renaming,),
    recover=_recover,
    cuts=(
        ("`rename/O/N` on some layers with O's tags", "undo: nothing was renamed yet; drop the intents"),
        ("`rename/O/N` on every layer with O's tags", "finish: rename, rewrite and tag what has the intent"),
    ),
)


def _rename_steps(layers: Iterable[Layer], rest: Sequence[Layer], old: VolumeName, new: VolumeName) -> tuple[Step, ...]:
    """Return the steps from 2 on. Recovery runs the same steps. ``rest`` are the layers that have the intent."""

    def to(lv_name: str) -> str:
        return renamed_lv_name(lv_name, old, new)

    templates = [layer for layer in rest if layer.parent and layer.lv.template]
    idle = tuple(to(layer.lv.name) for layer in rest if layer.parent and not layer.lv.active)
    return (
        *(LvRename(layer.lv.name, to(layer.lv.name)) for layer in layers if to(layer.lv.name) != layer.lv.name),
        *(LvPermission(to(layer.lv.name), Permission.WRITE) for layer in templates if not layer.lv.writable),
        *(QcowRelink(to(layer.lv.name), to(layer.parent)) for layer in rest if layer.parent),
        *(LvPermission(to(layer.lv.name), Permission.READ) for layer in templates),
        *(_tag_step(layer, old, new) for layer in rest),
        *((LvDeactivate(idle),) if idle else ()),
    )


def _tag_step(layer: Layer, old: VolumeName, new: VolumeName) -> LvTag:
    parent = renamed_lv_name(layer.parent, old, new) if layer.parent else None
    stale = (*old.tags, *parent_tags(layer.parent))
    fresh = (*new.tags, *parent_tags(parent))
    return LvTag(
        (renamed_lv_name(layer.lv.name, old, new),),
        add=tuple(tag for tag in fresh if tag not in stale),
        drop=(Renaming(old.text, new.text).tag, *(tag for tag in stale if tag not in fresh)),
    )
