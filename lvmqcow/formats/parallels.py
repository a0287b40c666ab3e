"""Read the header of a disk file of Parallels Desktop. Source: QEMU's ``docs/interop/parallels.txt``."""

from __future__ import annotations

import struct
from typing import Final

from lvmqcow.formats.formats import SECTOR_BYTES, Inside, Read, cut_short, table, table_too_large, those

__all__ = ["MAGICS", "read_parallels"]

_OLD, _NEW = b"WithoutFreeSpace", b"WithouFreSpacExt"
MAGICS: Final = (_OLD, _NEW)

_HEADER: Final = struct.Struct("<16sIIIIIQIIIQ")
_IN_USE: Final = 0x746F6E59
_MOST_CLUSTER_SECTORS: Final = 2**31 // 513


def read_parallels(read: Read, file_bytes: int) -> Inside:
    """Read the header of a Parallels disk, and where the data of its last cluster ends."""
    magic, version, _, _, cluster_sectors, entries, sectors, in_use, _, _, _ = _HEADER.unpack(read(0, _HEADER.size))
    if magic == _OLD:
        sectors &= 0xFFFFFFFF
    size_bytes = sectors * SECTOR_BYTES
    reasons = (
        *those(
            (version != 2, f"version {version} is unknown"),
            (
                not 1 <= cluster_sectors <= _MOST_CLUSTER_SECTORS,
                f"clusters of {cluster_sectors} sectors are impossible",
            ),
            (in_use == _IN_USE, "it is marked as in use: it was in use, or its writer died"),
            (entries * cluster_sectors < sectors, f"its table of {entries} clusters is too small for its size"),
        ),
        *table_too_large(4 * entries),
    )
    if reasons:
        return Inside(size_bytes, reasons)
    last = max((max(part) for part in table(read, _HEADER.size, entries, "<")), default=0)
    unit = 1 if magic == _OLD else cluster_sectors
    data_end = (last * unit + cluster_sectors) * SECTOR_BYTES if last else 0
    table_end = _HEADER.size + 4 * entries
    return Inside(size_bytes, cut_short("table", table_end, file_bytes) or cut_short("data", data_end, file_bytes))
