"""Read the header of a QED image, a former format of QEMU. Source: QEMU's ``docs/interop/qed_spec.txt``.

``qemu-img check`` finds out whether the file is as long as its tables say.
"""

from __future__ import annotations

import struct
from typing import Final

from lvmqcow.formats.formats import SECTOR_BYTES, Inside, Read, cut_short, those
from lvmqcow.units import format_exactly

__all__ = ["MAGIC", "read_qed"]

MAGIC: Final = b"QED\0"

_HEADER: Final = struct.Struct("<4sIIIQQQQQII")
_BACKING_FILE, _NEEDS_CHECK, _BACKING_IS_RAW = 1, 2, 4
_CLUSTER_SIZES: Final = tuple(1 << bits for bits in range(12, 27))
_TABLE_SIZES: Final = (1, 2, 4, 8, 16)


def read_qed(read: Read, file_bytes: int) -> Inside:
    """Read the header of a QED image."""
    (_, cluster_bytes, table_clusters, header_clusters, features, _, _, l1_offset, size_bytes, _, name_bytes) = (
        _HEADER.unpack(read(0, _HEADER.size))
    )
    unknown = features & ~(_BACKING_FILE | _NEEDS_CHECK | _BACKING_IS_RAW)
    sizes = cluster_bytes in _CLUSTER_SIZES and table_clusters in _TABLE_SIZES
    reasons = those(
        (bool(features & _BACKING_FILE) or name_bytes > 0, "it reads through to another file"),
        (bool(features & _NEEDS_CHECK), "it is marked as in use: it was in use, or its writer died"),
        (unknown > 0, f"unknown features {unknown:#x}"),
        (
            not sizes,
            f"clusters of {format_exactly(cluster_bytes)} and tables of {table_clusters} clusters are impossible",
        ),
        (not header_clusters, "its header has no length"),
        (
            bool(file_bytes % SECTOR_BYTES),
            f"the file has {format_exactly(file_bytes)}, which are no whole sectors: is it cut short?",
        ),
    )
    if not sizes:
        return Inside(size_bytes, reasons)
    ends = {"header": header_clusters * cluster_bytes, "L1 table": l1_offset + table_clusters * cluster_bytes}
    short = (reason for what, end in ends.items() for reason in cut_short(what, end, file_bytes))
    return Inside(size_bytes, (*reasons, *short))
