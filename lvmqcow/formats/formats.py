"""What a reader of a container's header is given, and what it returns. The readers are pure: bytes in, facts out.

They read what QEMU's driver of the format would follow, and refuse what could lead it to another file or make it
allocate without bound. What they let pass, qemu-img opens within limits (`lvmqcow.steps.limits`) and checks.
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
"""What the tables of one image may take: 4 TiB in grains of 64 KiB, the finest that are in use."""
_ENTRY_BYTES, _PIECE = 4, 16 * 1024


class SourceFormat(StrEnum):
    """What the bytes of a file to import are, by the names that qemu-img has for them."""

    RAW = "raw"
    QCOW2 = "qcow2"
    VMDK = "vmdk"
    """VMware; one file with its descriptor inside: sparse, or stream-optimized as in an OVA."""
    VDI = "vdi"
    """VirtualBox."""
    VHDX = "vhdx"
    """Hyper-V."""
    VPC = "vpc"
    """VHD: Virtual PC, Hyper-V, Xen, Azure."""
    QED = "qed"
    PARALLELS = "parallels"


Read = Callable[[int, int], bytes]
"""At an offset in bytes, so many bytes. What lies behind the end of the file reads as zeros, as QEMU reads it."""


@dataclass(frozen=True)
class Inside:
    """What a container says of the disk in it."""

    virtual_size_bytes: int | None
    """None: it says none, or where it does could not be found; then there are reasons."""
    reasons: tuple[str, ...] = ()
    """Why qemu-img must not open it; empty when it may."""


def those(*found: tuple[bool, str]) -> tuple[str, ...]:
    """The reasons that are true."""
    return tuple(reason for wrong, reason in found if wrong)


def cut_short(what: str, end_bytes: int, file_bytes: int) -> tuple[str, ...]:
    """Why a file cannot be whole in which something ends so far from its start. QEMU would read zeros there."""
    end, has = format_apart(end_bytes, file_bytes)
    return those((end_bytes > file_bytes, f"its {what} ends at {end}, and it has {has}: is it cut short?"))


def table_too_large(size_bytes: int) -> tuple[str, ...]:
    """Why tables of that size are not read."""
    tables, most = format_apart(size_bytes, MOST_TABLE_BYTES)
    return those((size_bytes > MOST_TABLE_BYTES, f"its tables are {tables}, more than {most}"))


def table(read: Read, offset_bytes: int, entries: int, order: str) -> Iterator[tuple[int, ...]]:
    """A table of numbers of 32 bits, in pieces; ``order`` is that of their bytes, as `struct` writes it."""
    for start in range(0, entries, _PIECE):
        length = min(_PIECE, entries - start)
        yield struct.unpack(f"{order}{length}I", read(offset_bytes + start * _ENTRY_BYTES, length * _ENTRY_BYTES))
