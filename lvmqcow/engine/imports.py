"""Files and streams from outside, inspected before qemu-img may open them.

A disk image can name other files, and qemu-img would read them, or write to them. So its header is read here, as bytes
(`lvmqcow.formats`), and whatever reaches beyond the file itself is refused (`inspect`). Only then qemu-img looks at
the tables, within limits (`lvmqcow.operations.import_image`): it would read zeros where a file was cut short.

Nothing is guessed: a file that begins like an image, an archive or a compressed file is not taken for the bytes of a
disk, nor for what it looks like, until somebody says what it is. Only a name in ``.qcow2`` says so too.

The file is looked at before it is copied. Whoever can write to it meanwhile must be trusted.
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

_SIZE_BYTES: Final = 8  # of the announcement
_STREAM, _THE_STREAM = "-", "the stream"
_CHUNK_BYTES: Final = 1024**2


def inspect(source: Path, volume: VolumeName, declared: SourceFormat | None, shown: str | None = None) -> Import:
    """Turn a file into a request to import it.

    ``declared`` is what the file is. Without it a file is a qcow2 image if its name ends in ``.qcow2``, and raw if it
    looks like nothing else that is known. ``shown`` is what it is called where somebody is to name it again, if that
    is not its path: ``-``, of a stream that was spooled.

    Raises:
        SourceNotFound: it cannot be read.
        SourceMismatch: it is not what was said, or than its name says; or nobody said what it is.
        Corrupt: it may not be opened, with the reasons.
        InvalidSize: it is empty, or larger than any volume.
    """
    try:
        if source.exists() and not (source.is_file() or source.is_block_device()):
            raise SourceNotFound(str(source), "it is neither a file nor a block device")
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
    """Read the start of a stream of which nobody said what it is, if it can be the start of a raw disk.

    Raises:
        SourceMismatch: it begins like something else.
    """
    head = _read(stream, HEAD_BYTES)
    found = kinds(head)
    if found:
        raise SourceMismatch(
            _THE_STREAM, found[0].name, "nobody said what it is", _to_import(_STREAM, volume, found[0])
        )
    return head


def is_cd(source: Path) -> bool:
    """Whether a file is the image of a CD: a guest gets it as a disk. Raises SourceNotFound: it cannot be read."""
    try:
        with source.open("rb", buffering=0) as file:
            return is_iso9660(_read(file.fileno(), HEAD_BYTES))
    except OSError as error:
        raise SourceNotFound(str(source), error.strerror or str(error)) from error


def read_size(stream: int) -> int:
    """The number of bytes that a stream of the format ``raw+size`` announces.

    Raises:
        SourceNotFound: it ended before it had said so.
    """
    said = _read(stream, _SIZE_BYTES)
    if len(said) < _SIZE_BYTES:
        raise SourceNotFound("the stream", f"it ended after {len(said)} of the {_SIZE_BYTES} bytes of its size")
    return int.from_bytes(said, "little")


@contextmanager
def spooled(stream: int, directory: Path) -> Iterator[Path]:
    """A stream as a file, for as long as the block takes: an image has to be looked at before it is read.

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


def _named_size(path: str, size_bytes: int) -> int:
    """In whole sectors. Raises InvalidSize, which names the file."""
    try:
        return whole_sectors(size_bytes)
    except InvalidSize as error:
        raise InvalidSize(error.size, f"{error.reason}; it is that of the disk in {path}") from None


def _agreed(
    source: str, suffix: str, volume: VolumeName, declared: SourceFormat | None, found: tuple[Kind, ...]
) -> SourceFormat:
    """The one format that the content, the name, and whoever asked agree on."""
    if declared is not None:
        if declared is SourceFormat.RAW or declared in (kind.format for kind in found):
            return declared
        said = f"was said to be {declared}"
    elif not _is_as_called(suffix, found):
        said = f"is called {suffix}"
    elif not found:
        return SourceFormat.RAW
    elif suffix == ".qcow2":
        return SourceFormat.QCOW2
    else:
        said = "nobody said what it is"
    advice = _to_import(source, volume, found[0]) if found else _as_raw(source, volume)
    name = _THE_STREAM if source == _STREAM else source
    raise SourceMismatch(name, found[0].name if found else "raw bytes", said, advice)


def _is_as_called(suffix: str, found: tuple[Kind, ...]) -> bool:
    if suffix == ".raw":
        return not found
    named = called(suffix)
    return not named or any(kind in named for kind in found)


def _to_import(source: str, volume: VolumeName, kind: Kind) -> str:
    """How something can be imported that is of this kind."""
    if kind.format is None:
        piped = f"lvmqcow import - VG/{volume} --size BYTES"
        return kind.advice.format(file=shlex.quote(source), piped=piped)
    command = f"`lvmqcow import {shlex.quote(source)} VG/{volume} --source-format"
    return f"{command} {kind.format}` imports the disk in it, and with {SourceFormat.RAW} the file as if it were one"


def _as_raw(source: str, volume: VolumeName) -> str:
    return f"if it is a raw disk: `lvmqcow import {shlex.quote(source)} VG/{volume} --source-format {SourceFormat.RAW}`"


def _reader(file: int, file_bytes: int) -> Read:
    def read(offset_bytes: int, length_bytes: int) -> bytes:
        there = max(0, min(length_bytes, file_bytes - offset_bytes))
        got = bytearray()
        while len(got) < there and (part := os.pread(file, there - len(got), offset_bytes + len(got))):
            got += part
        return bytes(got.ljust(length_bytes, b"\0"))

    return read


def _read(stream: int, length_bytes: int) -> bytes:
    """So many bytes, fewer only at the end. Raises SourceNotFound: it cannot be read."""
    got = bytearray()
    try:
        while len(got) < length_bytes and (part := os.read(stream, length_bytes - len(got))):
            got += part
    except OSError as error:
        raise SourceNotFound(_THE_STREAM, error.strerror or str(error)) from error
    return bytes(got)
