"""Files and streams from outside, inspected before qemu-img may open them.

A qcow2 file can name any other file as its backing or data file, and qemu-img would read it, or write to it. So the
header is read here, as bytes, and whatever reaches beyond the file itself is refused (`inspect`). Only then qemu-img
checks the tables, and may use little for it (`require_whole`): it would read zeros where a file was cut short.

Both look at the file before it is copied. Whoever can write to it meanwhile must be trusted.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from lvmqcow.errors import CommandFailed, Corrupt, FormatMismatch, SourceNotFound
from lvmqcow.names import Format, VolumeName
from lvmqcow.qcow2 import HEADER_BYTES, parse_header
from lvmqcow.qemu_img import ImageCheck
from lvmqcow.requests import Import
from lvmqcow.sizing import whole_sectors

__all__ = ["inspect", "read_size", "require_whole", "spooled"]

_SIZE_BYTES: Final = 8  # of the announcement
_CHUNK_BYTES: Final = 1024**2


def inspect(source: Path, volume: VolumeName, declared: Format | None) -> Import:
    """Turn a file into a request to import it.

    ``declared`` is what the file is; without it the name's suffix says so, and a file that is called otherwise but
    begins like a qcow2 image is refused: it could be either, and only its owner knows.

    Raises:
        SourceNotFound: it cannot be read.
        FormatMismatch: it is not what it is declared to be.
        Corrupt: it may not be opened, with the reasons.
        InvalidSize: it is empty, or larger than any volume.
    """
    try:
        if source.exists() and not (source.is_file() or source.is_block_device()):
            raise SourceNotFound(str(source), "it is neither a file nor a block device")
        with source.open("rb") as file:
            header = parse_header(file.read(HEADER_BYTES))
            size_bytes = file.seek(0, 2)
    except OSError as error:
        raise SourceNotFound(str(source), error.strerror or str(error)) from error
    named = declared or (Format.QCOW2 if source.suffix == ".qcow2" else Format.RAW)
    if named is Format.RAW and (declared or header is None):
        return Import(volume, whole_sectors(size_bytes), str(source.resolve()), Format.RAW)
    if header is None or named is Format.RAW:
        raise FormatMismatch(str(source), named, "raw bytes" if header is None else "qcow2")
    request = Import(volume, whole_sectors(header.virtual_size_bytes), str(source.resolve()), Format.QCOW2)
    reasons = (*header.foreign_reasons, *header.beyond(size_bytes))
    if reasons:
        raise Corrupt(request.source, reasons, _advice(request.source))
    return request


def require_whole(request: Import, check: Callable[[str], ImageCheck]) -> None:
    """Refuse a qcow2 file whose tables are broken; ``check`` looks at it, within limits.

    Raises:
        Corrupt: what it finds.
        NotPossible: it needs more than the limits.
    """
    if request.source_format is not Format.QCOW2:
        return
    try:
        found = check(request.source)
    except CommandFailed as unreadable:
        reason = f"qemu-img cannot read it: {unreadable.stderr or f'status {unreadable.status}'}"
        raise Corrupt(request.source, [reason], _advice(request.source)) from unreadable
    if not found.sound:
        reason = f"qemu-img check finds {found.corruptions} corruptions"
        raise Corrupt(request.source, [reason], _advice(request.source))


def read_size(stream: int) -> int:
    """The number of bytes that a stream of the format ``raw+size`` announces.

    Raises:
        SourceNotFound: it ended before it had said so.
    """
    said = b""
    while len(said) < _SIZE_BYTES:
        part = os.read(stream, _SIZE_BYTES - len(said))
        if not part:
            raise SourceNotFound("the stream", f"it ended after {len(said)} of the {_SIZE_BYTES} bytes of its size")
        said += part
    return int.from_bytes(said, "little")


@contextmanager
def spooled(stream: int, directory: Path) -> Iterator[Path]:
    """A stream as a file, for as long as the block takes: a qcow2 image has to be looked at before it is read.

    Raises:
        SourceNotFound: the directory cannot take it.
    """
    with ExitStack() as opened:
        try:
            file = opened.enter_context(tempfile.NamedTemporaryFile(prefix="lvmqcow-", suffix=".spool", dir=directory))
            while chunk := os.read(stream, _CHUNK_BYTES):
                if chunk.count(0) == len(chunk):
                    file.seek(len(chunk), os.SEEK_CUR)
                else:
                    file.write(chunk)
            file.truncate()
            file.flush()
        except OSError as error:
            raise SourceNotFound("the stream", f"{directory} cannot hold it: {error.strerror or error}") from error
        yield Path(file.name)


def _advice(source: str) -> str:
    copy = f"qemu-img convert -f qcow2 -O qcow2 {shlex.quote(source)} COPY"
    return f"Import a whole and plain copy of it, made by whoever has, and trusts, all that it needs: {copy}"
