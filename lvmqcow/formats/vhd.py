"""The VHD of Virtual PC, Hyper-V, Xen and Azure, which qemu-img calls vpc.

A fixed one is the raw disk with a footer behind it; a dynamic one has a copy of the footer at its start. Sources:
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
"""Who makes the disk as large as its cylinders, heads and sectors, and calls it larger. Others mean what they say."""
_LARGEST_GEOMETRY: Final = 65535 * 16 * 255


def read_vhd(read: Read, file_bytes: int) -> Inside:
    """Read a VHD, dynamic or fixed, as QEMU tells them apart: by the footer's copy at the start."""
    start = read(0, FOOTER_BYTES)
    if start.startswith(COOKIE):
        return _read_dynamic(read, _Footer(*_FOOTER.unpack_from(start)), file_bytes)
    footer = _Footer(*_FOOTER.unpack_from(read(max(0, file_bytes - FOOTER_BYTES), FOOTER_BYTES)))
    strange = those((footer.kind != _FIXED, f"it is of the type {footer.kind}, and has its footer only at its end"))
    size_bytes = footer.disk_bytes
    return Inside(size_bytes, strange or cut_short("data and footer", size_bytes + FOOTER_BYTES, file_bytes))


def _read_dynamic(read: Read, footer: _Footer, file_bytes: int) -> Inside:
    raw = read(footer.next_offset, _DYNAMIC_BYTES)
    header, names = _Dynamic(*_DYNAMIC_HEADER.unpack_from(raw)), raw[_DYNAMIC_HEADER.size : 768]
    size_bytes, block_bytes = footer.disk_bytes, header.block_bytes
    has_parent = footer.kind == _DIFFERENCING or any(header.parent) or any(names)
    reasons = (
        *those(
            (header.cookie != b"cxsparse", "it has no header of a dynamic disk: is it cut short?"),
            (has_parent, "it reads through to another file, its parent"),
            (
                footer.kind not in (_DYNAMIC, _DIFFERENCING),
                f"it is made as a dynamic disk, and of the type {footer.kind}",
            ),
            (
                block_bytes < SECTOR_BYTES or bool(block_bytes & (block_bytes - 1)),
                f"blocks of {format_exactly(block_bytes)}",
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
        """How large its maker means the disk to be."""
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
