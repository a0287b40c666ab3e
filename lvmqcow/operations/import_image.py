"""Import a file or a stream as a new volume (`lvmqcow.operations.shared.new_volume` has the steps).

`lvmqcow.engine.imports` inspects the bytes of a file before it makes the request. The planner lets qemu-img check the
file within limits, because qemu-img would read zeros where a file was cut short.
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
    """Create a volume with the content of an image file. ``size_bytes`` is the size of the disk in the file."""

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
        """Raises AlreadyExists, NoSpace, InvalidName; Corrupt or NotPossible if the file is damaged or too complex."""
        require_whole(self, images.check_file)
        fill = ImageWrite(self.source, self.source_format, self.volume.text, self.volume.format)
        steps = (
            *allocate_steps(vg, self.volume, self.size_bytes, images.measure, (fill,)),
            commit_step(self.volume),
        )
        return Plan("import", vg.name, self.volume, steps, created)


@dataclass(frozen=True)
class ImportStream:
    """Create a volume with the content of a stream of ``size_bytes`` raw bytes; ``stream`` is a file descriptor."""

    kind: ClassVar = Kind("import", created)

    volume: VolumeName
    size_bytes: int
    stream: int
    head: bytes = b""
    """The first bytes of the stream, which were read before."""

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> None:
        return None

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises AlreadyExists, NoSpace, InvalidName or InvalidSize (of the announced size of the stream)."""
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
    """Refuse an image whose tables are damaged, or from which qemu-img would read another size than its header says.

    ``check`` checks the image within limits.

    Raises:
        Corrupt: the image is damaged or cut short, or its sizes differ.
        NotPossible: the check needs more memory or time than the limits allow.
    """
    if request.source_format is SourceFormat.RAW:
        return
    try:
        found = check(request.source, request.source_format)
    except CommandFailed as unreadable:
        reason = f"qemu-img cannot read the file: {unreadable.stderr or f'status {unreadable.status}'}"
        raise Corrupt(request.source, [reason], copy_elsewhere(request)) from unreadable
    if found.corruptions:
        raise Corrupt(
            request.source, [f"qemu-img check finds {found.corruptions} corruptions"], copy_elsewhere(request)
        )
    if found.cut_short:
        reason = "data of the disk lies behind the end of the file: is it cut short?"
        raise Corrupt(request.source, [reason], copy_elsewhere(request))
    if found.virtual_size_bytes != request.size_bytes:
        sizes = format_apart(request.size_bytes, found.virtual_size_bytes)
        reason = f"its disk has {sizes[0]}, and qemu-img would read {sizes[1]} of it"
        raise Corrupt(request.source, [reason], copy_elsewhere(request))


def copy_elsewhere(request: Import) -> str:
    """Return the advice for a file that must not be opened here: make a plain copy where the file is trusted."""
    source = shlex.quote(request.source)
    copy = f"qemu-img convert -f {request.source_format} -O qcow2 {source} COPY"
    if request.source_format is SourceFormat.VPC:
        options = f"driver=vpc,force_size_calc=current_size,file.filename={request.source.replace(',', ',,')}"
        copy = f"qemu-img convert --image-opts -O qcow2 {shlex.quote(options)} COPY"
    return f"Flatten it on a machine you trust with its files first, then import the copy: {copy}"
