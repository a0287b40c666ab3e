"""What can be asked of a storage, as data: one class a verb. A request knows nothing of any volume group."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lvmqcow.core.names import Format, VolumeName
from lvmqcow.core.wiping import Wipe
from lvmqcow.formats import SourceFormat

__all__ = [
    "Activate",
    "Clone",
    "Convert",
    "Copy",
    "Create",
    "Deactivate",
    "DeleteSnapshot",
    "Export",
    "ExportStream",
    "Flatten",
    "Grow",
    "Import",
    "ImportStream",
    "Merge",
    "Newer",
    "Remove",
    "Rename",
    "Request",
    "Resize",
    "Rollback",
    "Snapshot",
    "StreamFormat",
    "Template",
    "WipingRequest",
]


class Merge(StrEnum):
    """How the data of a deleted snapshot and its child become one."""

    AUTO = "auto"
    """Whichever moves fewer bytes."""
    PULL = "pull"
    """The child takes what it reads through the snapshot (``qemu-img rebase``)."""
    PUSH = "push"
    """The snapshot takes all of the child's data, then its place (``qemu-img commit``)."""
    SEED = "seed"
    """The seed patch's rule: push into the oldest snapshot, pull from any other."""


class StreamFormat(StrEnum):
    """What the bytes of a stream are: what a guest reads, from the first to the last."""

    RAW = "raw"
    RAW_SIZE = "raw+size"
    """After their number, in 8 bytes, the lowest first: the stream of Proxmox VE's storage plugins."""


class Newer(StrEnum):
    """What becomes of the snapshots that a rollback leaves behind: the volume read through them, and will not."""

    REFUSE = "refuse"
    """No rollback while there are any."""
    DISCARD = "discard"
    """They go, once the volume no longer needs them."""
    KEEP = "keep"
    """They stay, as a branch."""


@dataclass(frozen=True)
class Create:
    """A new volume that reads as zeros."""

    volume: VolumeName
    size_bytes: int


@dataclass(frozen=True)
class Import:
    """A new volume with the content of an image file."""

    volume: VolumeName
    size_bytes: int
    source: str
    source_format: SourceFormat


@dataclass(frozen=True)
class ImportStream:
    """A new volume with the content of a stream of ``size_bytes`` raw bytes; ``stream`` is a file descriptor."""

    volume: VolumeName
    size_bytes: int
    stream: int
    head: bytes = b""
    """Those of the bytes that were read from the stream already."""


@dataclass(frozen=True)
class Export:
    """What a volume holds, or held at a snapshot, as a new file."""

    volume: VolumeName
    snapshot: str | None
    path: str
    format: Format


@dataclass(frozen=True)
class ExportStream:
    """What a volume holds, or held at a snapshot, down a stream; ``stream`` is a file descriptor."""

    volume: VolumeName
    snapshot: str | None
    stream: int
    format: StreamFormat


@dataclass(frozen=True)
class Snapshot:
    """Freeze the volume's content under a name."""

    volume: VolumeName
    snapshot: str


@dataclass(frozen=True)
class Rollback:
    """Return the volume to what it was at a snapshot: the newest, or with ``newer`` any."""

    volume: VolumeName
    snapshot: str
    newer: Newer = Newer.REFUSE
    wipe: Wipe | None = None
    """Of snapshots that are discarded. None: as the storage does by default."""


@dataclass(frozen=True)
class DeleteSnapshot:
    """Forget a snapshot of any branch; what the volume and the other snapshots hold stays."""

    volume: VolumeName
    snapshot: str
    merge: Merge = Merge.AUTO
    wipe: Wipe | None = None
    """None: as the storage does by default."""


@dataclass(frozen=True)
class Template:
    """Freeze a volume for good, so that it can be cloned."""

    volume: VolumeName


@dataclass(frozen=True)
class Clone:
    """A new volume that reads through a template, or through a snapshot of ``source``."""

    volume: VolumeName
    source: VolumeName
    snapshot: str | None = None


@dataclass(frozen=True)
class Flatten:
    """Give a clone all that it reads through other volumes, so that it needs them no more."""

    volume: VolumeName


@dataclass(frozen=True)
class Resize:
    """Grow the volume, as its guest sees it, to ``size_bytes``."""

    volume: VolumeName
    size_bytes: int


@dataclass(frozen=True)
class Grow:
    """Make the volume, as its guest sees it, larger by ``more_bytes``: asked again, it grows again."""

    volume: VolumeName
    more_bytes: int


@dataclass(frozen=True)
class Remove:
    """Remove a volume with all its snapshots."""

    volume: VolumeName
    wipe: Wipe | None = None
    """None: as the storage does by default."""


@dataclass(frozen=True)
class Rename:
    """Give a volume, with all its snapshots, another name; it may be that of another machine's volume."""

    volume: VolumeName
    new: VolumeName


@dataclass(frozen=True)
class Copy:
    """A new volume with the content of another, or of its ``snapshot``; of the format that its name says."""

    volume: VolumeName
    snapshot: str | None
    new: VolumeName


@dataclass(frozen=True)
class Convert:
    """Give a volume the other format, and the name that says so."""

    volume: VolumeName
    new: VolumeName
    wipe: Wipe | None = None
    """Of what it was before. None: as the storage does by default."""


@dataclass(frozen=True)
class Activate:
    """Make a volume's devices, and those of its snapshots, there and up to date on this host alone."""

    volume: VolumeName


@dataclass(frozen=True)
class Deactivate:
    """Take a volume's devices, and those of its snapshots, away from this host."""

    volume: VolumeName


Request = (
    Create
    | Import
    | ImportStream
    | Export
    | ExportStream
    | Snapshot
    | Rollback
    | DeleteSnapshot
    | Template
    | Clone
    | Flatten
    | Resize
    | Grow
    | Remove
    | Rename
    | Copy
    | Convert
    | Activate
    | Deactivate
)


WipingRequest = Convert | DeleteSnapshot | Remove | Rollback
"""Those that remove logical volumes, and say what happens to the content."""
