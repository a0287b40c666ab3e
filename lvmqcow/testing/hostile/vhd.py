"""Hostile disks of Hyper-V: VHD and VHDX."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from uuid import UUID

from lvmqcow.errors import Corrupt, InvalidSize, LvmqcowError
from lvmqcow.formats import SourceFormat
from lvmqcow.testing.hostile.container_specimen import DATA_BYTES, MIB, container_specimen
from lvmqcow.testing.hostile.specimen import Image, Notice, Specimen

__all__ = ["vhd_specimens", "vhdx_specimens"]


_BLOCK_TABLE, _METADATA = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08"), UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_PARAMETERS, _DISK_BYTES = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b"), UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
_SECTOR, _PHYSICAL = UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f"), UUID("cda348c7-445d-4471-9cc9-e9885251c556")
_PAGE_83, _PARENT = UUID("beca12ab-b2e6-4523-93ef-c309e000c746"), UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")


def _vhd_footer(*, kind: int, creator: bytes, next_offset: int, disk_bytes: int) -> bytes:
    text = struct.pack(
        ">8sIIQI4sHH4sQQHBBI",
        *(b"conectix", 2, 0x10000, next_offset, 0, creator, 1, 0, b"Wi2k", disk_bytes, disk_bytes, 30, 4, 17, kind),
    ).ljust(512, b"\0")
    return text[:64] + struct.pack(">I", ~sum(text) & 0xFFFFFFFF) + text[68:]


def _vhd(
    *,
    kind: int = 3,
    creator: bytes = b"win ",
    next_offset: int = 512,
    disk_bytes: int = MIB,
    cookie: bytes = b"cxsparse",
    table_offset: int = 1536,
    entries: int = 1,
    block_bytes: int = 2 * MIB,
    block: int = 4,
    parent: bytes = bytes(16),
    parent_name: bytes = b"",
    locator: bytes = b"",
    size_bytes: int = 2048 + 512 + 2 * MIB + 512,
) -> Image:
    """A dynamic one: footer, header at 512, table at 1536, block at 2048 with its bitmap first, footer."""
    footer = _vhd_footer(kind=kind, creator=creator, next_offset=next_offset, disk_bytes=disk_bytes)
    header = struct.pack(
        ">8sQQIIII16sII512s192s",
        *(cookie, 2**64 - 1, table_offset, 0x10000, entries, block_bytes, 0, parent, 0, 0, parent_name, locator),
    ).ljust(1024, b"\0")
    header = header[:36] + struct.pack(">I", ~sum(header) & 0xFFFFFFFF) + header[40:]
    parts = {0: footer, 512: header, 1536: struct.pack(">I", block), 2048: b"\xff" * 512, 2560: DATA_BYTES}
    return Image({**parts, size_bytes - 512: footer}, size_bytes)


def _vhd_fixed(*, kind: int = 2, disk_bytes: int = MIB, start: bytes = DATA_BYTES) -> Image:
    footer = _vhd_footer(kind=kind, creator=b"win ", next_offset=2**64 - 1, disk_bytes=disk_bytes)
    return Image({0: start, MIB: footer}, MIB + 512)


def vhd_specimens(outside: bytes) -> Iterator[Specimen]:
    """Fixed, dynamic and differencing VHD disks."""

    def refused(name: str, what: str, image: Image, says: str, refusal: type[LvmqcowError] = Corrupt) -> Specimen:
        return container_specimen(SourceFormat.VPC, name, what, image, says, refusal)

    name = outside.decode().encode("utf-16-be")
    where = struct.pack(">4sIIIQ", b"W2ku", 512, len(name), 0, 2560)
    yield refused("sound", "a dynamic VHD", _vhd(), "")
    yield refused("sound-fixed", "a fixed VHD", _vhd_fixed(), "")
    yield refused(
        "parent", "a differencing VHD with a parent", _vhd(kind=4, parent=b"p" * 16, parent_name=name), "parent"
    )
    yield refused("parent-unsaid", "a parent's name in one that is not differencing", _vhd(parent_name=name), "parent")
    yield refused("parent-located", "where a parent's name is, and nothing more", _vhd(locator=where), "parent")
    yield refused("parent-fixed", "a differencing VHD without a start", _vhd_fixed(kind=4), "type is 4")
    yield refused("fixed-in-front", "a fixed VHD with a footer at its start", _vhd(kind=2), "type is 2")
    shadowed = _vhd_fixed(start=_vhd_footer(kind=3, creator=b"win ", next_offset=2**62, disk_bytes=MIB))
    yield refused("shadowed", "a fixed VHD whose guest wrote a footer to its start", shadowed, "lacks the header")
    yield refused("size-absurd", "a VHD of 8 EiB", _vhd(disk_bytes=2**63), "8 EiB", InvalidSize)
    yield refused("fixed-long", "a fixed VHD that is larger than its file", _vhd_fixed(disk_bytes=2 * MIB), "cut short")
    yield refused("blocks-few", "a table of no blocks", _vhd(entries=0), "table of 0 blocks")
    yield refused("blocks-absurd", "a block table of 16 GiB", _vhd(entries=2**32 - 1), "its tables are")
    yield refused("block-odd", "blocks of 3 MiB", _vhd(block_bytes=3 * MIB), "blocks of 3 MiB")
    yield refused("block-none", "blocks of nothing", _vhd(block_bytes=0), "blocks of 0 bytes")
    yield refused("table-outside", "a block table behind the file", _vhd(table_offset=2**62), "its block table ends")
    yield refused("data-outside", "a VHD's block behind the file", _vhd(block=2**31), "its data ends at")
    yield refused(
        "header-outside", "a header at the end of all addresses", _vhd(next_offset=2**64 - 2), "lacks the header"
    )


@cache
def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return ~crc & 0xFFFFFFFF


def _summed(data: bytes, length: int) -> bytes:
    """With its checksum in the second four bytes."""
    whole = data.ljust(length, b"\0")
    return whole[:4] + struct.pack("<I", _crc32c(whole)) + data[8:]


def _vhdx(
    *,
    flags: int = 0,
    parent: bytes = b"",
    disk_bytes: int = MIB,
    table_bytes: int = MIB,
    table_offset: int = 3 * MIB,
    metadata_offset: int = 2 * MIB,
    regions: int = 2,
    items: int | None = None,
    size_bytes: int = 5 * MIB,
) -> Image:
    """Headers, regions at 192 KiB, log at 1 MiB, metadata at 2 MiB, block table at 3 MiB, the one block at 4 MiB."""
    found = {
        _PARAMETERS: struct.pack("<II", MIB, flags),
        _DISK_BYTES: struct.pack("<Q", disk_bytes),
        _SECTOR: struct.pack("<I", 512),
        _PHYSICAL: struct.pack("<I", 512),
        _PAGE_83: b"8" * 16,
        **({_PARENT: parent} if parent else {}),
    }
    told, values = b"", b""
    for kind, value in found.items():
        told += struct.pack("<16sIII4x", kind.bytes_le, 65536 + len(values), len(value), 4)
        values += value
    headers = [
        struct.pack("<4sIQ16s16s16sHHIQ", b"head", 0, number, b"", b"", b"", 0, 1, MIB, MIB) for number in (1, 2)
    ]
    entries = struct.pack("<16sQII", _BLOCK_TABLE.bytes_le, table_offset, table_bytes, 1)
    entries += struct.pack("<16sQII", _METADATA.bytes_le, metadata_offset, MIB, 1)
    table = _summed(struct.pack("<4sIII", b"regi", 0, regions, 0) + entries, 65536)
    parts = {
        0: b"vhdxfile",
        **{65536 * number: _summed(header, 4096) for number, header in enumerate(headers, start=1)},
        192 * 1024: table,
        256 * 1024: table,
        2 * MIB: struct.pack("<8sHH20x", b"metadata", 0, len(found) if items is None else items) + told,
        2 * MIB + 65536: values,
        3 * MIB: struct.pack("<Q", 4 * MIB | 6),
        4 * MIB: DATA_BYTES,
    }
    return Image(parts, size_bytes)


def vhdx_specimens(outside: bytes) -> Iterator[Specimen]:
    """VHDX disks: sound, differencing, with a log, and with fields that lie."""

    def refused(name: str, what: str, image: Image, says: str, refusal: type[LvmqcowError] = Corrupt) -> Specimen:
        return container_specimen(SourceFormat.VHDX, name, what, image, says, refusal)

    path = b"absolute_win32_path\0" + outside
    yield refused("sound", "a disk of Hyper-V", _vhdx(), "")
    yield refused("parent", "a differencing VHDX with a parent", _vhdx(flags=2, parent=path), "parent")
    yield refused("parent-unsaid", "a parent locator, and no bit for it", _vhdx(parent=path), "parent")
    yield refused("parent-unnamed", "the bit of a parent, and no locator", _vhdx(flags=2), "parent")
    yield refused("size-absurd", "a VHDX of 8 EiB", _vhdx(disk_bytes=2**63), "8 EiB", InvalidSize)
    yield refused("table-absurd", "a block table of 4 GiB", _vhdx(table_bytes=2**32 - MIB), "its tables are")
    yield refused(
        "table-outside", "a VHDX's block table behind the file", _vhdx(table_offset=2**62), "its block table ends"
    )
    yield refused("regions-absurd", "2^32 regions", _vhdx(regions=2**32 - 1), "no region table")
    yield refused("regions-none", "no regions", _vhdx(regions=0), "is missing")
    yield refused("metadata-outside", "metadata behind the file", _vhdx(metadata_offset=2**62), "no metadata")
    yield refused("metadata-none", "metadata that says nothing", _vhdx(items=0), "lacks the parameters")
    cut = _vhdx(size_bytes=5 * MIB - 65536)
    yield Specimen(
        "vhdx-cut-in-data.vhdx",
        "a VHDX that is cut short in its last block",
        cut,
        SourceFormat.VHDX,
        Notice.TABLES,
        Corrupt,
        "qemu-img cannot read the file",
    )
