"""The bytes of qcow2 images, field by field: a sound one, with whatever is to be wrong with it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, TypedDict, Unpack

from lvmqcow.core.qcow2 import HEADER_BYTES
from lvmqcow.testing.hostile.specimen import DATA, Image

__all__ = [
    "BACKING_FORMAT",
    "BITMAPS",
    "COMPRESSION",
    "COPIED",
    "CORRUPT",
    "CRYPTO",
    "DATA_FILE",
    "DATA_FILE_NAME",
    "DIRTY",
    "EXTENDED_L2",
    "FEATURE_NAMES",
    "MIB",
    "TIB",
    "UNKNOWN",
    "Changes",
    "extension",
    "header_bytes",
    "qcow2",
    "small_image",
    "table_bytes",
]


DIRTY, CORRUPT, DATA_FILE, COMPRESSION, EXTENDED_L2 = 1, 2, 4, 8, 16
BACKING_FORMAT, FEATURE_NAMES, BITMAPS, CRYPTO = 0xE2792ACA, 0x6803F857, 0x23852875, 0x0537BE77
DATA_FILE_NAME, UNKNOWN = 0x44415441, 0x12345678
MIB, TIB = 1024**2, 1024**4
COPIED: Final = 1 << 63


def header_bytes(
    *,
    version: int = 3,
    backing: bytes = b"",
    backing_offset: int | None = None,
    backing_length: int | None = None,
    cluster_bits: int = 17,
    size_bytes: int = MIB,
    crypt: int = 0,
    l1_entries: int = 1,
    l1_offset: int | None = None,
    refcount_table_offset: int | None = None,
    refcount_table_clusters: int = 1,
    refcount_order: int = 4,
    snapshots: int = 0,
    incompatible: int = EXTENDED_L2,
    compatible: int = 0,
    autoclear: int = 0,
    header_length: int | None = None,
    compression: int | None = None,
    extensions: bytes = b"",
) -> bytes:
    """The first bytes of an image; the backing name is where qemu-img puts it, behind the extensions."""
    unit = 1 << cluster_bits % 32
    own = b"" if compression is None else bytes([compression]).ljust(8, b"\0")
    length = (72 if version < 3 else 104) + len(own)
    end = struct.pack(">II", 0, 0)
    if backing_offset is None:
        backing_offset = length + len(extensions) + len(end) if backing else 0
    fixed = struct.pack(
        ">4sIQIIQIIQQIIQ",
        *(b"QFI\xfb", version, backing_offset, len(backing) if backing_length is None else backing_length),
        *(cluster_bits, size_bytes, crypt, l1_entries, 3 * unit if l1_offset is None else l1_offset),
        *(unit if refcount_table_offset is None else refcount_table_offset, refcount_table_clusters, snapshots, 0),
    )
    told = length if header_length is None else header_length
    third = struct.pack(">QQQII", incompatible, compatible, autoclear, refcount_order, told) if version >= 3 else b""
    start = fixed + third + own + extensions + end
    return (start.ljust(backing_offset, b"\0") + backing if backing else start).ljust(HEADER_BYTES, b"\0")


def extension(kind: int, data: bytes) -> bytes:
    """A header extension."""
    return struct.pack(">II", kind, len(data)) + data.ljust(-(-len(data) // 8) * 8, b"\0")


def qcow2(
    header: bytes | None = None,
    *,
    cluster_bits: int = 12,
    l1: Mapping[int, int] | None = None,
    l2: Mapping[int, int] | None = None,
    refcount_blocks: Mapping[int, int] | None = None,
    refcounts: bytes = struct.pack(">6H", *[1] * 6),
    size_bytes: int | None = None,
) -> Image:
    """A whole image around a header: refcount table and block, L1, one L2 table, one cluster of data; a cluster each.

    ``refcounts`` are those of the six clusters, as wide as the header says; ``l1``, ``l2`` and ``refcount_blocks``
    change entries of the tables.
    """
    unit = 1 << cluster_bits
    start = small_image(cluster_bits=cluster_bits) if header is None else header
    parts = {
        0: start,
        1 * unit: table_bytes({0: 2 * unit, **(refcount_blocks or {})}),
        2 * unit: refcounts,
        3 * unit: table_bytes({0: 4 * unit | COPIED, **(l1 or {})}),
        4 * unit: table_bytes({0: 5 * unit | COPIED, **(l2 or {})}),
        5 * unit: bytes([DATA]) * unit,
    }
    return Image(parts, 6 * unit if size_bytes is None else size_bytes)


class Changes(TypedDict, total=False):
    """What `header_bytes` takes."""

    version: int
    backing: bytes
    backing_offset: int
    backing_length: int
    cluster_bits: int
    size_bytes: int
    crypt: int
    l1_entries: int
    l1_offset: int
    refcount_table_offset: int
    refcount_table_clusters: int
    refcount_order: int
    snapshots: int
    incompatible: int
    compatible: int
    autoclear: int
    header_length: int
    compression: int
    extensions: bytes


def small_image(**changes: Unpack[Changes]) -> bytes:
    """As `header_bytes`, of an image with small clusters and without extended L2 entries."""
    fields: Changes = {"cluster_bits": 12, "incompatible": 0}
    fields.update(changes)
    return header_bytes(**fields)


def table_bytes(entries: Mapping[int, int]) -> bytes:
    """A table of 64-bit entries, in big-endian order; those that are not given are 0."""
    return struct.pack(f">{max(entries) + 1}Q", *(entries.get(index, 0) for index in range(max(entries) + 1)))
