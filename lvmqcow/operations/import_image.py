"""Import a file or a stream as a new volume (`lvmqcow.operations.shared.new_volume` has the steps).

What comes from outside was looked at as bytes before there was a request (`lvmqcow.engine.imports`). Before the first
step qemu-img checks a file, within limits: where a file was cut short, qemu-img would read zeros.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.images import FileCheck
from lvmqcow.core.names import VolumeName
from lvmqcow.core.sizing import whole_sectors
from lvmqcow.errors import CommandFailed, Corrupt
from lvmqcow.formats import SourceFormat
from lvmqcow.operations.operation import NOTHING_CUT, Kind, Operation, Questions
from lvmqcow.operations.shared.new_volume import allocate_steps, commit_step, created
from lvmqcow.operations.shared.plan import Plan
from lvmqcow.steps import ImageReceive, ImageWrite
from lvmqcow.units import format_apart

__all__ = ["IMPORT", "Import", "ImportStream", "copy_elsewhere", "require_whole"]


@dataclass(frozen=True)
class Import:
    """A new volume with the content of an image file."""

    kind: ClassVar = Kind("import", created)

    volume: VolumeName
    size_bytes: int
    source: str
    source_format: SourceFormat

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> None:
        return None

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises AlreadyExists, NoSpace, InvalidName; Corrupt or NotPossible for what is wrong with the file."""
        require_whole(self, images.check_file)
        fill = ImageWrite(self.source, self.source_format, self.volume.text, self.volume.format)
        steps = (
            *allocate_steps(vg, self.volume, self.size_bytes, images.measure, (fill,)),
            commit_step(self.volume),
        )
        return Plan("import", vg.name, self.volume, steps, created)


@dataclass(frozen=True)
class ImportStream:
    """A new volume with the content of a stream of ``size_bytes`` raw bytes; ``stream`` is a file descriptor."""

    kind: ClassVar = Kind("import", created)

    volume: VolumeName
    size_bytes: int
    stream: int
    head: bytes = b""
    """Those of the bytes that were read from the stream already."""

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> None:
        return None

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises AlreadyExists, NoSpace, InvalidName, or InvalidSize: somebody else said how long the stream is."""
        fill = ImageReceive(self.stream, self.size_bytes, self.volume.text, self.volume.format, self.head)
        steps = (
            *allocate_steps(vg, self.volume, whole_sectors(self.size_bytes), images.measure, (fill,)),
            commit_step(self.volume),
        )
        return Plan("import", vg.name, self.volume, steps, created)


IMPORT: Final = Operation(
    requests=(Import, ImportStream),
    intents=(),
    recover=NOTHING_CUT,
    cuts=(("the intent `create` on the new LV", "undo: remove the LV"),),
)


def require_whole(request: Import, check: Callable[[str, SourceFormat], FileCheck]) -> None:
    """Refuse an image whose tables are broken, or of which qemu-img would read another size than it says.

    ``check`` looks at it, within limits.

    Raises:
        Corrupt: what it finds.
        NotPossible: it needs more than the limits.
    """
    if request.source_format is SourceFormat.RAW:
        return
    try:
        found = check(request.source, request.source_format)
    except CommandFailed as unreadable:
        reason = f"qemu-img cannot read it: {unreadable.stderr or f'status {unreadable.status}'}"
        raise Corrupt(request.source, [reason], copy_elsewhere(request)) from unreadable
    if found.corruptions:
        raise Corrupt(
            request.source, [f"qemu-img check finds {found.corruptions} corruptions"], copy_elsewhere(request)
        )
    if found.cut_short:
        reason = "data of its disk lies behind its end: is it cut short?"
        raise Corrupt(request.source, [reason], copy_elsewhere(request))
    if found.virtual_size_bytes != request.size_bytes:
        sizes = format_apart(request.size_bytes, found.virtual_size_bytes)
        reason = f"its disk has {sizes[0]}, and qemu-img would read {sizes[1]} of it"
        raise Corrupt(request.source, [reason], copy_elsewhere(request))


def copy_elsewhere(request: Import) -> str:
    """The advice for a file that may not be opened here: a plain copy of it, made where it is trusted."""
    source = shlex.quote(request.source)
    copy = f"qemu-img convert -f {request.source_format} -O qcow2 {source} COPY"
    if request.source_format is SourceFormat.VPC:
        options = f"driver=vpc,force_size_calc=current_size,file.filename={request.source.replace(',', ',,')}"
        copy = f"qemu-img convert --image-opts -O qcow2 {shlex.quote(options)} COPY"
    return f"Import a whole and plain copy of it, made by whoever has, and trusts, all that it needs: {copy}"
