"""Create a volume, empty or with content: of a file, of a stream, or of another volume (`lvmqcow.operations.copy`).

1. an LV with the intent ``create``
2. format it (qcow2) or zero it (raw); where there is content, copy it into that
3. drop the intent: now the volume exists

LVs of an earlier volume of that name that wait for their removal, as ``del-…``, are not in the way. Recovery runs
before, so ours are gone by then, however long their wipe takes; another tool's stay.

A cut before 3 leaves an LV that says it holds nothing yet: recovery removes it.
"""

from __future__ import annotations

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.intents import Creating
from lvmqcow.core.lv import index_tags
from lvmqcow.core.names import Format, VolumeName, check_fits
from lvmqcow.core.sizing import whole_extents, whole_sectors
from lvmqcow.errors import AlreadyExists
from lvmqcow.operations.requests import Create, Import, ImportStream
from lvmqcow.operations.shared.common import require_free_name, require_new_lv, require_unclaimed
from lvmqcow.operations.shared.plan import Measure, Plan
from lvmqcow.steps import ImageReceive, ImageWrite, LvCreate, LvTag, LvZero, QcowCreate, Step

__all__ = ["existing", "filled", "plan_create", "plan_import", "plan_import_stream"]


def plan_create(vg: VolumeGroup, request: Create, measure: Measure) -> Plan:
    """Raises AlreadyExists, NoSpace or InvalidName (too long for this volume group)."""
    steps = (*filled(vg, request.volume, request.size_bytes, measure, ()), existing(request.volume))
    return Plan("create", vg.name, request.volume, steps)


def plan_import(vg: VolumeGroup, request: Import, measure: Measure) -> Plan:
    """As `plan_create`; the file itself was inspected before the request was made."""
    name = request.volume
    fill = ImageWrite(request.source, request.source_format, name.text, name.format)
    steps = (*filled(vg, name, request.size_bytes, measure, (fill,)), existing(name))
    return Plan("import", vg.name, name, steps)


def plan_import_stream(vg: VolumeGroup, request: ImportStream, measure: Measure) -> Plan:
    """As `plan_create`. Raises InvalidSize too: somebody else said how long the stream is."""
    name = request.volume
    fill = ImageReceive(request.stream, request.size_bytes, name.text, name.format, request.head)
    steps = (*filled(vg, name, whole_sectors(request.size_bytes), measure, (fill,)), existing(name))
    return Plan("import", vg.name, name, steps)


def filled(
    vg: VolumeGroup, name: VolumeName, size_bytes: int, measure: Measure, fill: tuple[Step, ...]
) -> tuple[Step, ...]:
    """Steps 1 and 2: ``fill`` finds an LV of that name that reads as zeros.

    Raises:
        AlreadyExists, NoSpace, InvalidName.
    """
    check_fits(vg.name, name)
    if any(volume.name == name and volume.kept for volume in vg.volumes):  # or only its snapshots: they'd become ours
        raise AlreadyExists("volume", name.text)
    require_free_name(vg, "volume", name.text, name.text)
    require_unclaimed(vg, name)
    qcow2 = name.format is Format.QCOW2
    lv_size_bytes = whole_extents(measure(size_bytes) if qcow2 else size_bytes, vg.extent_size_bytes)
    require_new_lv(vg, lv_size_bytes)
    index = index_tags(size_bytes, None) if qcow2 else ()
    return (
        LvCreate(name.text, lv_size_bytes, (*name.tags, *index, Creating().tag)),
        QcowCreate(name.text, size_bytes) if qcow2 else LvZero(name.text),
        *fill,
    )


def existing(name: VolumeName) -> LvTag:
    """Step 3."""
    return LvTag((name.text,), drop=(Creating().tag,))
