"""Convert a volume O, raw or qcow2, to the other format. Its new name is N.

1. write the intent ``convert/N`` to O
2. make N with the intent ``create``, and copy what a guest reads from O (`lvmqcow.operations.shared.new_volume`)
3. deactivate O: this fails if a program has opened O meanwhile
4. rename O to ``del-O``: now N is the volume
5. drop N's intent ``create``
6. remove ``del-O`` (`lvmqcow.operations.shared.removal`)

At no moment are O and N both usable volumes. Before 4 the volume is O, which is unchanged, and N has the intent
``create``: recovery removes N and drops O's intent. From 4 on O does not exist, so no guest can write to it, and N is
complete: recovery goes on with 5. It never removes ``del-O`` if N does not exist. The intent names N, so a request for
either name finds the other one, and both are recovered first.

A raw volume cannot hold snapshots, so a volume with snapshots is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final

from lvmqcow.core import intents
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume
from lvmqcow.core.names import (
    VolumeName,
    as_volume_name,
    in_other_format,
    pending_removal_name,
    pending_removal_origin,
)
from lvmqcow.core.qcow2 import Measure
from lvmqcow.core.volume import Volume
from lvmqcow.core.wiping import Wipe, wipe_tags
from lvmqcow.errors import Corrupt, FormatMismatch, NotPossible
from lvmqcow.operations.operation import Kind, OnLv, Operation, Questions, Recovery
from lvmqcow.operations.shared.chain_steps import activate_steps, deactivate_steps
from lvmqcow.operations.shared.interrupted import is_current, wipe_records
from lvmqcow.operations.shared.new_volume import Creating, allocate_steps, commit_step, undo_steps
from lvmqcow.operations.shared.plan import Commit, Plan, renaming
from lvmqcow.operations.shared.preconditions import require_changing, verified_below
from lvmqcow.operations.shared.removal import removal_steps, wipe_or_default, with_wipe_record
from lvmqcow.steps import ImageCopy, LvDeactivate, LvRename, LvTag, Step

__all__ = ["CONVERT", "Convert", "Converting"]


@dataclass(frozen=True)
class Converting(intents.Converting, OnLv):
    """The intent of a conversion; `lvmqcow.core.intents.Converting` explains it."""

    content_unneeded: ClassVar = True

    def belongs(self, volume: Volume, lv: LogicalVolume) -> bool:
        old = is_current(volume, lv) or pending_removal_origin(lv.name) is not None
        return old and as_volume_name(self.new) not in (None, volume.name)


_COMMIT: Final = Commit(renaming)


@dataclass(frozen=True)
class Convert:
    """Convert a volume to the other format and rename it."""

    kind: ClassVar = Kind("convert", _COMMIT)

    volume: VolumeName
    new: VolumeName
    wipe: Wipe | None = None
    """How the old LV is wiped. None: as the storage does by default."""

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume, self.new)

    @property
    def headers_of(self) -> VolumeName:
        return self.volume

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises VolumeNotFound, FormatMismatch, NotPossible (it has snapshots), AlreadyExists, NoSpace or Corrupt."""
        old, new = self.volume, self.new
        volume = vg.volume(old)
        if new.format is old.format:
            raise FormatMismatch(new.text, new.format, in_other_format(old).format)
        require_changing(volume, "conversion")
        _require_no_snapshots(volume, new)
        current, wipe = volume.current, wipe_or_default(vg, self.wipe)
        below = verified_below(volume, current)
        assert current.virtual_size_bytes is not None  # verified_below
        leaving_name = pending_removal_name(old.text, vg.lv_names)
        leaving = replace(with_wipe_record(current.lv, wipe), name=leaving_name, active=False)
        fill = ImageCopy(old.text, old.format, new.text, new.format)
        before: tuple[Step, ...] = (
            LvTag((old.text,), add=(Converting(new.text).tag, *wipe_tags(wipe))),
            *activate_steps((*below, *volume.bases)),
            *allocate_steps(vg, new, current.virtual_size_bytes, images.measure, (fill,)),
            LvDeactivate((old.text,) if current.lv.active else (old.text, new.text)),
            *deactivate_steps(below[1:]),
            LvRename(old.text, leaving_name),
        )
        steps = (*before, commit_step(new), *removal_steps(vg, [leaving]))
        source = frozenset({old.text})
        return Plan("convert", vg.name, old, steps, _COMMIT, other_names=(new,), must_not_change=source)


def _recover(vg: VolumeGroup, volume: Volume, measure: Measure) -> Recovery | None:
    new = volume.convert_target
    if new is None:
        return None
    intent = Converting(new.text)
    made = next((each for each in vg.volumes if each.name == new), None)
    layer = made.layer(new.text) if made else None
    half = layer if layer and Creating.among(layer.lv.tags) else None
    current = volume.layer(volume.name.text)
    if current is not None and intent.tag in current.lv.tags:
        undone = undo_steps(made, half) if made and half else ()
        drop = (intent.tag, *wipe_records([current.lv]))
        return Recovery("undo convert", (*undone, LvTag((volume.name.text,), drop=drop)))
    if layer is None:
        old = ", ".join(lv.name for lv in volume.pending_removals if intent.tag in lv.tags)
        raise Corrupt(volume.target, [f"the volume was converted to {new}, which is not there; only {old} is left"])
    return Recovery("finish convert", (commit_step(new),) if half else ())


CONVERT: Final = Operation(
    requests=(Convert,),
    intents=(Converting,),
    recover=_recover,
    cuts=(
        ("`convert/N` on O", "undo: remove N, which has `create`; drop the intent"),
        ("`convert/N` on `del-O`", "finish: drop N's `create`, remove `del-O`"),
    ),
)


def _require_no_snapshots(volume: Volume, new: VolumeName) -> None:
    if volume.snapshots:
        reason = f"a raw volume cannot hold snapshots, and the volume has {', '.join(volume.snapshots)}"
        advice = f"delete them first, or keep the volume and make a raw copy: `lvmqcow copy {volume.target} {new}`"
        raise NotPossible(volume.target, reason, advice)
