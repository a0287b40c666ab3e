"""Export the content of a volume or of a snapshot to a file or a stream.

1. activate the layers that are read
2. copy what a guest reads, not the bytes of the LV
3. deactivate the layers that step 1 activated

The volume does not change, so a cut leaves at most some active LVs. As with a copy, no program may have the current
layer open. A snapshot never changes and can be exported while a guest runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import Format, VolumeName
from lvmqcow.core.volume import Layer
from lvmqcow.operations.operation import NOTHING_CUT, Kind, Operation, Questions
from lvmqcow.operations.shared.chain_steps import activate_steps, deactivate_steps
from lvmqcow.operations.shared.plan import NEVER, Plan
from lvmqcow.operations.shared.preconditions import verified_below
from lvmqcow.steps import ImageExport, ImageSend, Step

__all__ = ["EXPORT", "Export", "ExportStream", "StreamFormat"]


class StreamFormat(StrEnum):
    """The format of a stream."""

    RAW = "raw"
    """The bytes that a guest reads, from the first to the last."""
    RAW_SIZE = "raw+size"
    """The same, preceded by their number in 8 bytes, the lowest first. Proxmox VE's storage plugins use this format."""


@dataclass(frozen=True)
class Export:
    """Write the content of a volume or of a snapshot to a new file."""

    kind: ClassVar = Kind("export", NEVER)

    volume: VolumeName
    snapshot: str | None
    path: str
    format: Format

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> VolumeName:
        return self.volume

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises VolumeNotFound, SnapshotNotFound or Corrupt."""
        layer, below = _read(vg, self.volume, self.snapshot)
        step = ImageExport(layer.lv.name, self.volume.format, self.path, self.format)
        return _plan(vg, self.volume, layer, below, step)


@dataclass(frozen=True)
class ExportStream:
    """Send the content of a volume or of a snapshot to a stream; ``stream`` is a file descriptor."""

    kind: ClassVar = Kind("export", NEVER)

    volume: VolumeName
    snapshot: str | None
    stream: int
    format: StreamFormat

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> VolumeName:
        return self.volume

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises VolumeNotFound, SnapshotNotFound or Corrupt."""
        layer, below = _read(vg, self.volume, self.snapshot)
        size_bytes = layer.virtual_size_bytes
        assert size_bytes is not None  # verified_below
        head = size_bytes.to_bytes(8, "little") if self.format is StreamFormat.RAW_SIZE else b""
        step = ImageSend(layer.lv.name, self.volume.format, self.stream, head, size_bytes)
        return _plan(vg, self.volume, layer, below, step)


EXPORT: Final = Operation(
    requests=(Export, ExportStream),
    intents=(),
    recover=NOTHING_CUT,
    cuts=(),
)


def _read(vg: VolumeGroup, name: VolumeName, snapshot: str | None) -> tuple[Layer, tuple[Layer, ...]]:
    volume = vg.volume(name)
    layer = volume.snapshot(snapshot) if snapshot else volume.current
    return layer, verified_below(volume, layer)


def _plan(vg: VolumeGroup, name: VolumeName, layer: Layer, below: tuple[Layer, ...], step: Step) -> Plan:
    after = deactivate_steps(below)
    steps = (*activate_steps((*below, *vg.volume(name).bases)), step, *after)
    source = frozenset({layer.lv.name} if layer.snapshot is None else ())
    return Plan("export", vg.name, name, steps, NEVER, must_not_change=source, if_it_fails=after)
