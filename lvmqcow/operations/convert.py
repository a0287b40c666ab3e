"""Convert a volume O, raw or qcow2, to the other format; it is then called N.

1. the intent ``convert/N`` on O
2. make N, with the intent ``create`` and what a guest reads from O (`lvmqcow.operations.create`)
3. deactivate O: that fails if somebody has opened it meanwhile
4. rename O to ``del-O``: now N is the volume
5. drop N's intent ``create``
6. let ``del-O`` go (`lvmqcow.operations.shared.removal`)

At no moment can both be used as what they are called. Until 4 the volume is O, which nobody has changed, and N says
that it holds nothing yet: recovery removes N and drops O's intent. From 4 on there is no O for a guest to write to, and
N is whole: recovery goes on with 5, and never removes ``del-O`` where there is no N. The intent names N, so whoever
asks for either name finds the other, and recovers both before anything else.

A snapshot would have no place in a raw volume, so a volume with snapshots is refused.
"""

from __future__ import annotations

from dataclasses import replace

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.intents import Converting
from lvmqcow.core.names import VolumeName, doomed_lv_name, in_other_format
from lvmqcow.core.volume import Volume
from lvmqcow.core.wiping import wipe_tags
from lvmqcow.errors import FormatMismatch, NotPossible
from lvmqcow.operations.create import existing, filled
from lvmqcow.operations.requests import Convert
from lvmqcow.operations.shared.common import activated, deactivated, require_changing, sound_below
from lvmqcow.operations.shared.plan import Measure, Plan
from lvmqcow.operations.shared.removal import gone, marked
from lvmqcow.steps import ImageCopy, LvDeactivate, LvRename, LvTag, Step

__all__ = ["plan_convert"]


def plan_convert(vg: VolumeGroup, request: Convert, measure: Measure) -> Plan:
    """Raises VolumeNotFound, FormatMismatch, NotPossible (it has snapshots), AlreadyExists, NoSpace or Corrupt."""
    old, new = request.volume, request.new
    volume = vg.volume(old)
    if new.format is old.format:
        raise FormatMismatch(new.text, new.format, in_other_format(old).format)
    require_changing(volume, "conversion")
    _require_no_snapshots(volume, new)
    current = volume.current
    below = sound_below(volume, current)
    assert current.virtual_size_bytes is not None  # sound_below
    doomed = replace(marked(current.lv, request.wipe), name=doomed_lv_name(old.text, vg.lv_names), active=False)
    fill = ImageCopy(old.text, old.format, new.text, new.format)
    before: tuple[Step, ...] = (
        LvTag((old.text,), add=(Converting(new.text).tag, *wipe_tags(request.wipe))),
        *activated((*below, *volume.bases)),
        *filled(vg, new, current.virtual_size_bytes, measure, (fill,)),
        LvDeactivate((old.text,) if current.lv.active else (old.text, new.text)),
        *deactivated(below[1:]),
        LvRename(old.text, doomed.name),
    )
    steps = (*before, existing(new), *gone(vg, [doomed]))
    return Plan("convert", vg.name, old, steps, beside=new, still=frozenset({old.text}))


def _require_no_snapshots(volume: Volume, new: VolumeName) -> None:
    if volume.snapshots:
        reason = f"a raw volume has no snapshots, and it has {', '.join(volume.snapshots)}"
        advice = f"delete them first, or make a raw copy beside it: `lvmqcow copy {volume.target} {new}`"
        raise NotPossible(volume.target, reason, advice)
