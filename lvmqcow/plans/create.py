"""Create a volume, empty or with the content of an image file.

1. an LV with the intent ``create``
2. format it (qcow2) or zero it (raw); for an import, copy the file into it
3. drop the intent: now the volume exists

A cut before 3 leaves an LV that says it holds nothing yet: recovery removes it.
"""

from __future__ import annotations

from lvmqcow.errors import AlreadyExists
from lvmqcow.intents import Creating
from lvmqcow.model import VolumeGroup, index_tags
from lvmqcow.names import Format, VolumeName, check_fits
from lvmqcow.plans.common import require_free_name, require_space, require_unclaimed
from lvmqcow.plans.plan import Measure, Plan
from lvmqcow.requests import Create, Import
from lvmqcow.sizing import whole_extents
from lvmqcow.steps import ImageWrite, LvCreate, LvTag, LvZero, QcowCreate, Step

__all__ = ["plan_create", "plan_import"]


def plan_create(vg: VolumeGroup, request: Create, measure: Measure) -> Plan:
    """Raises AlreadyExists, NoSpace or InvalidName (too long for this volume group)."""
    return _plan("create", vg, request.volume, request.size_bytes, measure, fill=())


def plan_import(vg: VolumeGroup, request: Import, measure: Measure) -> Plan:
    """As `plan_create`; the file itself was inspected before the request was made."""
    name = request.volume
    fill = ImageWrite(request.source, request.source_format, name.text, name.format)
    return _plan("import", vg, name, request.size_bytes, measure, fill=(fill,))


def _plan(
    operation: str, vg: VolumeGroup, name: VolumeName, size_bytes: int, measure: Measure, fill: tuple[Step, ...]
) -> Plan:
    check_fits(vg.name, name)
    if name in {volume.name for volume in vg.volumes}:  # be it only its snapshots: they would become ours
        raise AlreadyExists("volume", name.text)
    require_free_name(vg, "volume", name.text, name.text)
    require_unclaimed(vg, name)
    qcow2 = name.format is Format.QCOW2
    lv_size_bytes = whole_extents(measure(size_bytes) if qcow2 else size_bytes, vg.extent_size_bytes)
    require_space(vg, lv_size_bytes)
    index = index_tags(size_bytes, None) if qcow2 else ()
    intent = Creating().tag
    steps: tuple[Step, ...] = (
        LvCreate(name.text, lv_size_bytes, (*name.tags, *index, intent)),
        QcowCreate(name.text, size_bytes) if qcow2 else LvZero(name.text),
        *fill,
        LvTag((name.text,), drop=(intent,)),
    )
    return Plan(operation, vg.name, name, steps, commit_point=len(steps))
