"""Read the header of a VDI of VirtualBox. Source: QEMU's ``block/vdi.c``."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from lvmqcow.formats.formats import SECTOR_BYTES, Inside, Read, cut_short, table, table_too_large, those
from lvmqcow.units import format_exactly

__all__ = ["SIGNATURE", "SIGNATURE_OFFSET", "read_vdi"]

SIGNATURE: Final = struct.pack("<I", 0xBEDA107F)
SIGNATURE_OFFSET: Final = 64

_HEADER: Final = struct.Struct("<64sIIIII256sIIIIIIIQIIII16s16s16s16s")
_DYNAMIC, _FIXED, _DIFFERENCING = 1, 2, 4
_BLOCK_BYTES: Final = 1024**2
_LEAST_ABSENT: Final = 0xFFFFFFFE  # not allocated, or discarded


def read_vdi(read: Read, file_bytes: int) -> Inside:
    """Read the header of a VDI, and where its block map and its data end."""
    header = _Header(*_HEADER.unpack(read(0, _HEADER.size)))
    size_bytes = header.disk_bytes
    reasons = (*header.reasons, *table_too_large(4 * header.blocks))
    if reasons:
        return Inside(size_bytes, reasons)
    map_end = header.map_offset + 4 * header.blocks
    used = (block for part in table(read, header.map_offset, header.blocks, "<") for block in part)
    last = max((block for block in used if block < _LEAST_ABSENT), default=-1)
    data_end = header.data_offset + (last + 1) * _BLOCK_BYTES if last >= 0 else 0
    return Inside(size_bytes, cut_short("block map", map_end, file_bytes) or cut_short("data", data_end, file_bytes))


@dataclass(frozen=True)
class _Header:
    text: bytes
    signature: int
    version: int
    header_bytes: int
    kind: int
    flags: int
    description: bytes
    map_offset: int
    data_offset: int
    cylinders: int
    heads: int
    sectors: int
    sector_bytes: int
    unused: int
    disk_bytes: int
    block_bytes: int
    block_extra_bytes: int
    blocks: int
    allocated: int
    uuid: bytes
    snapshot: bytes
    link: bytes
    parent: bytes

    @property
    def reasons(self) -> tuple[str, ...]:
        has_parent = self.kind == _DIFFERENCING or any(self.link) or any(self.parent)
        plain = (self.sector_bytes, self.block_bytes, self.block_extra_bytes) == (SECTOR_BYTES, _BLOCK_BYTES, 0)
        block, sector = format_exactly(self.block_bytes), format_exactly(self.sector_bytes)
        return those(
            (self.version != 0x10001, f"version {self.version >> 16}.{self.version & 0xFFFF} is unknown"),
            (has_parent, "it reads through to another file: it holds the changes after a snapshot of VirtualBox"),
            (not has_parent and self.kind not in (_DYNAMIC, _FIXED), f"images of the type {self.kind} are unknown"),
            (not plain, f"blocks of {block} in sectors of {sector} are not supported"),
            (
                bool(self.map_offset % SECTOR_BYTES or self.data_offset % SECTOR_BYTES),
                "its block map or data begins inside a sector",
            ),
            (self.blocks * _BLOCK_BYTES < self.disk_bytes, f"its map has {self.blocks} blocks, too few for its size"),
        )
