"""Read the header of a VHDX of Hyper-V. Sources: Microsoft's "[MS-VHDX]", QEMU's ``block/vhdx.c``.

qemu-img checks the checksums, the log, and whether the file is as long as its block table says, whenever it opens a
VHDX.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from lvmqcow.formats.formats import Inside, Read, cut_short, table_too_large, those

__all__ = ["SIGNATURE", "read_vhdx"]

SIGNATURE: Final = b"vhdxfile"

_REGIONS_OFFSET: Final = 192 * 1024
_ENTRY_BYTES, _MOST_ENTRIES = 32, 2047
_REGION_HEADER, _REGION = struct.Struct("<4sIII"), struct.Struct("<16sQII")
_METADATA_HEADER, _ITEM = struct.Struct("<8sHH20x"), struct.Struct("<16sIII4x")
_HAS_PARENT: Final = 2
_BLOCK_TABLE, _METADATA, _PARAMETERS, _DISK_BYTES, _PARENT = (
    UUID(text).bytes_le
    for text in (
        "2dc27766-f623-4200-9d64-115e9bfd4a08",
        "8b7ca206-4790-4b9a-b8fe-575f050f886e",
        "caa16737-fa36-4d43-b3b6-33f0aa44e76b",
        "2fa54224-cd1b-4876-b211-5dbed83bf4b8",
        "a8d35f2d-b30b-454d-abf7-d3d84834ab0c",
    )
)


def read_vhdx(read: Read, file_bytes: int) -> Inside:
    """Read the region table and the metadata of a VHDX."""
    signature, _, count, _ = _REGION_HEADER.unpack(read(_REGIONS_OFFSET, _REGION_HEADER.size))
    if signature != b"regi" or count > _MOST_ENTRIES:
        return Inside(None, ("it has no region table: is it cut short?",))
    entries = read(_REGIONS_OFFSET + _REGION_HEADER.size, count * _ENTRY_BYTES)
    regions = {kind: (offset, length) for kind, offset, length, _ in _REGION.iter_unpack(entries)}
    if _METADATA not in regions or _BLOCK_TABLE not in regions:
        return Inside(None, ("a region that every VHDX has is missing",))
    start, length = regions[_BLOCK_TABLE]
    reasons = (*table_too_large(length), *cut_short("block table", start + length, file_bytes))
    metadata_offset = regions[_METADATA][0]
    signature, _, count = _METADATA_HEADER.unpack(read(metadata_offset, _METADATA_HEADER.size))
    if signature != b"metadata" or count > _MOST_ENTRIES:
        return Inside(None, ("it has no metadata: is it cut short?",))
    items = _items(read(metadata_offset + _METADATA_HEADER.size, count * _ENTRY_BYTES))
    if _PARAMETERS not in items or _DISK_BYTES not in items:
        return Inside(None, ("its metadata lacks the parameters or the size of the disk",))
    _, flags = struct.unpack("<II", read(metadata_offset + items[_PARAMETERS], 8))
    (size_bytes,) = struct.unpack("<Q", read(metadata_offset + items[_DISK_BYTES], 8))
    has_parent = bool(flags & _HAS_PARENT) or _PARENT in items
    return Inside(size_bytes, (*those((has_parent, "it reads through to another file, its parent")), *reasons))


def _items(entries: bytes) -> Mapping[bytes, int]:
    """Return the offset of each item in the metadata."""
    return {kind: offset for kind, offset, _, _ in _ITEM.iter_unpack(entries)}
