"""What the readers of headers take and return. The readers are pure: they take bytes and return facts.

A reader reads the fields that QEMU's driver of the format follows. It refuses an image that would lead QEMU to another
file or make it allocate memory without bound. All other images are then checked by qemu-img within limits
(`lvmqcow.steps.limits`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lvmqcow.units import format_apart

__all__ = [
    "MOST_TABLE_BYTES",
    "SECTOR_BYTES",
    "Inside",
    "Read",
    "SourceFormat",
    "cut_short",
    "table",
    "table_too_large",
    "those",
]

SECTOR_BYTES: Final = 512
MOST_TABLE_BYTES: Final = 256 * 1024**2
"""The largest size of an image's tables. It suffices for 4 TiB in grains of 64 KiB, the smallest in common use."""
_ENTRY_BYTES, _PIECE = 4, 16 * 1024


class SourceFormat(StrEnum):
    """The format of a file to import, by the name that qemu-img uses."""

    RAW = "raw"
    QCOW2 = "qcow2"
    VMDK = "vmdk"
    """VMware. Only one file with its descriptor inside is supported: sparse, or stream-optimized as in an OVA."""
    VDI = "vdi"
    """VirtualBox."""
    VHDX = "vhdx"
    """Hyper-V."""
    VPC = "vpc"
    """VHD: Virtual PC, Hyper-V, Xen, Azure."""
    QED = "qed"
    PARALLELS = "parallels"


Read = Callable[[int, int], bytes]
"""Returns a number of bytes at an offset in bytes. Bytes behind the end of the file are zeros, as QEMU reads them."""


@dataclass(frozen=True)
class Inside:
    """What a header says about the disk in a file."""

    virtual_size_bytes: int | None
    """The size of the disk; None if the header has none or it was not found. Then `reasons` says why."""
    reasons: tuple[str, ...] = ()
    """Why qemu-img must not open the file; empty if it may."""


def those(*found: tuple[bool, str]) -> tuple[str, ...]:
    """Return the texts whose condition is true."""
    return tuple(reason for wrong, reason in found if wrong)


def cut_short(what: str, end_bytes: int, file_bytes: int) -> tuple[str, ...]:
    """Return a reason if ``what`` ends behind the end of the file. QEMU would read zeros there."""
    end, has = format_apart(end_bytes, file_bytes)
    return those((end_bytes > file_bytes, f"its {what} ends at {end}, and the file has {has}: is it cut short?"))


def table_too_large(size_bytes: int) -> tuple[str, ...]:
    """Return a reason if tables of that size are too large."""
    tables, most = format_apart(size_bytes, MOST_TABLE_BYTES)
    return those((size_bytes > MOST_TABLE_BYTES, f"its tables are {tables}, more than {most}"))


def table(read: Read, offset_bytes: int, entries: int, order: str) -> Iterator[tuple[int, ...]]:
    """Yield a table of 32-bit numbers in parts. ``order`` is the byte order, as `struct` writes it."""
    for start in range(0, entries, _PIECE):
        length = min(_PIECE, entries - start)
        yield struct.unpack(f"{order}{length}I", read(offset_bytes + start * _ENTRY_BYTES, length * _ENTRY_BYTES))
