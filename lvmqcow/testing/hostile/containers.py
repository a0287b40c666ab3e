"""Hostile disks in the formats of other hypervisors: those that lead out, that lie, and sound ones to compare with.

As in `lvmqcow.testing.hostile.images`, each disk is whole and sound except for the one defect that it is about.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Final

from lvmqcow.errors import Corrupt, InvalidSize, LvmqcowError, SourceMismatch
from lvmqcow.formats import SourceFormat
from lvmqcow.testing.hostile.container_specimen import DATA_BYTES, MIB, container_specimen
from lvmqcow.testing.hostile.specimen import Image, Notice, Specimen
from lvmqcow.testing.hostile.vhd import _vhd, _vhd_fixed, _vhdx, vhd_specimens, vhdx_specimens

__all__ = ["containers"]


def containers(outside: bytes) -> Iterator[Specimen]:
    """Yield all of them; disks that lead out of themselves name the file ``outside``."""
    yield from _vmdks(outside)
    yield from _vdis()
    yield from vhd_specimens(outside)
    yield from vhdx_specimens(outside)
    yield from _qeds(outside)
    yield from _parallels()
    yield from _undeclared()


_SPARSE_TEXT: Final = b'createType="monolithicSparse"\nRW 2048 SPARSE "disk.vmdk"\n'


def _vmdk(
    text: bytes = _SPARSE_TEXT,
    *,
    parent: bytes = b"parentCID=ffffffff\n",
    capacity: int = 2048,
    grain: int = 128,
    entries: int = 512,
    descriptor: int = 1,
    descriptor_sectors: int = 20,
    directory: int = 21,
    version: int = 1,
    unclean: int = 0,
    newlines: bytes = b"\n \r\n",
    grains: Mapping[int, int] | None = None,
    size_bytes: int = 256 * 512,
) -> Image:
    """Header, descriptor at 1, grain directory at 21, its one table at 22, and the one grain at 128; in sectors."""
    numbers = (version, 1, capacity, grain, descriptor, descriptor_sectors, entries, 0, directory, 128)
    header = struct.pack("<4sIIQQQQIQQQB4sH", b"KDMV", *numbers, unclean, newlines, 0)
    told = b"# Disk DescriptorFile\nversion=1\nCID=1dc766d8\n" + parent + text
    table = {0: 128, **(grains or {})}
    parts = {
        0: header,
        512: told,
        21 * 512: struct.pack("<I", 22),
        22 * 512: struct.pack("<16I", *(table.get(index, 0) for index in range(16))),
        128 * 512: DATA_BYTES,
    }
    return Image(parts, size_bytes)


def _vmdk_stream(*, capacity: int = 2048, length_bytes: int | None = None) -> Image:
    """Header, descriptor at 1, the grain at 128, table at 130, directory at 135, footer at 137; in sectors.

    ``capacity`` is what the footer says, in sectors, and ``length_bytes`` what the grain says of itself.
    """
    grain = zlib.compress(DATA_BYTES.ljust(65536, b"\0"))

    def header(capacity: int, directory: int) -> bytes:
        numbers = (3, 0x30001, capacity, 128, 1, 20, 512, 0, directory, 128)
        return struct.pack("<4sIIQQQQIQQQB4sH", b"KDMV", *numbers, 0, b"\n \r\n", 1).ljust(512, b"\0")

    told = _vmdk(_SPARSE_TEXT.replace(b"monolithicSparse", b"streamOptimized")).parts[512]
    parts = {
        0: header(2048, 2**64 - 1),
        512: told,
        128 * 512: struct.pack("<QI", 0, len(grain) if length_bytes is None else length_bytes) + grain,
        129 * 512: _marker(4, 1),
        130 * 512: struct.pack("<I", 128),
        134 * 512: _marker(1, 2),
        135 * 512: struct.pack("<I", 130),
        136 * 512: _marker(1, 3) + header(capacity, 135) + bytes(512),
    }
    return Image(parts, 139 * 512)


def _marker(sectors: int, kind: int) -> bytes:
    """What is before a table, or a footer, of a stream."""
    return struct.pack("<QII", sectors, 0, kind).ljust(512, b"\0")


def _vmdks(outside: bytes) -> Iterator[Specimen]:
    def refused(name: str, what: str, image: Image, says: str, refusal: type[LvmqcowError] = Corrupt) -> Specimen:
        return container_specimen(SourceFormat.VMDK, name, what, image, says, refusal)

    parent = b'parentFileNameHint="' + outside + b'"\n'
    flat = b'RW 2048 FLAT "' + outside + b'" 0\n'
    yield refused("sound", "a sparse VMDK of VMware", _vmdk(), "")
    yield refused(
        "parent", "a VMDK with a parent, by number and name", _vmdk(parent=b"parentCID=1\n" + parent), "parent"
    )
    named = b"parentCID=ffffffff\n" + parent
    yield refused("parent-name", "a parent's name, and a number that says there is none", _vmdk(parent=named), "parent")
    yield refused("parent-number", "a parent's number, and no name", _vmdk(parent=b"parentCID=12345678\n"), "parent")
    yield refused("second-extent", "a second extent, in a file of the host", _vmdk(_SPARSE_TEXT + flat), "2 extents")
    only = b'createType="monolithicSparse"\n' + flat
    yield refused("flat-extent", "its one extent is a file of the host", _vmdk(only), "1 extents, not one sparse")
    split = _SPARSE_TEXT.replace(b"monolithicSparse", b"twoGbMaxExtentSparse")
    yield refused("split", "the type of a disk of several files", _vmdk(split), "type is twoGbMaxExtentSparse")
    text = b'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n' + flat
    what = "a descriptor whose extent is a file of the host"
    yield refused("descriptor", what, Image({0: text}, 4096), "several files", SourceMismatch)
    bare = Image({0: text.partition(b"\n")[2]}, 4096)
    yield refused("descriptor-bare", "the same without its first line", bare, "several files", SourceMismatch)
    without = _vmdk(capacity=0, descriptor=128)
    without = Image({**without.parts, 128 * 512: text}, without.size_bytes)
    yield refused("descriptor-inside", "no data, and such a descriptor in its midst", without, "only a part of a disk")
    yield refused("descriptor-none", "one of several extents: no descriptor", _vmdk(descriptor=0), "only a part of")
    hidden = Image({**_vmdk(descriptor=64).parts, 64 * 512: _vmdk().parts[512], 512: text + parent}, 256 * 512)
    yield refused("descriptor-two", "a descriptor for us, and another for QEMU", hidden, "parent")
    told = Image({**_vmdk(descriptor=64).parts, 64 * 512: text + parent}, 256 * 512)
    yield refused("descriptor-other", "a descriptor for QEMU, and another for all who read the header", told, "parent")
    yield refused("descriptor-absurd", "a descriptor of 4 GiB", _vmdk(descriptor_sectors=2**23), "descriptor of")
    esx = Image({0: struct.pack("<4sIIII", b"COWD", 1, 3, 2048, 16)}, 4096)
    yield refused("extent-esx", "an extent of ESX", esx, "several files", SourceMismatch)
    yield refused("size-absurd", "a VMDK of 8 EiB", _vmdk(capacity=2**54), "8 EiB", InvalidSize)
    yield refused("version-next", "a VMDK of the future", _vmdk(version=4), "version 4 is unknown")
    yield refused("in-use", "its writer died", _vmdk(unclean=1), "in use")
    yield refused("as-text", "it was copied as text", _vmdk(newlines=b"\n \n\n"), "copied as text")
    yield refused("grain-none", "grains of nothing", _vmdk(grain=0), "grains of 0 sectors")
    yield refused("grain-small", "16 TiB in grains of 512 bytes", _vmdk(capacity=2**35, grain=1), "its tables are")
    yield refused("table-absurd", "grain tables of 16 GiB", _vmdk(entries=2**32 - 1), "grain tables of")
    yield refused(
        "directory-outside", "a grain directory behind the file", _vmdk(directory=2**40), "grain directory ends"
    )
    nowhere = _vmdk(directory=2**64 - 1)
    yield refused(
        "footer-none", "a header that says it is at the end", nowhere, "copy of its header at its end is missing"
    )
    yield refused("sound-stream", "a stream-optimized VMDK, as ovftool writes it", _vmdk_stream(), "")
    what = "a stream of which the last of the data is missing, and its end is there"
    yield refused("stream-holes", what, _vmdk_stream(length_bytes=2**31), "its data ends at")
    yield refused(
        "stream-size-absurd", "a stream of 8 EiB by its footer", _vmdk_stream(capacity=2**54), "8 EiB", InvalidSize
    )
    yield refused("data-outside", "a grain behind the file", _vmdk(grains={3: 2**31}), "its data ends at")
    yield refused("cut-in-data", "cut short in its last grain", _vmdk(size_bytes=256 * 512 - 1), "its data ends at")


def _vdi(
    *,
    version: int = 0x10001,
    kind: int = 1,
    map_offset: int = 512,
    data_offset: int = 1024,
    disk_bytes: int = MIB,
    block_bytes: int = MIB,
    extra: int = 0,
    blocks: int = 1,
    block: int = 0,
    link: bytes = bytes(16),
    parent: bytes = bytes(16),
    size_bytes: int = 1024 + MIB,
) -> Image:
    header = struct.pack(
        "<64sIIIII256sIIIIIIIQIIII16s16s16s16s",
        *(b"<<< Oracle VM VirtualBox Disk Image >>>\n", 0xBEDA107F, version, 400, kind, 0, b"", map_offset),
        *(data_offset, 0, 0, 0, 512, 0, disk_bytes, block_bytes, extra, blocks, 1, bytes(16), bytes(16), link, parent),
    )
    return Image({0: header, 512: struct.pack("<I", block), 1024: DATA_BYTES}, size_bytes)


def _vdis() -> Iterator[Specimen]:
    def refused(name: str, what: str, image: Image, says: str, refusal: type[LvmqcowError] = Corrupt) -> Specimen:
        return container_specimen(SourceFormat.VDI, name, what, image, says, refusal)

    yield refused("sound", "a disk of VirtualBox", _vdi(), "")
    yield refused("parent", "what changed since a snapshot", _vdi(kind=4, parent=b"p" * 16), "reads through to another")
    yield refused("link", "the UUID of another image, and a type that has none", _vdi(link=b"l" * 16), "reads through")
    yield refused("undo", "a type that nobody writes any more", _vdi(kind=3), "of the type 3")
    yield refused("version-next", "a VDI of the future", _vdi(version=0x20001), "version 2.1")
    yield refused("size-absurd", "a VDI of 8 EiB", _vdi(disk_bytes=2**63), "8 EiB", InvalidSize)
    yield refused(
        "size-unbacked", "a VDI of 1 TiB in a map of one block", _vdi(disk_bytes=2**40), "too few for its size"
    )
    yield refused("blocks-absurd", "a block map of 16 GiB", _vdi(blocks=2**32 - 1), "its tables are")
    yield refused("block-large", "blocks of 2 GiB", _vdi(block_bytes=2**31), "not supported")
    yield refused("block-extra", "bytes before each block", _vdi(extra=512), "not supported")
    yield refused("map-outside", "a block map behind the file", _vdi(map_offset=2**31), "its block map ends")
    yield refused("map-odd", "a block map within a sector", _vdi(map_offset=513), "inside a sector")
    yield refused("data-outside", "a block behind the file", _vdi(block=9), "its data ends at")
    yield refused("cut-in-data", "a VDI that is cut short in its last block", _vdi(size_bytes=MIB), "its data ends at")


def _qed(
    *,
    cluster_bytes: int = 4096,
    table_clusters: int = 2,
    header_clusters: int = 1,
    features: int = 0,
    l1_offset: int = 4096,
    disk_bytes: int = MIB,
    backing: bytes = b"",
    cluster: int = 5 * 4096,
    size_bytes: int = 6 * 4096,
) -> Image:
    """The header in a cluster, L1 and L2 table in two each, and one of data."""
    numbers = (features, 0, 0, l1_offset, disk_bytes, 64 if backing else 0, len(backing))
    header = struct.pack("<4sIIIQQQQQII", b"QED\0", cluster_bytes, table_clusters, header_clusters, *numbers)
    parts = {
        0: header.ljust(64, b"\0") + backing,
        4096: struct.pack("<Q", 3 * 4096),
        3 * 4096: struct.pack("<Q", cluster),
    }
    return Image({**parts, 5 * 4096: DATA_BYTES}, size_bytes)


def _qeds(outside: bytes) -> Iterator[Specimen]:
    def refused(name: str, what: str, image: Image, says: str, refusal: type[LvmqcowError] = Corrupt) -> Specimen:
        return container_specimen(SourceFormat.QED, name, what, image, says, refusal)

    yield refused("sound", "a QED image", _qed(), "")
    yield refused(
        "backing", "a QED with a raw backing file", _qed(features=5, backing=outside), "reads through to another"
    )
    yield refused("backing-probed", "one that QEMU would probe", _qed(features=1, backing=outside), "reads through")
    yield refused("backing-unsaid", "a backing file, and no bit for it", _qed(backing=outside), "reads through")
    yield refused("dirty", "a QED that was in use", _qed(features=2), "in use")
    yield refused("feature-next", "an unknown feature of a QED", _qed(features=8), "features 0x8")
    yield refused("size-absurd", "a QED of 8 EiB", _qed(disk_bytes=2**63), "8 EiB", InvalidSize)
    yield refused("header-absurd", "a header of 16 TiB", _qed(header_clusters=2**32 - 1), "its header ends at")
    yield refused("header-none", "a QED header of no length", _qed(header_clusters=0), "no length")
    yield refused("cluster-absurd", "clusters of 4 GiB", _qed(cluster_bytes=2**32 - 1), "are impossible")
    yield refused("l1-outside", "a QED's L1 table behind the file", _qed(l1_offset=2**62), "its L1 table ends")
    yield refused("cut-in-sector", "cut short within a sector", _qed(size_bytes=6 * 4096 - 1), "no whole sectors")
    yield Specimen(
        "qed-data-outside.qed",
        "a QED's cluster behind the file",
        _qed(cluster=2**40),
        SourceFormat.QED,
        Notice.TABLES,
        Corrupt,
        "corruptions",
    )


def _parallels_disk(
    *,
    magic: bytes = b"WithouFreSpacExt",
    version: int = 2,
    cluster_sectors: int = 128,
    entries: int = 16,
    sectors: int = 2048,
    in_use: int = 0,
    cluster: int = 1,
    size_bytes: int = 2 * 65536,
) -> Image:
    """Header and table in the first cluster, data in the second."""
    header = struct.pack("<16sIIIIIQIIIQ", magic, version, 16, 4, cluster_sectors, entries, sectors, in_use, 128, 0, 0)
    return Image({0: header + struct.pack("<I", cluster), 65536: DATA_BYTES}, size_bytes)


def _parallels() -> Iterator[Specimen]:
    def refused(name: str, what: str, image: Image, says: str, refusal: type[LvmqcowError] = Corrupt) -> Specimen:
        return container_specimen(SourceFormat.PARALLELS, name, what, image, says, refusal)

    old = _parallels_disk(magic=b"WithoutFreeSpace", cluster=128)
    yield refused("sound", "a disk of Parallels", _parallels_disk(), "")
    yield refused("sound-old", "one of an older Parallels", old, "")
    yield refused("in-use", "a Parallels disk in use", _parallels_disk(in_use=0x746F6E59), "in use")
    yield refused("version-next", "a Parallels disk of the future", _parallels_disk(version=3), "version 3 is unknown")
    yield refused("size-absurd", "a Parallels disk of 8 EiB", _parallels_disk(sectors=2**54), "8 EiB", InvalidSize)
    yield refused("table-small", "1 TiB in a table of 16 clusters", _parallels_disk(sectors=2**31), "too small for its")
    yield refused("table-absurd", "a table of 16 GiB", _parallels_disk(entries=2**32 - 1), "its tables are")
    yield refused("cluster-none", "clusters of nothing", _parallels_disk(cluster_sectors=0), "clusters of 0 sectors")
    yield refused(
        "data-outside", "a cluster of Parallels behind the file", _parallels_disk(cluster=9), "its data ends at"
    )
    cut = _parallels_disk(size_bytes=2 * 65536 - 1)
    yield refused("cut-in-data", "a Parallels disk that is cut short in its last cluster", cut, "its data ends at")


def _undeclared() -> Iterator[Specimen]:
    """Disks whose format was not declared: they are taken neither for raw bytes nor for what they look like."""

    def refused(name: str, what: str, image: Image, says: str) -> Specimen:
        return Specimen(f"undeclared-{name}", what, image, None, Notice.HEADER, SourceMismatch, says)

    yield refused("vmdk", "a VMDK, and nobody said so", _vmdk(), "(vmdk), and its format was not declared")
    yield refused("vmdk.vmdk", "called so, which is not enough", _vmdk(), "--source-format vmdk")
    yield refused("vmdk.vdi", "a VMDK that is called a VDI", _vmdk(), "(vmdk), and its name ends in .vdi")
    yield refused("vmdk.raw", "a VMDK that is called raw", _vmdk(), "(vmdk), and its name ends in .raw")
    yield refused("vdi", "a VDI, and nobody said so", _vdi(), "--source-format vdi")
    yield refused("vhdx", "a VHDX, and nobody said so", _vhdx(), "--source-format vhdx")
    yield refused("vhd", "a dynamic VHD, and nobody said so", _vhd(), "--source-format vpc")
    yield refused("vhd-fixed", "a fixed VHD: only its last bytes show it", _vhd_fixed(), "--source-format vpc")
    yield refused("qed", "a QED, and nobody said so", _qed(), "--source-format qed")
    yield refused("parallels", "a Parallels disk, and nobody said so", _parallels_disk(), "--source-format parallels")
    raw = Image({0: DATA_BYTES}, MIB)
    yield refused("raw.vmdk", "raw bytes that are called a VMDK", raw, "is raw bytes, and its name ends in .vmdk")
    for suffix, start, says in (
        ("gz", b"\x1f\x8b\x08", "gzip -dc"),
        ("xz", b"\xfd7zXZ\0", "xz -dc"),
        ("zst", b"\x28\xb5\x2f\xfd", "zstd -dc"),
        ("bz2", b"BZh91AY&SY", "bzip2 -dc"),
        ("zip", b"PK\x03\x04", "unzip"),
        ("ova", b"disk.ovf".ljust(257, b"\0") + b"ustar\x0000", "tar -xf"),
        ("luks", b"LUKS\xba\xbe\0\1", "encrypted with LUKS"),
    ):
        yield refused(f"disk.{suffix}", f"it begins as .{suffix} does", Image({0: start}, MIB), says)
