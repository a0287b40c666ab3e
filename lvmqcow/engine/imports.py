"""Files and streams from outside are inspected here, before qemu-img opens them.

A disk image can name other files, and qemu-img would read them or write to them. So `inspect` reads the header as bytes
(`lvmqcow.formats`) and refuses an image that refers to any other file. Only then qemu-img checks the tables, within
limits (`lvmqcow.operations.import_image`), because it would read zeros where a file was cut short.

No format is guessed. If a file begins like an image, an archive or a compressed file, the caller has to declare its
format. A name that ends in ``.qcow2`` declares qcow2.

The file is inspected before it is copied. Nobody untrusted may be able to write to it in between.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from lvmqcow.core.names import VolumeName
from lvmqcow.core.sizing import whole_sectors
from lvmqcow.errors import Corrupt, InvalidSize, SourceMismatch, SourceNotFound
from lvmqcow.formats import HEAD_BYTES, TAIL_BYTES, Kind, Read, SourceFormat, called, is_iso9660, kinds, read_inside
from lvmqcow.operations.import_image import Import, copy_elsewhere

__all__ = ["begun", "inspect", "is_cd", "read_size", "spooled"]

_SIZE_BYTES: Final = 8  # the length of the size that precedes a raw+size stream
_STREAM, _THE_STREAM = "-", "the stream"
_UNDECLARED: Final = "its format was not declared"
_CHUNK_BYTES: Final = 1024**2


def inspect(source: Path, volume: VolumeName, declared: SourceFormat | None, shown: str | None = None) -> Import:
    """Turn a file into a request to import it.

    ``declared`` is the format of the file. Without it, a file whose name ends in ``.qcow2`` is a qcow2 image, and a
    file that looks like no known format is raw. ``shown`` is the name of the file in messages, if that is not its path:
    ``-`` for a stream that was spooled.

    Raises:
        SourceNotFound: the file cannot be read.
        SourceMismatch: the content is not of the format that was declared or that the name says; or the content looks
            like a known format, and no format was declared.
        Corrupt: the image must not be opened, with the reasons.
        InvalidSize: the disk in the file is empty, or larger than the largest volume.
    """
    try:
        if source.exists() and not (source.is_file() or source.is_block_device()):
            raise SourceNotFound(str(source), "the path is neither a file nor a block device")
        with source.open("rb", buffering=0) as file:
            file_bytes = file.seek(0, os.SEEK_END)
            read = _reader(file.fileno(), file_bytes)
            found = kinds(read(0, min(HEAD_BYTES, file_bytes)), read(max(0, file_bytes - TAIL_BYTES), TAIL_BYTES))
            source_format = _agreed(shown or str(source), source.suffix, volume, declared, found)
            inside = read_inside(source_format, read, file_bytes)
    except OSError as error:
        raise SourceNotFound(str(source), error.strerror or str(error)) from error
    path = os.path.realpath(source)
    size_bytes = _named_size(path, inside.virtual_size_bytes) if inside.virtual_size_bytes is not None else 0
    request = Import(volume, size_bytes, path, source_format)
    if inside.reasons:
        raise Corrupt(path, inside.reasons, copy_elsewhere(request))
    return request


def begun(stream: int, volume: VolumeName) -> bytes:
    """Read the start of a stream whose format was not declared; returns the bytes that were read.

    Raises:
        SourceMismatch: the stream begins like a known format, so it may not be the content of a raw disk.
    """
    head = _read(stream, HEAD_BYTES)
    found = kinds(head)
    if found:
        raise SourceMismatch(_THE_STREAM, found[0].name, _UNDECLARED, _to_import(_STREAM, volume, found[0]))
    return head


def is_cd(source: Path) -> bool:
    """Return whether a file is the image of a CD, which a guest would get as a disk. Raises SourceNotFound."""
    try:
        with source.open("rb", buffering=0) as file:
            return is_iso9660(_read(file.fileno(), HEAD_BYTES))
    except OSError as error:
        raise SourceNotFound(str(source), error.strerror or str(error)) from error


def read_size(stream: int) -> int:
    """Read the number of bytes that a stream of the format ``raw+size`` announces.

    Raises:
        SourceNotFound: the stream ended before the size was complete.
    """
    said = _read(stream, _SIZE_BYTES)
    if len(said) < _SIZE_BYTES:
        raise SourceNotFound("the stream", f"only {len(said)} of the {_SIZE_BYTES} bytes of its size came")
    return int.from_bytes(said, "little")


@contextmanager
def spooled(stream: int, directory: Path) -> Iterator[Path]:
    """Copy a stream to a temporary file, which exists during the block: an image is inspected before it is copied.

    Raises:
        SourceNotFound: the stream cannot be read, or the directory cannot hold it.
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


def _named_size(path: str, size_bytes: int) -> int:
    """Round a size up to whole sectors. Raises InvalidSize, with the path of the file."""
    try:
        return whole_sectors(size_bytes)
    except InvalidSize as error:
        raise InvalidSize(error.size, f"{error.reason}; this is the size of the disk in {path}") from None


def _agreed(
    source: str, suffix: str, volume: VolumeName, declared: SourceFormat | None, found: tuple[Kind, ...]
) -> SourceFormat:
    """Return the format on which the content, the file name and the caller agree. Raises SourceMismatch."""
    if declared is not None:
        if declared is SourceFormat.RAW or declared in (kind.format for kind in found):
            return declared
        said = f"it was declared as {declared}"
    elif not _is_as_called(suffix, found):
        said = f"its name ends in {suffix}"
    elif not found:
        return SourceFormat.RAW
    elif suffix == ".qcow2":
        return SourceFormat.QCOW2
    else:
        said = _UNDECLARED
    advice = _to_import(source, volume, found[0]) if found else _as_raw(source, volume)
    name = _THE_STREAM if source == _STREAM else source
    raise SourceMismatch(name, found[0].name if found else "raw bytes", said, advice)


def _is_as_called(suffix: str, found: tuple[Kind, ...]) -> bool:
    if suffix == ".raw":
        return not found
    named = called(suffix)
    return not named or any(kind in named for kind in found)


def _to_import(source: str, volume: VolumeName, kind: Kind) -> str:
    """Return the advice how to import a file of this kind."""
    if kind.format is None:
        piped = f"lvmqcow import - VG/{volume} --size BYTES"
        return kind.advice.format(file=shlex.quote(source), piped=piped)
    command = f"`lvmqcow import {shlex.quote(source)} VG/{volume} --source-format"
    return f"{command} {kind.format}` imports the disk in it; with {SourceFormat.RAW}, the file itself is the disk"


def _as_raw(source: str, volume: VolumeName) -> str:
    command = f"lvmqcow import {shlex.quote(source)} VG/{volume} --source-format {SourceFormat.RAW}"
    return f"if the file is a raw disk: `{command}`"


def _reader(file: int, file_bytes: int) -> Read:
    def read(offset_bytes: int, length_bytes: int) -> bytes:
        there = max(0, min(length_bytes, file_bytes - offset_bytes))
        got = bytearray()
        while len(got) < there and (part := os.pread(file, there - len(got), offset_bytes + len(got))):
            got += part
        return bytes(got.ljust(length_bytes, b"\0"))

    return read


def _read(stream: int, length_bytes: int) -> bytes:
    """Read ``length_bytes``, or fewer at the end of the stream. Raises SourceNotFound: the stream cannot be read."""
    got = bytearray()
    try:
        while len(got) < length_bytes and (part := os.read(stream, length_bytes - len(got))):
            got += part
    except OSError as error:
        raise SourceNotFound(_THE_STREAM, error.strerror or str(error)) from error
    return bytes(got)
