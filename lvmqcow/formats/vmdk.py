"""Read the header of a VMDK of VMware that is one file: sparse or stream-optimized, with its descriptor inside.

Any other VMDK has its data in other files, and QEMU opens the files that it names. Such a VMDK is refused. Sources:
VMware's "Virtual Disk Format 5.0", QEMU's ``block/vmdk.c``.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lvmqcow.formats.formats import SECTOR_BYTES, Inside, Read, cut_short, table, table_too_large, those

__all__ = ["EXTENT_MAGICS", "SPARSE_MAGIC", "is_descriptor", "read_vmdk"]

SPARSE_MAGIC: Final = b"KDMV"
EXTENT_MAGICS: Final = (b"COWD", struct.pack("<QQ", 0xCAFEBABE, 0x200000001))
"""How extents of ESX begin, before and since version 6.5. They are no disk without a descriptor file."""

_HEADER: Final = struct.Struct("<4sIIQQQQIQQQB4sH")
_MARKER: Final = struct.Struct("<QII")
_END_OF_STREAM, _FOOTER = 0, 3
_HAS_NEWLINES, _HAS_MARKERS = 1, 1 << 17
_NEWLINES: Final = b"\n \r\n"
_AT_END: Final = 2**64 - 1
_DEFLATE: Final = 1
_QEMU_READS: Final = (SECTOR_BYTES, 20 * SECTOR_BYTES)
"""Where QEMU reads the descriptor, whatever the header says: offset and length in bytes."""
_MOST_DESCRIPTOR_SECTORS: Final = 2048
_MOST_GRAIN_SECTORS, _MOST_TABLE_ENTRIES = 0x200000, 512

_DESCRIPTOR = re.compile(rb"(?:#[^\n]*\n|[ ]*\r?\n)*version=[123]\r?\n")
_PARENT_CID = re.compile(rb"parentCID[ \t]*=[ \t]*([0-9a-fA-F]*)", re.IGNORECASE)
_CREATE_TYPE = re.compile(rb'createType[ \t]*=[ \t]*"([^"\n]*)"', re.IGNORECASE)
_EXTENT = re.compile(rb"^[ \t]*(?:RW|RDONLY|NOACCESS)[ \t]+[0-9]+[ \t]+(\w+)", re.IGNORECASE | re.MULTILINE)
_WHOLE_TYPES: Final = (b"monolithicsparse", b"streamoptimized")


def is_descriptor(start: bytes) -> bool:
    """Return whether these bytes begin a descriptor, the text that names the files of a disk."""
    return start[:21].lower() == b"# disk descriptorfile" or _DESCRIPTOR.match(start) is not None


def read_vmdk(read: Read, file_bytes: int) -> Inside:
    """Read the header of a VMDK. Its descriptor is read where the header says, and where QEMU reads it."""
    start = read(0, SECTOR_BYTES)
    first = _Header(*_HEADER.unpack_from(start))
    if first.magic != SPARSE_MAGIC:
        extent = start.startswith(EXTENT_MAGICS)
        return Inside(None, ("it is one extent of a disk" if extent else "its data is in other files, which it names",))
    if not first.capacity_sectors or not first.descriptor_sector:
        return Inside(None, ("it is only a part of a disk: the rest is in other files",))
    header = _footer(read, file_bytes) if first.directory_sector == _AT_END else first
    if header is None:
        return Inside(None, ("the copy of its header at its end is missing: is it cut short?",))
    reasons = (*first.reasons, *(header.reasons if header != first else ()), *_descriptor_reasons(read, first))
    size_bytes = header.capacity_sectors * SECTOR_BYTES
    if reasons:
        return Inside(size_bytes, reasons)
    return Inside(size_bytes, _unless_whole(read, header, file_bytes))


@dataclass(frozen=True)
class _Header:
    magic: bytes
    version: int
    flags: int
    capacity_sectors: int
    grain_sectors: int
    descriptor_sector: int
    descriptor_sectors: int
    table_entries: int
    spare_directory_sector: int
    directory_sector: int
    overhead_sectors: int
    unclean: int
    newlines: bytes
    compression: int

    @property
    def reasons(self) -> tuple[str, ...]:
        grain, entries = self.grain_sectors, self.table_entries
        return those(
            (not 1 <= self.version <= 3, f"version {self.version} is unknown"),
            (not 1 <= grain <= _MOST_GRAIN_SECTORS, f"grains of {grain} sectors are impossible"),
            (not 1 <= entries <= _MOST_TABLE_ENTRIES, f"grain tables of {entries} entries are impossible"),
            (self.compression not in (0, _DEFLATE), f"compression {self.compression} is unknown"),
            (self.unclean == 1, "it is marked as in use: it was in use, or its writer died"),
            (
                bool(self.flags & _HAS_NEWLINES) and self.newlines != _NEWLINES,
                "its line ends were changed: it was copied as text",
            ),
            (
                self.descriptor_sectors > _MOST_DESCRIPTOR_SECTORS,
                f"a descriptor of {self.descriptor_sectors} sectors is impossible",
            ),
        )

    @property
    def tables(self) -> int:
        return -(-self.capacity_sectors // (self.grain_sectors * self.table_entries))


def _footer(read: Read, file_bytes: int) -> _Header | None:
    """Return the valid header of a file that was written as a stream: its footer; None if that is missing."""
    end = -(-file_bytes // SECTOR_BYTES) * SECTOR_BYTES
    if end < 3 * SECTOR_BYTES:
        return None
    last = read(end - 3 * SECTOR_BYTES, 3 * SECTOR_BYTES)
    header = _Header(*_HEADER.unpack_from(last, SECTOR_BYTES))
    _, size, kind = _MARKER.unpack_from(last)
    marked = (size, kind) == (0, _FOOTER) and _MARKER.unpack_from(last, 2 * SECTOR_BYTES) == (0, 0, _END_OF_STREAM)
    return header if marked and header.magic == SPARSE_MAGIC else None


def _descriptor_reasons(read: Read, header: _Header) -> tuple[str, ...]:
    sectors = min(header.descriptor_sectors, _MOST_DESCRIPTOR_SECTORS)
    told = read(header.descriptor_sector * SECTOR_BYTES, sectors * SECTOR_BYTES).partition(b"\0")[0]
    found = read(*_QEMU_READS).partition(b"\0")[0]
    return tuple(dict.fromkeys((*_text_reasons(told), *_text_reasons(found))))


def _text_reasons(text: bytes) -> tuple[str, ...]:
    parents = [parent.lower() for parent in _PARENT_CID.findall(text)]
    kinds = [kind.decode(errors="replace") for kind in _CREATE_TYPE.findall(text)]
    extents = [kind.upper() for kind in _EXTENT.findall(text)]
    has_parent = any(parent != b"ffffffff" for parent in parents) or b"parentfilenamehint" in text.lower()
    return those(
        (has_parent, "it reads through to another file, its parent"),
        (not parents or len(kinds) != 1, "its descriptor is missing or incomplete"),
        (any(kind.lower().encode() not in _WHOLE_TYPES for kind in kinds), f"its type is {', '.join(kinds)}"),
        (extents != [b"SPARSE"], f"its descriptor has {len(extents)} extents, not one sparse extent in this file"),
    )


def _unless_whole(read: Read, header: _Header, file_bytes: int) -> tuple[str, ...]:
    too_large = table_too_large(4 * header.tables * (1 + header.table_entries))
    if too_large:
        return too_large
    directory = header.directory_sector * SECTOR_BYTES
    directory_end = directory + 4 * header.tables
    tables = [sector for piece in table(read, directory, header.tables, "<") for sector in piece]
    tables_end = max(tables, default=0) * SECTOR_BYTES + 4 * header.table_entries if any(tables) else 0
    reasons = cut_short("grain directory", directory_end, file_bytes) or cut_short("tables", tables_end, file_bytes)
    if reasons:
        return reasons
    last = max(_furthest(read, tables, header), default=0)
    if last <= 1:  # 1 stands for a grain of zeros
        return ()
    offset_bytes, length_bytes = last * SECTOR_BYTES, header.grain_sectors * SECTOR_BYTES
    if header.compression:
        marked = header.flags & _HAS_MARKERS
        length_bytes = _MARKER.size - 4 + _MARKER.unpack(read(offset_bytes, _MARKER.size))[1] if marked else 1
    return cut_short("data", offset_bytes + length_bytes, file_bytes)


def _furthest(read: Read, tables: list[int], header: _Header) -> Iterator[int]:
    """Yield, for each grain table, the sector of the grain that lies furthest from the start."""
    for sector in tables:
        if sector:
            for grains in table(read, sector * SECTOR_BYTES, header.table_entries, "<"):
                yield max(grains)
