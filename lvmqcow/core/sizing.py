"""Bytes, and the one place where they are rounded.

Sizes are ints in bytes everywhere in the library. This module turns text (``10G``) into bytes. It rounds bytes up to
whole sectors, in which QEMU counts a disk, or up to whole extents, which LVM allocates.

A disk has at most 64 TiB (``LARGEST_DISK_BYTES``). ``qemu-img check`` sets this limit, as seen with QEMU 7.2. It counts
the clusters of the whole LV, not only those in use:

=======================  ================  ================  ==========================
clusters                 memory at 64 TiB  at 128 TiB        the largest LV it counts
=======================  ================  ================  ==========================
128 KiB, as ours         1 GiB             2 GiB             2^31 clusters, 256 TiB
64 KiB, as Proxmox VE's  2 GiB             "File too large"  2^31 clusters, 128 TiB
=======================  ================  ================  ==========================

An LV is larger than its disk, because it also holds the tables of the image. So 64 TiB is the largest power of two at
which both kinds of image can be checked. All other limits are higher: 16 PiB for LVM (2^32 extents of 4 MiB), 4 PiB for
the L1 table (32 MiB) and 8 PiB for the refcount table (8 MiB), and 2 PiB for both tables with clusters of 64 KiB. A
volume group on a file is limited by the largest file: 8 EiB on XFS and tmpfs, 16 TiB on ext4.
"""

from __future__ import annotations

import re

from lvmqcow.errors import InvalidSize
from lvmqcow.units import format_apart, format_size

__all__ = [
    "LARGEST_DISK_BYTES",
    "LARGEST_FILE_BYTES",
    "SECTOR_BYTES",
    "extents",
    "format_size",
    "parse_size",
    "whole_extents",
    "whole_sectors",
]

SECTOR_BYTES = 512

LARGEST_DISK_BYTES = 64 * 1024**4
"""The largest virtual disk; the docstring of the module says why."""

LARGEST_FILE_BYTES = 2**63 - SECTOR_BYTES
"""The largest file that Linux can address, in whole sectors. Most file systems hold less."""

_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


def parse_size(text: str, most_bytes: int = LARGEST_DISK_BYTES) -> int:
    """Read a size as lvm2 and qemu-img write it: ``10G``, ``512M``, ``1.5T``, ``1048576``. Units are powers of 1024.

    Returns:
        The size in bytes, rounded up to a whole sector.

    Raises:
        InvalidSize: the text is no number, or the size is zero, negative, or more than ``most_bytes``.
    """
    match = re.fullmatch(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)(?:([kmgt])(?:i?b)?|b)?", text.strip().lower())
    if match is None:
        reason = "a size must be positive" if text.strip().startswith("-") else "write a size like 10G or 512M"
        raise InvalidSize(text, reason)
    whole, _, fraction = match[1].partition(".")
    unit = _UNITS[match[2] or ""]
    size_bytes = int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
    return _in_sectors(text, size_bytes, most_bytes)


def whole_sectors(size_bytes: int, most_bytes: int = LARGEST_DISK_BYTES) -> int:
    """Round a virtual disk's size up to whole sectors.

    Raises:
        InvalidSize: the size is zero, negative, or more than ``most_bytes``.
    """
    return _in_sectors(format_apart(size_bytes, most_bytes)[0], size_bytes, most_bytes)


def extents(size_bytes: int, extent_size_bytes: int) -> int:
    """Return how many extents hold ``size_bytes``."""
    return -(-size_bytes // extent_size_bytes)


def whole_extents(size_bytes: int, extent_size_bytes: int) -> int:
    """Round ``size_bytes`` up to whole extents, which LVM allocates; returns bytes."""
    return extents(size_bytes, extent_size_bytes) * extent_size_bytes


def _in_sectors(text: str, size_bytes: int, most_bytes: int) -> int:
    if size_bytes <= 0:
        raise InvalidSize(text, "a size must be positive", size_bytes)
    if size_bytes > most_bytes:
        raise InvalidSize(text, f"the largest supported size is {format_size(most_bytes)}", size_bytes)
    return -(-size_bytes // SECTOR_BYTES) * SECTOR_BYTES
