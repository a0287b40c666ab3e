"""The qcow2 header, read without opening the image.

qemu-img follows what a header says: a backing file, a data file, a ``json:`` reference. This module only reads the
bytes, so it is safe on bytes that a guest or a stranger wrote. Sources: QEMU's ``docs/interop/qcow2.txt``, and QEMU's
``block/qcow2.h`` for the limits.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from lvmqcow.units import format_apart

__all__ = ["HEADER_BYTES", "IMAGE_OPTIONS", "OURS", "Header", "ImageOptions", "Measure", "Table", "parse_header"]


@dataclass(frozen=True)
class ImageOptions:
    """The options that decide how large an image of a given virtual size can become. An image never changes them."""

    cluster_size_bytes: int
    extended_l2: bool

    def __str__(self) -> str:
        """Write the options as ``qemu-img -o`` takes them."""
        size = self.cluster_size_bytes
        text = f"{size // 1024}k" if size % 1024 == 0 else str(size)
        return f"cluster_size={text},extended_l2={'on' if self.extended_l2 else 'off'}"


OURS = ImageOptions(128 * 1024, extended_l2=True)
"""The options of every image that we make. With them a guest write of 4 KiB copies 4 KiB, not a whole cluster."""

IMAGE_OPTIONS = str(OURS)


class Measure(Protocol):
    """A function that returns how large a fully allocated image is (``qemu-img measure``)."""

    def __call__(self, virtual_size_bytes: int, options: ImageOptions = OURS) -> int:
        """Return the bytes of a fully allocated image of that virtual size.

        ``options`` are those of the existing image; for a new image they are ours.
        """


HEADER_BYTES = 4096
"""How many bytes from the start of an image `parse_header` needs: header, extensions and the longest backing name."""

_MAGIC = b"QFI\xfb"
_FIXED = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")
_V3_BYTES = _FIXED.size + _V3.size
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = 1, 2, 4, 8, 16
_EXTENSION_DATA_FILE, _EXTENSION_CRYPTO, _EXTENSION_BACKING_FORMAT = 0x44415441, 0x0537BE77, 0xE2792ACA
_MOST_L1_BYTES, _MOST_REFCOUNT_TABLE_BYTES, _MOST_NAME_BYTES = 32 * 1024**2, 8 * 1024**2, 1023
_ZLIB, _ZSTD = 0, 1
# The backing names that cannot lead out of the volume group's qcow2 images: no path, no protocol, no raw LV.
_SIBLING = re.compile(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]*\.qcow2")
_TORN_SIBLING = re.compile(r"[A-Za-z0-9+_.-]*\0*")


@dataclass(frozen=True)
class Table:
    """Where one of the tables that the header points to lies in the image."""

    name: str
    offset_bytes: int
    size_bytes: int

    @property
    def end_bytes(self) -> int:
        return self.offset_bytes + self.size_bytes


@dataclass(frozen=True)
class Header:
    """What a qcow2 header says about its image. ``faults`` lists values that no valid header has."""

    version: int
    virtual_size_bytes: int
    cluster_size_bytes: int
    backing: str | None
    extended_l2: bool
    dirty: bool
    corrupt: bool
    encrypted: bool
    external_data: bool
    internal_snapshots: int
    unknown_features: int
    backing_format: str | None = None
    tables: tuple[Table, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def options(self) -> ImageOptions:
        return ImageOptions(self.cluster_size_bytes, self.extended_l2)

    def parent_lv(self, vg: str) -> str | None:
        """Return the LV that the backing name means. We write the LV name; other tools may write ``/dev/VG/LV``."""
        return self.backing.removeprefix(f"/dev/{vg}/") if self.backing else None

    @property
    def foreign_reasons(self) -> tuple[str, ...]:
        """Why an image that is to be imported must not be opened; empty if it may be opened."""
        reaches = self.backing is not None
        return (
            *((f"it reads through to another file, {self.backing!r}",) if reaches else ()),
            *(("its dirty bit is set: it was in use, or its writer died",) if self.dirty else ()),
            *self._own_reasons,
        )

    def layer_reasons(self, vg: str) -> tuple[str, ...]:
        """Return why an image must not be opened as a layer of a volume in ``vg``; empty if it may be opened.

        A layer may have another LV of the volume group as its backing file, and a dirty bit while a guest runs.
        """
        return self._reasons(_SIBLING, vg)

    def relink_reasons(self, vg: str) -> tuple[str, ...]:
        """Return why the backing name in the header must not be rewritten; empty if it may be.

        As `layer_reasons`, but a name that a power cut tore is allowed: the length of one LV name, and text of another.
        """
        return self._reasons(_TORN_SIBLING, vg)

    def _reasons(self, sibling: re.Pattern[str], vg: str) -> tuple[str, ...]:
        if self.backing is None:
            return self._own_reasons
        outside = sibling.fullmatch(self.parent_lv(vg) or "") is None
        strange = self.backing_format not in (None, "qcow2")
        return (
            *((f"its backing file {self.backing!r} is no qcow2 image of this volume group",) if outside else ()),
            *((f"its backing file {self.backing!r} is read as {self.backing_format}, not qcow2",) if strange else ()),
            *self._own_reasons,
        )

    @property
    def damage(self) -> tuple[str, ...]:
        """The reasons that QEMU itself recorded in the header, and that ``qemu-img check`` may repair."""
        return ("it is marked corrupt",) if self.corrupt else ()

    def beyond(self, size_bytes: int) -> tuple[str, ...]:
        """Return why an image file of ``size_bytes`` is incomplete: each table that ends behind the end of the file."""
        return tuple(
            "its {} ends at {}, and the file has {}: is it cut short?".format(
                table.name, *format_apart(table.end_bytes, size_bytes)
            )
            for table in self.tables
            if table.end_bytes > size_bytes
        )

    @property
    def _own_reasons(self) -> tuple[str, ...]:
        """The reasons that hold for layers and for images from outside alike."""
        return tuple(
            reason
            for wrong, reason in (
                (self.external_data, "its data is in another file"),
                (self.encrypted, "it is encrypted"),
                (self.internal_snapshots > 0, "it has internal snapshots"),
                (self.unknown_features > 0, f"unknown incompatible features {self.unknown_features:#x}"),
                *((True, damage) for damage in self.damage),
                *((True, fault) for fault in self.faults),
            )
            if wrong
        )


def parse_header(start: bytes) -> Header | None:
    """Read the header from ``start``, the first bytes of an image. Return None if they are no qcow2 header.

    A backing name or an extension that reaches beyond ``start`` counts as present, never as absent.
    """
    if len(start) < _V3_BYTES or start[:4] != _MAGIC:
        return None
    numbers: tuple[int, ...] = (*_FIXED.unpack_from(start)[1:], *_third(start))
    fields = _Fields(*numbers)
    extensions = _extensions(start, fields)
    incompatible = fields.incompatible
    return Header(
        version=fields.version,
        virtual_size_bytes=fields.size,
        cluster_size_bytes=fields.cluster_bytes,
        backing=_backing(start, fields.backing_offset, fields.backing_length),
        extended_l2=bool(incompatible & _EXTENDED_L2),
        dirty=bool(incompatible & _DIRTY),
        corrupt=bool(incompatible & _CORRUPT),
        encrypted=fields.crypt != 0 or _EXTENSION_CRYPTO in (extensions or ()),
        external_data=bool(incompatible & _DATA_FILE) or extensions is None or _EXTENSION_DATA_FILE in extensions,
        internal_snapshots=fields.snapshots,
        unknown_features=incompatible & ~(_DIRTY | _CORRUPT | _DATA_FILE | _COMPRESSION | _EXTENDED_L2),
        backing_format=_text((extensions or {}).get(_EXTENSION_BACKING_FORMAT)),
        tables=fields.tables,
        faults=tuple(_faults(fields)),
    )


@dataclass(frozen=True)
class _Fields:
    """The numbers of the header, unchanged."""

    version: int
    backing_offset: int
    backing_length: int
    cluster_bits: int
    size: int
    crypt: int
    l1_entries: int
    l1_offset: int
    refcount_table_offset: int
    refcount_table_clusters: int
    snapshots: int
    snapshots_offset: int
    incompatible: int
    refcount_order: int
    length: int
    compression: int

    @property
    def cluster_bytes(self) -> int:
        return 1 << min(self.cluster_bits, 63)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables that the header points to, after the header itself."""
        return (
            Table("header", 0, self.cluster_bytes),
            Table("L1 table", self.l1_offset, 8 * self.l1_entries),
            Table("refcount table", self.refcount_table_offset, self.refcount_table_clusters * self.cluster_bytes),
        )


def _third(start: bytes) -> tuple[int, int, int, int]:
    """Return what version 3 added: incompatible features, refcount order, header length, compression type."""
    if struct.unpack_from(">I", start, 4)[0] < 3:
        return 0, 4, _FIXED.size, _ZLIB
    incompatible, _, _, order, length = _V3.unpack_from(start, _FIXED.size)
    compression = start[_V3_BYTES] if length > _V3_BYTES and len(start) > _V3_BYTES else _ZLIB
    return incompatible, order, length, compression


def _faults(fields: _Fields) -> Iterator[str]:
    if fields.version not in (2, 3):
        yield f"version {fields.version} is unknown"
    if not 9 <= fields.cluster_bits <= 21:
        yield "impossible cluster size"
        return  # the rest is counted in clusters
    if fields.version >= 3:
        if not _V3_BYTES <= fields.length <= fields.cluster_bytes or fields.length % 8:
            yield f"impossible header length {fields.length}"
        if (fields.compression != _ZLIB) != bool(fields.incompatible & _COMPRESSION):
            yield "its compression type contradicts its features"
        if fields.compression > _ZSTD:
            yield f"compression type {fields.compression} is unknown"
    if fields.refcount_order > 6:
        yield f"impossible refcount order {fields.refcount_order}"
    if fields.backing_length > _MOST_NAME_BYTES and fields.backing_offset:
        yield f"impossible backing name of {fields.backing_length} bytes"
    if fields.incompatible & _EXTENDED_L2 and fields.cluster_bits < 14:
        yield "clusters too small for extended L2 entries"
    yield from _table_faults(fields)


def _table_faults(fields: _Fields) -> Iterator[str]:
    header, l1, refcounts = fields.tables
    l2_bytes = fields.cluster_bytes // (16 if fields.incompatible & _EXTENDED_L2 else 8) * fields.cluster_bytes
    if l1.size_bytes > _MOST_L1_BYTES:
        yield f"impossible L1 table of {fields.l1_entries} entries"
    if fields.l1_entries * l2_bytes < fields.size:
        yield "an L1 table too small for its virtual size"
    if not 0 < refcounts.size_bytes <= _MOST_REFCOUNT_TABLE_BYTES:
        yield f"impossible refcount table of {fields.refcount_table_clusters} clusters"
    used = [table for table in (l1, refcounts) if table.size_bytes]
    for table in used:
        if table.offset_bytes % fields.cluster_bytes:
            yield f"a {table.name} that begins inside a cluster"
        if table.offset_bytes < header.end_bytes:
            yield f"a {table.name} inside the header"
        if table.end_bytes >= 1 << 56:
            yield f"a {table.name} behind all that can be addressed"
    if len(used) == 2 and l1.offset_bytes < refcounts.end_bytes and refcounts.offset_bytes < l1.end_bytes:
        yield "an L1 table inside its refcount table"


def _backing(start: bytes, offset: int, length: int) -> str | None:
    if offset == 0:
        return None
    return _text(start[offset : offset + min(length, _MOST_NAME_BYTES)])


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "surrogateescape")


def _extensions(start: bytes, fields: _Fields) -> Mapping[int, bytes] | None:
    """Return the header extensions by their type; None if some lie beyond ``start``."""
    found: dict[int, bytes] = {}
    position, end = fields.length, fields.backing_offset or fields.cluster_bytes
    while position + 8 <= end:
        if position + 8 > len(start):
            return None
        kind, length = struct.unpack_from(">II", start, position)
        if kind == 0:
            break
        found[kind] = start[position + 8 : position + 8 + length]
        position += 8 + -(-length // 8) * 8
    return found
