"""Files from outside, inspected before qemu-img may open them.

A qcow2 file can name any other file as its backing or data file, and qemu-img would read it, or write to it. So the
header is read here, as bytes, and whatever reaches beyond the file itself is refused.
"""

from __future__ import annotations

from pathlib import Path

from lvmqcow.errors import Corrupt, FormatMismatch, SourceNotFound
from lvmqcow.names import Format, VolumeName
from lvmqcow.qcow2 import HEADER_BYTES, parse_header
from lvmqcow.requests import Import
from lvmqcow.sizing import whole_sectors

__all__ = ["inspect"]


def inspect(source: Path, volume: VolumeName, declared: Format | None) -> Import:
    """Turn a file into a request to import it.

    ``declared`` is what the file is; without it the name's suffix says so, and a file that is called otherwise but
    begins like a qcow2 image is refused: it could be either, and only its owner knows.

    Raises:
        SourceNotFound: it cannot be read.
        FormatMismatch: it is not what it is declared to be.
        Corrupt: it may not be opened, with the reasons.
        InvalidSize: it is empty.
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
    if header.foreign_reasons:
        raise Corrupt(str(source), header.foreign_reasons)
    return Import(volume, whole_sectors(header.virtual_size_bytes), str(source.resolve()), Format.QCOW2)
