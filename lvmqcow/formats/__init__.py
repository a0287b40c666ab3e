"""Recognise files that hold a disk, and read their headers. This package is pure: it takes bytes and opens no file.

`kinds` recognises a file by its first and last bytes. `read_inside` reads the header of a file whose format is known,
before qemu-img may open the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from lvmqcow.core.qcow2 import HEADER_BYTES, parse_header
from lvmqcow.formats.formats import Inside, Read, SourceFormat
from lvmqcow.formats.parallels import read_parallels
from lvmqcow.formats.qed import read_qed
from lvmqcow.formats.signatures import HEAD_BYTES, TAIL_BYTES, Kind, called, is_iso9660, kinds
from lvmqcow.formats.vdi import read_vdi
from lvmqcow.formats.vhd import read_vhd
from lvmqcow.formats.vhdx import read_vhdx
from lvmqcow.formats.vmdk import read_vmdk

__all__ = [
    "HEAD_BYTES",
    "TAIL_BYTES",
    "Inside",
    "Kind",
    "Read",
    "SourceFormat",
    "called",
    "is_iso9660",
    "kinds",
    "read_inside",
]


def read_inside(source_format: SourceFormat, read: Read, file_bytes: int) -> Inside:
    """Read what the header of a file says about its disk. ``file_bytes`` is the size of the file.

    A file of another format gets a reason why it must not be opened.
    """
    return _READERS[source_format](read, file_bytes)


def _read_raw(read: Read, file_bytes: int) -> Inside:
    return Inside(file_bytes)


def _read_qcow2(read: Read, file_bytes: int) -> Inside:
    header = parse_header(read(0, HEADER_BYTES))
    if header is None:
        return Inside(None, ("it has no qcow2 header",))
    return Inside(header.virtual_size_bytes, (*header.foreign_reasons, *header.beyond(file_bytes)))


_READERS: Final[Mapping[SourceFormat, Callable[[Read, int], Inside]]] = {
    SourceFormat.RAW: _read_raw,
    SourceFormat.QCOW2: _read_qcow2,
    SourceFormat.VMDK: read_vmdk,
    SourceFormat.VDI: read_vdi,
    SourceFormat.VHDX: read_vhdx,
    SourceFormat.VPC: read_vhd,
    SourceFormat.QED: read_qed,
    SourceFormat.PARALLELS: read_parallels,
}
