"""Rename a volume O to N, with its snapshots; N may belong to another machine.

1. the intent ``rename/O/N`` on every layer, in one command
2. rename each LV
3. rewrite the backing name in each overlay's header; a template can be written to for as long as that takes
4. for each LV, in one metadata commit: N's tags instead of O's, the parent's new name, and no intent any more

lvm2 works through the LVs of one command one by one, in an order of its own. A cut inside 1 leaves layers with O's tags
and no intent, which nothing after 1 does: nothing was renamed yet, and recovery takes the intent back. Once all have
it, recovery goes on: with 2 for an LV whose name is still of O, with 3 and 4 for one that has the intent. To do 3
again changes nothing, and an LV without the intent has all of it behind it, because 3 is over before 4 begins.

What clones read through keeps its name.

Until the last LV has lost the intent, all of them, under either name and with either's tags, are the volume O, and
there is no volume N: the intent names both. N's name was free before, so whatever has it is O's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.intents import Renaming
from lvmqcow.core.lv import parent_tags
from lvmqcow.core.names import Format, VolumeName, check_fits, check_snapshot_fits, check_snapshot_name, renamed_lv_name
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.errors import AlreadyExists, FormatMismatch
from lvmqcow.operations.requests import Rename
from lvmqcow.operations.shared.common import (
    activated,
    indexed,
    require_free_name,
    require_no_clones,
    require_one_reading,
    require_unclaimed,
    sound_tree,
)
from lvmqcow.operations.shared.plan import Plan
from lvmqcow.steps import LvDeactivate, LvPermission, LvRename, LvTag, Permission, QcowRelink, Step

__all__ = ["go_on", "plan_rename"]


def plan_rename(vg: VolumeGroup, request: Rename) -> Plan:
    """Raises VolumeNotFound, FormatMismatch, InvalidName (too long, ambiguous), AlreadyExists or Corrupt.

    While there are clones of it, NotPossible.
    """
    old, new = request.volume, request.new
    volume = vg.volume(old)
    require_no_clones(vg, volume)
    if new.format is not old.format:
        raise FormatMismatch(new.text, new.format, old.format)
    there = vg.find(new)
    if there is not None and (there.kept or there.converting):  # be it only its snapshots: they would become ours
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
    sound_tree(volume)
    lvs = tuple(layer.lv.name for layer in volume.layers)
    before: tuple[Step, ...] = (
        *indexed(volume.layers if old.format is Format.QCOW2 else ()),
        *activated(layer for layer in volume.layers if layer.parent),
        LvTag(lvs, add=(Renaming(old.text, new.text).tag,)),
    )
    steps = (*before, *_go_on(volume.layers, volume.layers, old, new))
    return Plan("rename", vg.name, old, steps, beside=new)


def go_on(volume: Volume, new: VolumeName) -> tuple[Step, ...]:
    """From the intent on, for a volume of which some LVs may be renamed and tagged: what recovery runs."""
    rest = [layer for layer in volume.layers if isinstance(layer.lv.intent, Renaming)]
    overlays = [layer for layer in rest if layer.parent]
    return (*activated(overlays), *_go_on(volume.layers, rest, volume.name, new))


def _go_on(layers: Iterable[Layer], rest: Sequence[Layer], old: VolumeName, new: VolumeName) -> tuple[Step, ...]:
    """``rest`` are those of ``layers`` that have the intent."""

    def to(lv_name: str) -> str:
        return renamed_lv_name(lv_name, old, new)

    templates = [layer for layer in rest if layer.parent and layer.lv.template]
    idle = tuple(to(layer.lv.name) for layer in rest if layer.parent and not layer.lv.active)
    return (
        *(LvRename(layer.lv.name, to(layer.lv.name)) for layer in layers if to(layer.lv.name) != layer.lv.name),
        *(LvPermission(to(layer.lv.name), Permission.WRITE) for layer in templates if not layer.lv.writable),
        *(QcowRelink(to(layer.lv.name), to(layer.parent)) for layer in rest if layer.parent),
        *(LvPermission(to(layer.lv.name), Permission.READ) for layer in templates),
        *(_tagged(layer, old, new) for layer in rest),
        *((LvDeactivate(idle),) if idle else ()),
    )


def _tagged(layer: Layer, old: VolumeName, new: VolumeName) -> LvTag:
    parent = renamed_lv_name(layer.parent, old, new) if layer.parent else None
    stale = (*old.tags, *parent_tags(layer.parent))
    fresh = (*new.tags, *parent_tags(parent))
    return LvTag(
        (renamed_lv_name(layer.lv.name, old, new),),
        add=tuple(tag for tag in fresh if tag not in stale),
        drop=(Renaming(old.text, new.text).tag, *(tag for tag in stale if tag not in fresh)),
    )
