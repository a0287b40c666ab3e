"""Read the header of a VHD of Virtual PC, Hyper-V, Xen or Azure. qemu-img calls the format vpc.

A fixed VHD is the raw disk with a footer behind it. A dynamic VHD has a copy of the footer at its start. Sources:
Microsoft's "Virtual Hard Disk Image Format Specification", QEMU's ``block/vpc.c``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from lvmqcow.formats.formats import SECTOR_BYTES, Inside, Read, cut_short, table, table_too_large, those
from lvmqcow.units import format_exactly

__all__ = ["COOKIE", "FOOTER_BYTES", "read_vhd"]

COOKIE: Final = b"conectix"
FOOTER_BYTES: Final = 512

_FOOTER: Final = struct.Struct(">8sIIQI4sHH4sQQHBBI")
_DYNAMIC_HEADER: Final = struct.Struct(">8sQQIIII16sII")
_DYNAMIC_BYTES: Final = 1024
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_ABSENT: Final = 0xFFFFFFFF
_BY_GEOMETRY: Final = (b"vpc ", b"vs  ", b"qemu")
"""Writers whose disk has the size of its cylinders, heads and sectors. Other writers mean the size field."""
_LARGEST_GEOMETRY: Final = 65535 * 16 * 255


def read_vhd(read: Read, file_bytes: int) -> Inside:
    """Read the header of a VHD. As in QEMU, it is dynamic if a copy of the footer is at its start, else fixed."""
    start = read(0, FOOTER_BYTES)
    if start.startswith(COOKIE):
        return _read_dynamic(read, _Footer(*_FOOTER.unpack_from(start)), file_bytes)
    footer = _Footer(*_FOOTER.unpack_from(read(max(0, file_bytes - FOOTER_BYTES), FOOTER_BYTES)))
    strange = those((footer.kind != _FIXED, f"its type is {footer.kind}, but it has a footer only at its end"))
    size_bytes = footer.disk_bytes
    return Inside(size_bytes, strange or cut_short("data and footer", size_bytes + FOOTER_BYTES, file_bytes))


def _read_dynamic(read: Read, footer: _Footer, file_bytes: int) -> Inside:
    raw = read(footer.next_offset, _DYNAMIC_BYTES)
    header, names = _Dynamic(*_DYNAMIC_HEADER.unpack_from(raw)), raw[_DYNAMIC_HEADER.size : 768]
    size_bytes, block_bytes = footer.disk_bytes, header.block_bytes
    has_parent = footer.kind == _DIFFERENCING or any(header.parent) or any(names)
    reasons = (
        *those(
            (header.cookie != b"cxsparse", "it lacks the header of a dynamic disk: is it cut short?"),
            (has_parent, "it reads through to another file, its parent"),
            (
                footer.kind not in (_DYNAMIC, _DIFFERENCING),
                f"it has the layout of a dynamic disk, but its type is {footer.kind}",
            ),
            (
                block_bytes < SECTOR_BYTES or bool(block_bytes & (block_bytes - 1)),
                f"blocks of {format_exactly(block_bytes)} are impossible",
            ),
            (header.entries * block_bytes < size_bytes, f"its table of {header.entries} blocks is too small"),
        ),
        *table_too_large(4 * header.entries),
    )
    if reasons:
        return Inside(size_bytes, reasons)
    blocks = (block for part in table(read, header.table_offset, header.entries, ">") for block in part)
    last = max((block for block in blocks if block != _ABSENT), default=_ABSENT)
    bitmap_bytes = -(-block_bytes // (8 * SECTOR_BYTES) // SECTOR_BYTES) * SECTOR_BYTES
    data_end = last * SECTOR_BYTES + bitmap_bytes + block_bytes if last != _ABSENT else 0
    table_end = header.table_offset + 4 * header.entries
    return Inside(
        size_bytes, cut_short("block table", table_end, file_bytes) or cut_short("data", data_end, file_bytes)
    )


@dataclass(frozen=True)
class _Footer:
    cookie: bytes
    features: int
    version: int
    next_offset: int
    made: int
    creator: bytes
    creator_major: int
    creator_minor: int
    creator_host: bytes
    original_bytes: int
    current_bytes: int
    cylinders: int
    heads: int
    sectors: int
    kind: int

    @property
    def disk_bytes(self) -> int:
        """The size of the disk, as the writer of the file means it."""
        geometry = self.cylinders * self.heads * self.sectors
        by_geometry = self.creator in _BY_GEOMETRY and geometry != _LARGEST_GEOMETRY
        return geometry * SECTOR_BYTES if by_geometry else self.current_bytes


@dataclass(frozen=True)
class _Dynamic:
    cookie: bytes
    next_offset: int
    table_offset: int
    version: int
    entries: int
    block_bytes: int
    checksum: int
    parent: bytes
    parent_made: int
    reserved: int
