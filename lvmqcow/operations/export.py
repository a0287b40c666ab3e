"""Export what a volume holds, or held at a snapshot, to a file or down a stream.

1. activate what is read
2. copy it out: what a guest reads, never the bytes of the LV
3. deactivate what 1 activated

Nothing of the volume changes, so there is nothing that a cut could leave but active LVs. As with a copy, nobody may
have the current layer open; a snapshot never changes.
"""

from __future__ import annotations

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import VolumeName
from lvmqcow.core.volume import Layer
from lvmqcow.operations.requests import Export, ExportStream, StreamFormat
from lvmqcow.operations.shared.common import activated, deactivated, sound_below
from lvmqcow.operations.shared.plan import Plan
from lvmqcow.steps import ImageExport, ImageSend, Step

__all__ = ["plan_export", "plan_export_stream"]


def plan_export(vg: VolumeGroup, request: Export) -> Plan:
    """Raises VolumeNotFound, SnapshotNotFound or Corrupt."""
    layer, below = _read(vg, request.volume, request.snapshot)
    step = ImageExport(layer.lv.name, request.volume.format, request.path, request.format)
    return _plan(vg, request.volume, layer, below, step)


def plan_export_stream(vg: VolumeGroup, request: ExportStream) -> Plan:
    """Raises VolumeNotFound, SnapshotNotFound or Corrupt."""
    layer, below = _read(vg, request.volume, request.snapshot)
    size_bytes = layer.virtual_size_bytes
    assert size_bytes is not None  # sound_below
    head = size_bytes.to_bytes(8, "little") if request.format is StreamFormat.RAW_SIZE else b""
    step = ImageSend(layer.lv.name, request.volume.format, request.stream, head, size_bytes)
    return _plan(vg, request.volume, layer, below, step)


def _read(vg: VolumeGroup, name: VolumeName, snapshot: str | None) -> tuple[Layer, tuple[Layer, ...]]:
    volume = vg.volume(name)
    layer = volume.snapshot(snapshot) if snapshot else volume.current
    return layer, sound_below(volume, layer)


def _plan(vg: VolumeGroup, name: VolumeName, layer: Layer, below: tuple[Layer, ...], step: Step) -> Plan:
    steps = (*activated((*below, *vg.volume(name).bases)), step, *deactivated(below))
    still = frozenset({layer.lv.name} if layer.snapshot is None else ())
    return Plan("export", vg.name, name, steps, still=still)
