"""The qcow2 header, read without opening the image.

qemu-img follows what a header says: a backing file, a data file, a ``json:`` reference. This reads only the bytes,
so it is safe on bytes that a guest or a stranger wrote. Source: QEMU's ``docs/interop/qcow2.txt``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

__all__ = ["HEADER_BYTES", "IMAGE_OPTIONS", "OURS", "Header", "ImageOptions", "Measure", "parse_header"]


@dataclass(frozen=True)
class ImageOptions:
    """What decides how large an image of some virtual size can get. An image keeps its own for life."""

    cluster_size_bytes: int
    extended_l2: bool

    def __str__(self) -> str:
        """As ``qemu-img -o`` takes them."""
        size = self.cluster_size_bytes
        text = f"{size // 1024}k" if size % 1024 == 0 else str(size)
        return f"cluster_size={text},extended_l2={'on' if self.extended_l2 else 'off'}"


OURS = ImageOptions(128 * 1024, extended_l2=True)
"""How we make every image, base and overlay alike: a 4 KiB guest write then costs 4 KiB, not a whole cluster."""

IMAGE_OPTIONS = str(OURS)


class Measure(Protocol):
    """Bytes of a fully allocated image: a function of its virtual size and options alone (``qemu-img measure``)."""

    def __call__(self, virtual_size_bytes: int, options: ImageOptions = OURS) -> int:
        """``options`` are ours for an image that is to be made, and its own for one that is there."""


HEADER_BYTES = 4096
"""How much of an image ``parse_header`` wants: the header, its extensions and the longest backing name."""

_MAGIC = b"QFI\xfb"
_FIXED = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = 1, 2, 4, 8, 16
_EXTENSION_DATA_FILE = 0x44415441


@dataclass(frozen=True)
class Header:
    """What a qcow2 header says of its image."""

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

    @property
    def options(self) -> ImageOptions:
        return ImageOptions(self.cluster_size_bytes, self.extended_l2)

    def parent_lv(self, vg: str) -> str | None:
        """The LV that the backing name means: a sibling's bare name, or one below ``/dev/VG`` (written by others)."""
        return self.backing.removeprefix(f"/dev/{vg}/") if self.backing else None

    @property
    def foreign_reasons(self) -> tuple[str, ...]:
        """Why an image from outside must not be opened; empty when it may be."""
        return tuple(
            reason
            for wrong, reason in (
                (self.version not in (2, 3), f"version {self.version} is unknown"),
                (not 512 <= self.cluster_size_bytes <= 2 * 1024**2, "impossible cluster size"),
                (self.backing is not None, f"it reads through to another file, {self.backing!r}"),
                (self.external_data, "its data is in another file"),
                (self.encrypted, "it is encrypted"),
                (self.internal_snapshots > 0, "it has internal snapshots"),
                (self.unknown_features > 0, f"unknown incompatible features {self.unknown_features:#x}"),
                (self.corrupt, "it is marked corrupt"),
            )
            if wrong
        )


def parse_header(start: bytes) -> Header | None:
    """Read the header from the first bytes of an image; None when they are no qcow2 header.

    A name or extension that reaches beyond ``start`` is treated as there but unreadable, never as absent.
    """
    if len(start) < _FIXED.size + _V3.size or start[:4] != _MAGIC:
        return None
    (_, version, backing_offset, backing_length, cluster_bits, size, crypt, *_rest, snapshots, _) = _FIXED.unpack_from(
        start
    )
    incompatible, _, _, _, header_length = _V3.unpack_from(start, _FIXED.size) if version >= 3 else (0, 0, 0, 0, 72)
    return Header(
        version=version,
        virtual_size_bytes=size,
        cluster_size_bytes=1 << min(cluster_bits, 63),
        backing=_backing(start, backing_offset, backing_length),
        extended_l2=bool(incompatible & _EXTENDED_L2),
        dirty=bool(incompatible & _DIRTY),
        corrupt=bool(incompatible & _CORRUPT),
        encrypted=crypt != 0,
        external_data=bool(incompatible & _DATA_FILE)
        or _has_data_file(start, header_length, backing_offset or 1 << min(cluster_bits, 63)),
        internal_snapshots=snapshots,
        unknown_features=incompatible & ~(_DIRTY | _CORRUPT | _DATA_FILE | _COMPRESSION | _EXTENDED_L2),
    )


def _backing(start: bytes, offset: int, length: int) -> str | None:
    if offset == 0:
        return None
    return start[offset : offset + length].decode("utf-8", "surrogateescape")


def _has_data_file(start: bytes, position: int, end: int) -> bool:
    """Whether one of the header extensions names a data file, or lies where it was not read and might."""
    while position + 8 <= end:
        if position + 8 > len(start):
            return True
        kind, length = struct.unpack_from(">II", start, position)
        if kind == _EXTENSION_DATA_FILE:
            return True
        if kind == 0:
            return False
        position += 8 + -(-length // 8) * 8
    return False
