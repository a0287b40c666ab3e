"""Hostile images: what a guest, or a stranger, may hand to a program that opens disk images.

A table of specimens, each with what it is and what must happen to it. Every image is whole and sound
except for one defect, so it is refused for that defect or not at all. Images that lead out name a `canary`::

    python -m lvmqcow.testing.hostile DIRECTORY      # writes them all, and canary.txt that they name

Sources: QEMU's ``docs/interop/qcow2.txt`` and ``qed_spec.txt``, ``block/{vmdk,vdi,vhdx,vpc,parallels,bochs,cloop}.c``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Unpack

from lvmqcow.core.qcow2 import HEADER_BYTES
from lvmqcow.errors import Corrupt, InvalidSize, NoSpace, NotPossible, SourceMismatch
from lvmqcow.formats import SourceFormat
from lvmqcow.testing.hostile.containers import containers
from lvmqcow.testing.hostile.qcow2_bytes import (
    BACKING_FORMAT,
    COMPRESSION,
    COPIED,
    CORRUPT,
    CRYPTO,
    DATA_FILE,
    DATA_FILE_NAME,
    DIRTY,
    EXTENDED_L2,
    FEATURE_NAMES,
    MIB,
    TIB,
    UNKNOWN,
    Changes,
    extension,
    header_bytes,
    qcow2,
    small_image,
)
from lvmqcow.testing.hostile.specimen import Image, Notice, Specimen

__all__ = ["listing", "specimens"]


def specimens(outside: Path) -> tuple[Specimen, ...]:
    """Return all of them; images that lead out of themselves name the file ``outside``."""
    return (
        *_leading_out(str(outside).encode()),
        *_unsupported(),
        *_impossible(),
        *_broken_tables(),
        *_costly(),
        *_strange_and_sound(),
        *_guests(str(outside).encode()),
        *_misdeclared(str(outside).encode()),
        *containers(str(outside).encode()),
    )


def _leading_out(outside: bytes) -> Iterator[Specimen]:
    def reads(name: str, what: str, backing: bytes, extensions: bytes = b"", version: int = 3) -> Specimen:
        header = small_image(backing=backing, extensions=extensions, version=version)
        return _refused(f"out-{name}", what, qcow2(header), "reads through to another")

    def data(name: str, what: str, **header: Unpack[Changes]) -> Specimen:
        there = {0: COPIED}  # in a data file, each cluster lies where the guest has it
        return _refused(f"out-{name}", what, qcow2(small_image(**header), l2=there), "its data is in another file")

    raw, own = extension(BACKING_FORMAT, b"raw"), extension(BACKING_FORMAT, b"qcow2")
    named = extension(DATA_FILE_NAME, outside)
    node = {"driver": "raw", "file": {"driver": "file", "filename": outside.decode()}}
    yield reads("backing-file", "a raw backing file: the classic leak of any file of the host", outside, extensions=raw)
    yield reads("backing-unnamed", "a backing file without a format, so that QEMU probes it", outside)
    yield reads("backing-version-2", "the same in the header of version 2", outside, version=2)
    yield reads("backing-json", "a json: reference, which can name any driver", b"json:" + json.dumps(node).encode())
    yield reads("backing-nbd", "a protocol: QEMU would connect to a host", b"nbd://127.0.0.1:1/x", extensions=raw)
    yield reads("backing-file-protocol", "the file: protocol", b"file:" + outside, extensions=raw)
    yield reads("backing-fat", "QEMU's own FAT of a host directory", b"fat:rw:" + outside.rpartition(b"/")[0])
    yield reads("backing-parent", "a path that climbs out of /dev/VG", b"../.." + outside, extensions=raw)
    yield reads("backing-below-vg", "one that climbs out behind /dev/VG/", b"/dev/vg0/../.." + outside, extensions=raw)
    yield reads("backing-other-vg", "an LV of another volume group", b"/dev/vg9/vm-1-disk-0.qcow2", extensions=own)
    yield reads("backing-raw-lv", "a raw LV as if it were qcow2: bytes of a guest", b"vm-7-disk-0", extensions=own)
    yield reads("backing-probed-lv", "a raw LV without a format", b"vm-7-disk-0")
    yield reads("cycle-self", "it reads through itself", b"out-cycle-self.qcow2", extensions=own)
    yield reads("cycle-a", "it reads through another that reads through it", b"out-cycle-b.qcow2", extensions=own)
    yield reads("cycle-b", "the other one", b"out-cycle-a.qcow2", extensions=own)
    far = header_bytes(backing=outside, backing_offset=2 * HEADER_BYTES, incompatible=0)
    what = "a backing name further back than a header usually is, and still in the first cluster"
    yield _refused("out-backing-far", what, qcow2(far, cluster_bits=17), "reads through to another")
    beyond = small_image(backing_offset=5 * 4096, backing_length=len(outside))
    yield _refused("out-backing-beyond", "a backing name behind the first cluster", qcow2(beyond), "reads through to")
    yield data("data-file", "an external data file", incompatible=DATA_FILE, extensions=named)
    yield data("data-file-unnamed", "the bit of an external data file, and no name", incompatible=DATA_FILE)
    yield data("data-file-unsaid", "the name of an external data file, and no bit", extensions=named)
    yield data(
        "data-file-hidden",
        "a data file behind other extensions",
        incompatible=DATA_FILE,
        extensions=extension(FEATURE_NAMES, b"\0" * 48 * 20) + extension(UNKNOWN, b"abc") + named,
    )
    yield data(
        "data-file-raw",
        "a data file that QEMU takes for raw bytes",
        incompatible=DATA_FILE,
        autoclear=2,
        extensions=named,
    )
    both = small_image(backing=outside, incompatible=DATA_FILE, extensions=raw + named)
    yield _refused("out-both", "a backing file and a data file", qcow2(both), "its data is in another file")
    long = header_bytes(incompatible=0, extensions=struct.pack(">II", UNKNOWN, HEADER_BYTES))
    what = "an extension so long that what follows it is not seen: it may be a data file"
    yield _refused("out-extension-long", what, qcow2(long, cluster_bits=17), "its data is in another file")


def _unsupported() -> Iterator[Specimen]:
    def refused(name: str, what: str, says: str, **header: Unpack[Changes]) -> Specimen:
        return _refused(name, what, qcow2(small_image(**header)), says)

    yield refused("crypt-aes", "encrypted the old way", "encrypted", crypt=1)
    yield refused("crypt-luks", "LUKS inside", "encrypted", crypt=2, extensions=extension(CRYPTO, b"\0" * 16))
    yield refused("crypt-unsaid", "LUKS by an extension", "encrypted", extensions=extension(CRYPTO, b"\0" * 16))
    yield refused("snapshots", "internal snapshots: a copy would lose them", "internal snapshots", snapshots=3)
    yield refused("snapshots-many", "more of them than memory", "internal snapshots", snapshots=2**32 - 1)
    yield refused("dirty", "in use, or its writer died: refcounts may be wrong", "dirty bit", incompatible=DIRTY)
    yield refused("corrupt", "QEMU itself marked it corrupt", "marked corrupt", incompatible=CORRUPT)
    yield refused("feature-next", "the next incompatible feature", "features 0x20", incompatible=1 << 5)
    yield refused("feature-last", "the last incompatible feature", "features 0x8000", incompatible=1 << 63)
    older, what = qcow2(small_image(version=1)), "qcow, which has another header"
    yield Specimen(
        "version-1.qcow2", what, older, SourceFormat.QCOW2, Notice.HEADER, SourceMismatch, "first version of qcow"
    )
    yield refused("version-4", "a version of the future", "version 4 is unknown", version=4)


def _impossible() -> Iterator[Specimen]:
    def refused(name: str, what: str, says: str, **header: Unpack[Changes]) -> Specimen:
        return _refused(name, what, qcow2(small_image(**header)), says)

    yield refused("cluster-small", "clusters below 512 bytes", "cluster size", cluster_bits=8, l1_offset=12288)
    yield refused("cluster-large", "clusters above 2 MiB", "cluster size", cluster_bits=22, l1_offset=12288)
    yield refused("cluster-absurd", "clusters of more bytes than there are", "cluster size", cluster_bits=2**32 - 1)
    yield refused("subclusters-small", "extended L2 in small clusters", "extended L2", incompatible=EXTENDED_L2)
    yield refused("length-none", "a header of no length", "header length 0", header_length=0)
    yield refused("length-odd", "a header length between two fields", "header length 107", header_length=107)
    yield refused("length-absurd", "a header longer than any cluster", "header length", header_length=2**32 - 8)
    yield refused("refcount-order", "refcounts of 2^31 bits", "refcount order 31", refcount_order=31)
    yield refused("refcounts-none", "no refcount table", "refcount table of 0", refcount_table_clusters=0)
    yield refused("refcounts-absurd", "one of 16 TiB", "refcount table of", refcount_table_clusters=2**32 - 1)
    yield refused("refcounts-header", "one in the header", "inside the header", refcount_table_offset=0)
    yield refused("refcounts-odd", "one within a cluster", "inside a cluster", refcount_table_offset=4096 + 512)
    yield refused("refcounts-far", "one at the end of all addresses", "addressed", refcount_table_offset=2**64 - 4096)
    yield refused("refcounts-outside", "one behind the file", "is it cut short", refcount_table_offset=1 << 40)
    yield refused("l1-absurd", "an L1 table of 32 GiB", "L1 table of", l1_entries=2**32 - 1)
    yield refused("l1-none", "no L1 table for a disk of 1 MiB", "L1 table too small", l1_entries=0)
    yield refused("l1-header", "an L1 table in the header", "inside the header", l1_offset=0)
    yield refused("l1-odd", "an L1 table within a cluster", "inside a cluster", l1_offset=3 * 4096 + 8)
    yield refused("l1-outside", "an L1 table behind the file", "is it cut short", l1_offset=1 << 40)
    yield refused("l1-refcounts", "an L1 table in the refcount table", "inside its refcount", l1_offset=4096)
    yield refused("compression-unknown", "compression 7", "type 7", incompatible=COMPRESSION, compression=7)
    yield refused("compression-unsaid", "zstd, and no bit for it", "contradicts", compression=1)
    yield refused("backing-name-long", "a name of 1 MiB", "backing name", backing_offset=200, backing_length=MIB)
    short = Image({0: small_image()[:200]}, 200)
    yield _refused("cut-in-header", "a file that ends in its header", short, "is it cut short")
    yield _refused("cut-before-l1", "one that ends before its L1 table", qcow2(size_bytes=3 * 4096), "is it cut short")
    endless = qcow2(small_image(size_bytes=2**63))
    yield Specimen(
        "size-absurd.qcow2", "a disk of 8 EiB", endless, SourceFormat.QCOW2, Notice.HEADER, InvalidSize, "8 EiB"
    )
    none = qcow2(small_image(size_bytes=0))
    yield Specimen(
        "size-none.qcow2", "a disk of nothing", none, SourceFormat.QCOW2, Notice.HEADER, InvalidSize, "positive"
    )
    lies = qcow2(small_image(size_bytes=16 * TIB))
    yield _refused("size-unbacked", "a disk of 16 TiB in an L1 table of one entry", lies, "L1 table too small")


def _broken_tables() -> Iterator[Specimen]:
    def refused(name: str, what: str, image: Image, says: str = "corruptions") -> Specimen:
        return Specimen(f"{name}.qcow2", what, image, SourceFormat.QCOW2, Notice.TABLES, Corrupt, says)

    yield refused("cut-in-data", "cut short where its data is: QEMU reads zeros there", qcow2(size_bytes=5 * 4096))
    last = qcow2(size_bytes=6 * 4096 - 1)
    yield refused("cut-in-cluster", "cut short by a byte, in its last cluster", last, "is it cut short")
    yield refused("cut-in-l2", "cut short before its L2 table", qcow2(size_bytes=4 * 4096))
    yield refused("l2-outside", "an L2 table behind the file", qcow2(l1={0: 1 << 40 | COPIED}))
    yield refused("l2-header", "the header as its L2 table", qcow2(l1={0: COPIED | 1 << 9}))
    yield refused("l2-l1", "the L1 table as its own L2 table", qcow2(l1={0: 3 * 4096 | COPIED}))
    yield refused("data-outside", "data behind the file", qcow2(l2={1: 1 << 40 | COPIED}))
    yield refused("data-twice", "one cluster in two places", qcow2(l2={1: 5 * 4096 | COPIED}))
    yield refused("data-in-tables", "its refcount table as data of the guest", qcow2(l2={1: 4096 | COPIED}))
    yield refused("refcount-block-outside", "a refcount block behind the file", qcow2(refcount_blocks={0: 1 << 40}))
    yield refused("refcount-block-header", "the header as a refcount block", qcow2(refcount_blocks={0: 0}))


def _costly() -> Iterator[Specimen]:
    wide = small_image(cluster_bits=9, l1_entries=32, refcount_order=6)
    memory = qcow2(wide, cluster_bits=9, refcounts=struct.pack(">6Q", *[1] * 6), size_bytes=512 * 1024**3)
    narrow = small_image(cluster_bits=9, l1_entries=32, refcount_order=0)
    processor = qcow2(narrow, cluster_bits=9, refcounts=bytes([0b111111]), size_bytes=1023 * 1024**3)
    yield Specimen(
        "memory.qcow2",
        "half a TiB of holes in clusters of 512 bytes, with refcounts of 64 bits: 8 GiB to count them",
        memory,
        SourceFormat.QCOW2,
        Notice.TABLES,
        NotPossible,
        "more than 1024 MiB",
    )
    yield Specimen(
        "processor.qcow2",
        "a TiB of holes in clusters of 512 bytes, with refcounts of one bit: a minute to count them",
        processor,
        SourceFormat.QCOW2,
        Notice.TABLES,
        NotPossible,
        "of processor time",
    )
    large = header_bytes(cluster_bits=21, size_bytes=8 * TIB, l1_entries=16, incompatible=0)
    yield Specimen(
        "size-large.qcow2",
        "a sound disk of 8 TiB, for a volume group that is smaller",
        qcow2(large, cluster_bits=21),
        SourceFormat.QCOW2,
        Notice.VOLUME_GROUP,
        NoSpace,
        "no space",
    )


def _strange_and_sound() -> Iterator[Specimen]:
    def sound(name: str, what: str, **header: Unpack[Changes]) -> Specimen:
        return Specimen(f"{name}.qcow2", what, qcow2(small_image(**header)), SourceFormat.QCOW2, Notice.NEVER)

    yield sound("sound", "nothing is wrong: what all the others were made from")
    yield sound("sound-version-2", "the header of version 2", version=2)
    yield sound("sound-compatible", "unknown compatible and autoclear features", compatible=2**63, autoclear=2**62)
    yield sound("sound-extension", "an unknown extension", extensions=extension(UNKNOWN, b"\xff" * 100))
    yield sound("sound-zstd", "the other compression", incompatible=COMPRESSION, compression=1)
    yield sound(
        "sound-no-backing", "a backing format without a backing file", extensions=extension(BACKING_FORMAT, b"raw")
    )


def _guests(outside: bytes) -> Iterator[Specimen]:
    """Raw disks whose guests wrote the header of another format: raw bytes, whatever they look like."""

    def raw(name: str, what: str, start: bytes, end: bytes = b"") -> Specimen:
        parts = {0: start, **({MIB - len(end): end} if end else {})}
        return Specimen(f"{name}.raw", what, Image(parts, MIB), SourceFormat.RAW, Notice.NEVER)

    qcow2_out = header_bytes(backing=outside, extensions=extension(BACKING_FORMAT, b"raw"))
    data_out = header_bytes(incompatible=DATA_FILE | EXTENDED_L2, extensions=extension(DATA_FILE_NAME, outside))
    extent = b'# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicFlat"\n\n'
    extent += b'RW 64 FLAT "' + outside + b'" 0\n\nddb.adapterType = "ide"\n'
    vdi = b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(64, b"\0") + b"\x7f\x10\xda\xbe\1\0\1\0"
    vpc = b"conectix" + struct.pack(">IIQ", 2, 0x10000, 512)
    cloop = b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n"
    node = {"driver": "raw", "file": {"driver": "file", "filename": outside.decode()}}
    label = b"\0" * 512 + b"LABELONE" + struct.pack("<QII8s", 1, 0, 32, b"LVM2 001")
    qed = struct.pack("<4sIIIQQQQQII", b"QED\0", 65536, 1, 1, 5, 0, 0, 65536, MIB, 512, len(outside))
    yield raw("guest-qcow2", "a qcow2 header with a backing file", qcow2_out)
    yield raw("guest-qcow2-data", "a qcow2 header with a data file", data_out)
    yield raw("guest-qcow", "a header of version 1 with a backing file", header_bytes(version=1, backing=outside))
    yield raw("guest-vmdk", "a VMDK descriptor whose extent is a file of the host", extent)
    yield raw("guest-vmdk-sparse", "a sparse VMDK", struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, 2048, 128, 1, 20))
    yield raw("guest-vmdk-esx", "a VMDK of ESX", struct.pack("<4sIIII", b"COWD", 1, 3, 2048, 16))
    yield raw(
        "guest-vdi",
        "a VDI",
        vdi,
    )
    yield raw("guest-luks", "LUKS", b"LUKS\xba\xbe\0\1aes".ljust(208, b"\0"))
    yield raw("guest-luks2", "LUKS 2", b"LUKS\xba\xbe\0\2".ljust(512, b"\0"))
    yield raw("guest-qed", "a QED with a backing file", qed.ljust(512, b"\0") + outside)
    yield raw("guest-vhdx", "a VHDX", b"vhdxfile" + "QEMU".encode("utf-16-le"))
    yield raw(
        "guest-vpc",
        "a differencing VHD",
        vpc,
        b"conectix".ljust(512, b"\0"),
    )
    yield raw("guest-parallels", "a Parallels disk", struct.pack("<16sIIII", b"WithoutFreeSpace", 2, 16, 1, 63))
    yield raw("guest-bochs", "a Bochs disk", b"Bochs Virtual HD Image".ljust(32, b"\0") + b"Redolog".ljust(16, b"\0"))
    yield raw(
        "guest-cloop",
        "a cloop",
        cloop,
    )
    yield raw("guest-dmg", "a DMG, which is known by its end", b"\0", b"koly".ljust(512, b"\0"))
    yield raw(
        "guest-json",
        "a json: reference",
        b"json:" + json.dumps(node).encode(),
    )
    yield raw(
        "guest-lvm",
        "a physical volume of LVM",
        label,
    )


def _misdeclared(outside: bytes) -> Iterator[Specimen]:
    """Files whose format is not the declared one."""
    guests = {specimen.name: specimen for specimen in _guests(outside)}
    for name in ("guest-vmdk", "guest-vdi", "guest-luks", "guest-qed", "guest-vhdx"):
        image, what = guests[f"{name}.raw"].image, f"as qcow2: {guests[f'{name}.raw'].what}"
        mistaken = f"mistaken-{name.removeprefix('guest-')}.qcow2"
        yield Specimen(
            mistaken, what, image, SourceFormat.QCOW2, Notice.HEADER, SourceMismatch, "was declared as qcow2"
        )
    for name, what in (
        ("undeclared.raw", "called raw"),
        ("undeclared", "not called"),
        ("undeclared.img", "an image"),
    ):
        said = f"a qcow2 header with a backing file, {what}, and nobody said what it is"
        image = guests["guest-qcow2.raw"].image
        why = "its name ends in .raw" if name.endswith(".raw") else "its format was not declared"
        yield Specimen(name, said, image, None, Notice.HEADER, SourceMismatch, f"is a qcow2 image, and {why}")


def listing(made: Iterable[Specimen]) -> list[str]:
    """Return a line for each: the name of the file, the error that refuses it, and what it is."""
    return [f"{one.name:32} {one.refusal.__name__ if one.refusal else 'harmless':16} {one.what}" for one in made]


def _refused(name: str, what: str, image: Image, says: str) -> Specimen:
    return Specimen(f"{name}.qcow2", what, image, SourceFormat.QCOW2, Notice.HEADER, Corrupt, says)
