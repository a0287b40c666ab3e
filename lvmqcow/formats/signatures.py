"""Recognise disk images, archives and compressed files by their first and last bytes.

The list has only certain signatures: no boot sector, partition table or file system begins with these bytes. If a raw
disk begins with them all the same, the user declares it as raw.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lvmqcow.formats import parallels, qed, vdi, vhd, vhdx, vmdk
from lvmqcow.formats.formats import SourceFormat

__all__ = ["HEAD_BYTES", "TAIL_BYTES", "Kind", "called", "is_iso9660", "kinds"]

HEAD_BYTES: Final = 64 * 1024
TAIL_BYTES: Final = 512
"""How many bytes of a file's start and end `kinds` needs. A stream has only the start."""


@dataclass(frozen=True)
class Kind:
    """A kind of file that is no raw disk."""

    name: str
    """What a message calls a file of this kind: ``a VMware disk (vmdk)``, ``compressed with gzip``."""
    suffixes: tuple[str, ...] = ()
    format: SourceFormat | None = None
    """The format in which it can be imported; None if it cannot."""
    advice: str = ""
    """What to do with a file that cannot be imported. ``{file}`` is its name, ``{piped}`` the import of a pipe."""


def _converted(name: str, qemu_format: str, *suffixes: str) -> Kind:
    copy = f"qemu-img convert -f {qemu_format} -O qcow2 {{file}} COPY"
    return Kind(name, suffixes, advice=f"convert it with `{copy}`, then import the copy")


def _compressed(tool: str, *suffixes: str) -> Kind:
    advice = f"if it holds a raw disk: `{tool} -dc {{file}} | {{piped}}`; otherwise unpack it first"
    return Kind(f"compressed with {tool}", suffixes, advice=advice)


def _archive(name: str, unpack: str, *suffixes: str) -> Kind:
    return Kind(name, suffixes, advice=f"unpack it with `{unpack}`, then import the disk in it")


_QCOW2 = Kind("a qcow2 image", (".qcow2",), SourceFormat.QCOW2)
_VMDK = Kind("a VMware disk (vmdk)", (".vmdk",), SourceFormat.VMDK)
_VDI = Kind("a VirtualBox disk (vdi)", (".vdi",), SourceFormat.VDI)
_VHDX = Kind("a Hyper-V disk (vhdx)", (".vhdx",), SourceFormat.VHDX)
_VHD = Kind("a VHD (vpc)", (".vhd", ".vpc"), SourceFormat.VPC)
_QED = Kind("a QED image (qed)", (".qed",), SourceFormat.QED)
_PARALLELS = Kind("a Parallels disk (parallels)", (".hds",), SourceFormat.PARALLELS)
_VMDK_PART = Kind(
    "a part of a VMware disk of several files",
    (".vmdk",),
    advice="a -flat.vmdk beside it is the disk: import that file with --source-format raw. Otherwise, if you trust "
    "every file that the descriptor names, merge them: `qemu-img convert -f vmdk -O qcow2 DESCRIPTOR.vmdk COPY`",
)
_LUKS = Kind("encrypted with LUKS", advice="if the guest decrypts the disk, import it with --source-format raw")
_QCOW = _converted("an image of the first version of qcow", "qcow", ".qcow")
_DMG = _converted("a disk image of macOS (dmg)", "dmg", ".dmg")
_TAR = _archive("a tar archive, as an OVA is", "tar -xf {file}", ".tar", ".ova")
_GZIP = _compressed("gzip", ".gz", ".tgz")
_BZIP2 = _compressed("bzip2", ".bz2")

_STARTS: Final[tuple[tuple[bytes, Kind], ...]] = (
    (struct.pack(">4sI", b"QFI\xfb", 1), _QCOW),
    (b"QFI\xfb", _QCOW2),
    (vmdk.SPARSE_MAGIC, _VMDK),
    *((magic, _VMDK_PART) for magic in vmdk.EXTENT_MAGICS),
    (vhdx.SIGNATURE, _VHDX),
    (vhd.COOKIE, _VHD),
    (qed.MAGIC, _QED),
    *((magic, _PARALLELS) for magic in parallels.MAGICS),
    (b"LUKS\xba\xbe", _LUKS),
    (b"Bochs Virtual HD Image", _converted("a Bochs disk", "bochs")),
    (b"#!/bin/sh\n#V2.0 Format\n", _converted("a compressed loop image (cloop)", "cloop")),
    (b"VMA\0", _archive("a backup of Proxmox VE (vma)", "vma extract {file} DIRECTORY", ".vma")),
    (b"\x1f\x8b\x08", _GZIP),
    (b"\xfd7zXZ\0", _compressed("xz", ".xz")),
    (b"\x28\xb5\x2f\xfd", _compressed("zstd", ".zst")),
    (b"\x04\x22\x4d\x18", _compressed("lz4", ".lz4")),
    (b"\x89LZO\0\r\n\x1a\n", _compressed("lzop", ".lzo")),
    *((b"BZh%d1AY&SY" % level, _BZIP2) for level in range(1, 10)),
    (b"PK\x03\x04", _archive("a zip archive", "unzip {file}", ".zip")),
    (b"7z\xbc\xaf\x27\x1c", _archive("a 7z archive", "7z x {file}", ".7z")),
)
_MIDST: Final[tuple[tuple[int, bytes, Kind], ...]] = (
    (vdi.SIGNATURE_OFFSET, vdi.SIGNATURE, _VDI),
    (257, b"ustar\x0000", _TAR),
    (257, b"ustar  \0", _TAR),
)
_ENDS: Final[tuple[tuple[bytes, Kind], ...]] = (
    (vhd.COOKIE, _VHD),
    (struct.pack(">4sII", b"koly", 4, TAIL_BYTES), _DMG),
)
_ALL: Final = (*(kind for _, kind in (*_STARTS, *_ENDS)), *(kind for _, _, kind in _MIDST))


def kinds(head: bytes, tail: bytes = b"") -> tuple[Kind, ...]:
    """Return the kinds that a file with this ``head`` and ``tail`` can be; empty if it looks like no known kind.

    A file can be of several kinds: a fixed VHD is recognised by its end, and its start is that of the disk in it.
    """
    return tuple(dict.fromkeys(_found(head, tail)))


def called(suffix: str) -> tuple[Kind, ...]:
    """Return the kinds that a file name suffix such as ``.vmdk`` stands for; empty for a raw or unknown suffix."""
    return tuple(dict.fromkeys(kind for kind in (*_ALL, _VMDK_PART) if suffix.lower() in kind.suffixes))


def is_iso9660(head: bytes) -> bool:
    """Return whether these bytes begin the image of a CD. Some CD images boot as a disk too."""
    return head[32769:32774] == b"CD001"


def _found(head: bytes, tail: bytes) -> Iterator[Kind]:
    yield from (kind for end, kind in _ENDS if tail.startswith(end))
    yield from [kind for start, kind in _STARTS if head.startswith(start)][:1]
    yield from (kind for offset, magic, kind in _MIDST if head.startswith(magic, offset))
    if vmdk.is_descriptor(head):
        yield _VMDK_PART
