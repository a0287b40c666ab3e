"""Bytes, and the one place where they are rounded.

Sizes are ints in bytes everywhere in the library. Text becomes bytes here (``10G``), and bytes become whole
sectors (what QEMU counts a disk in) or whole extents (what LVM allocates) here, always upwards.
"""

from __future__ import annotations

import re

from lvmqcow.errors import InvalidSize

__all__ = ["SECTOR_BYTES", "extents", "format_size", "parse_size", "whole_extents", "whole_sectors"]

SECTOR_BYTES = 512

# qcow2 with 128 KiB clusters addresses far more; 16 TiB is as far as the overhead was measured.
_LARGEST_BYTES = 16 * 1024**4
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


def parse_size(text: str) -> int:
    """Read a size as lvm2 and qemu-img write it: ``10G``, ``512M``, ``1.5T``, ``1048576``; units of 1024.

    Returns bytes, rounded up to a whole sector.

    Raises:
        InvalidSize: not a number, zero, negative, or beyond 16 TiB.
    """
    match = re.fullmatch(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)(?:([kmgt])(?:i?b)?|b)?", text.strip().lower())
    if match is None:
        reason = "it must be positive" if text.strip().startswith("-") else "write it like 10G or 512M"
        raise InvalidSize(text, reason)
    whole, _, fraction = match[1].partition(".")
    unit = _UNITS[match[2] or ""]
    size_bytes = int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
    return whole_sectors(size_bytes)


def whole_sectors(size_bytes: int) -> int:
    """Round a virtual disk's size up to whole sectors.

    Raises:
        InvalidSize: zero, negative, or beyond 16 TiB.
    """
    if size_bytes <= 0:
        raise InvalidSize(str(size_bytes), "it must be positive")
    if size_bytes > _LARGEST_BYTES:
        raise InvalidSize(str(size_bytes), "more than 16 TiB")
    return -(-size_bytes // SECTOR_BYTES) * SECTOR_BYTES


def extents(size_bytes: int, extent_size_bytes: int) -> int:
    """How many extents hold ``size_bytes``."""
    return -(-size_bytes // extent_size_bytes)


def whole_extents(size_bytes: int, extent_size_bytes: int) -> int:
    """Round up to what LVM will allocate, in bytes."""
    return extents(size_bytes, extent_size_bytes) * extent_size_bytes


def format_size(size_bytes: int) -> str:
    """Write a size for people: the largest unit with at most two decimals, ``10 GiB``."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if round(value, 2) < 1024 or unit == "TiB":
            return f"{value:.2f}".rstrip("0").rstrip(".") + f" {unit}"
        value /= 1024
    raise AssertionError("unreachable")
