"""Disks of other hypervisors, made by qemu-img: recognised, read like QEMU reads them, and refused if truncated."""

from __future__ import annotations

import json
import random
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvmqcow.core.names import Format
from lvmqcow.core.qcow2 import IMAGE_OPTIONS
from lvmqcow.engine.imports import begun, inspect, is_cd
from lvmqcow.errors import Corrupt, LvmqcowError, SourceMismatch
from lvmqcow.formats import HEAD_BYTES, TAIL_BYTES, SourceFormat, is_iso9660, kinds, read_inside
from lvmqcow.operations import Import
from lvmqcow.operations.import_image import require_whole
from lvmqcow.qemu.img import QemuImg
from lvmqcow.steps import ImageWrite
from lvmqcow.testing.cases.scenarios import DISK, MIB
from lvmqcow.units import format_apart

SIZE_BYTES = 6 * MIB + 3 * 512
MADE = {
    "vmdk": (SourceFormat.VMDK, ""),
    "vmdk-stream": (SourceFormat.VMDK, "subformat=streamOptimized"),
    "vdi": (SourceFormat.VDI, ""),
    "vdi-static": (SourceFormat.VDI, "static=on"),
    "vhdx": (SourceFormat.VHDX, ""),
    "vhdx-fixed": (SourceFormat.VHDX, "subformat=fixed"),
    "vhd": (SourceFormat.VPC, ""),
    "vhd-exact": (SourceFormat.VPC, "force_size=on"),
    "vhd-fixed": (SourceFormat.VPC, "subformat=fixed"),
    "vhd-fixed-exact": (SourceFormat.VPC, "subformat=fixed,force_size=on"),
    "qed": (SourceFormat.QED, ""),
    "qed-small": (SourceFormat.QED, "cluster_size=4096"),
    "parallels": (SourceFormat.PARALLELS, ""),
    "qcow2": (SourceFormat.QCOW2, ""),
    "qcow2-ours": (SourceFormat.QCOW2, IMAGE_OPTIONS),
}
"""By name: the format, and further options of qemu-img create."""


@dataclass(frozen=True)
class Made:
    """A file made by qemu-img, and the disk content that qemu-img reads from it."""

    format: SourceFormat
    file: bytes
    disk: bytes


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    directory = tmp_path_factory.mktemp("made")
    raw, drawn = directory / "raw", random.Random(1)
    with raw.open("wb") as disk:
        disk.truncate(SIZE_BYTES)
        for offset, length in ((0, 40000), (3 * 65536, 4096), (2 * MIB, 70000), (4 * MIB + 4096, 512), (6 * MIB, 1536)):
            disk.seek(offset)
            disk.write(drawn.randbytes(length))
    return {name: _made(raw, directory / name, *how) for name, how in MADE.items()}


def _made(raw: Path, path: Path, source_format: SourceFormat, options: str) -> Made:
    more = ("-o", options) if options else ()
    qemu_img("convert", "-f", "raw", "-O", source_format, *more, str(raw), str(path))
    qemu_img("convert", "-f", source_format, "-O", "raw", str(path), str(path) + ".disk")
    return Made(source_format, path.read_bytes(), Path(str(path) + ".disk").read_bytes())


def qemu_img(*argv: str) -> str:
    return subprocess.run(("qemu-img", *argv), check=True, capture_output=True, text=True).stdout


def imported(path: Path, source_format: SourceFormat) -> bytes:
    """The content that an import writes into a raw volume. Raises LvmqcowError if the import is refused."""
    request = inspect(path, DISK, source_format)
    require_whole(request, QemuImg().check_file)
    target = path.with_name("target")
    target.write_bytes(bytes(request.size_bytes))
    *argv, _ = ImageWrite(request.source, request.source_format, "target", Format.RAW).argv("vg")
    subprocess.run([*argv, str(target)], check=True, capture_output=True)
    return target.read_bytes()


def formats(content: bytes) -> list[SourceFormat | None]:
    return [kind.format for kind in kinds(content[:HEAD_BYTES], content[-TAIL_BYTES:])]


@pytest.mark.parametrize("name", MADE)
def test_image_is_recognised_with_the_size_that_qemu_reads(made: dict[str, Made], tmp_path: Path, name: str) -> None:
    one, path = made[name], tmp_path / name
    path.write_bytes(one.file)
    assert formats(one.file) == [one.format]
    said = json.loads(qemu_img("info", "--output=json", "-f", one.format, str(path)))["virtual-size"]
    assert inspect(path, DISK, one.format) == Import(DISK, said, str(path), one.format)


@pytest.mark.parametrize("name", MADE)
def test_image_is_imported_byte_for_byte(made: dict[str, Made], tmp_path: Path, name: str) -> None:
    one, path = made[name], tmp_path / name
    path.write_bytes(one.file)
    assert imported(path, one.format) == one.disk
    assert one.disk[:SIZE_BYTES].rstrip(b"\0") == one.disk.rstrip(b"\0")


@pytest.mark.parametrize("name", MADE)
def test_empty_disk_is_imported_as_zeros(tmp_path: Path, name: str) -> None:
    source_format, options = MADE[name]
    path, more = tmp_path / name, ("-o", options) if options else ()
    qemu_img("create", "-f", source_format, *more, str(path), str(SIZE_BYTES))
    content = imported(path, source_format)
    assert len(content) >= SIZE_BYTES
    assert content.count(0) == len(content)


@pytest.mark.parametrize("name", MADE)
def test_image_without_its_last_data_is_refused(made: dict[str, Made], tmp_path: Path, name: str) -> None:
    """The tables are complete, so a check of the tables alone does not find this."""
    one, path = made[name], tmp_path / name
    last = one.disk[6 * MIB : 6 * MIB + 1536]
    end = (
        one.file.rindex(last) + len(last) if last in one.file else len(one.file.rstrip(b"\0"))
    )  # not found: the data is compressed
    path.write_bytes(one.file[: end - 513])
    with pytest.raises(LvmqcowError):
        imported(path, one.format)


@pytest.mark.parametrize("name", MADE)
@given(data=st.data())
def test_truncated_image_is_refused_or_complete(
    made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    one, path = made[name], tmp_path_factory.mktemp("cut") / "disk"
    last = len(one.file) - 1
    near = st.integers(0, min(last, 4 * MIB // 1024)).map(lambda bytes_off: last - bytes_off)
    length = data.draw(st.integers(0, last) | near | st.integers(0, last // 512).map(lambda sectors: 512 * sectors))
    path.write_bytes(one.file[:length])
    try:
        content = imported(path, one.format)
    except LvmqcowError:
        return
    assert content == one.disk, f"cut to {length} of {len(one.file)} bytes"


@pytest.mark.parametrize("name", MADE)
@given(data=st.data())
def test_image_with_changed_bytes_is_read_or_refused(
    made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    one, path = made[name], tmp_path_factory.mktemp("changed") / "disk"
    changed = bytearray(one.file)
    places = [0, len(changed) - 1536, *((192 * 1024, 2 * MIB, 3 * MIB) if one.format is SourceFormat.VHDX else ())]
    for _ in range(data.draw(st.integers(1, 4))):
        offset = data.draw(st.sampled_from(places)) + data.draw(st.integers(0, 1024))
        value = data.draw(
            st.sampled_from([b"\xff" * 8, b"\xff" * 4, bytes(4), b"\x01", b"\x80"]) | st.binary(max_size=9)
        )
        changed[offset : offset + len(value)] = value
    path.write_bytes(changed)
    said = refusal(path, one.format)
    assert said is None or str(path) in said


def refusal(path: Path, source_format: SourceFormat) -> str | None:
    try:
        inspect(path, DISK, source_format)
    except LvmqcowError as refused:
        return str(refused)
    return None


MAGICS: dict[str, tuple[bytes, SourceFormat | None]] = {
    "qcow2": (b"QFI\xfb\0\0\0\3", SourceFormat.QCOW2),
    "the first qcow": (b"QFI\xfb\0\0\0\1", None),
    "vmdk": (b"KDMV", SourceFormat.VMDK),
    "an extent of a vmdk": (b"COWD", None),
    "an extent of a newer vmdk": (b"\xbe\xba\xfe\xca\0\0\0\0\1\0\0\0\2\0\0\0", None),
    "a descriptor of a vmdk": (b"# Disk DescriptorFile\n", None),
    "a descriptor without a title": (b"# made by hand\r\n \n\nversion=3\r\n", None),
    "vdi": (bytes(64) + struct.pack("<I", 0xBEDA107F), SourceFormat.VDI),
    "vhdx": (b"vhdxfile", SourceFormat.VHDX),
    "vhd": (b"conectix", SourceFormat.VPC),
    "qed": (b"QED\0", SourceFormat.QED),
    "parallels": (b"WithouFreSpacExt", SourceFormat.PARALLELS),
    "an older parallels": (b"WithoutFreeSpace", SourceFormat.PARALLELS),
    "luks": (b"LUKS\xba\xbe\0\2", None),
    "bochs": (b"Bochs Virtual HD Image\0", None),
    "cloop": (b"#!/bin/sh\n#V2.0 Format\nmodprobe", None),
    "vma": (b"VMA\0", None),
    "gzip": (b"\x1f\x8b\x08\0", None),
    "xz": (b"\xfd7zXZ\0", None),
    "zstd": (b"\x28\xb5\x2f\xfd", None),
    "lz4": (b"\x04\x22\x4d\x18", None),
    "lzop": (b"\x89LZO\0\r\n\x1a\n", None),
    "bzip2": (b"BZh61AY&SY", None),
    "zip": (b"PK\x03\x04", None),
    "7z": (b"7z\xbc\xaf\x27\x1c", None),
    "tar": (b"a".ljust(257, b"\0") + b"ustar\x0000", None),
    "tar of GNU": (b"a".ljust(257, b"\0") + b"ustar  \0", None),
}
RAW_STARTS = {
    "zeros": bytes(512),
    "a boot sector": b"\xeb\x63\x90".ljust(510, b"\0") + b"\x55\xaa",
    "text": b"# a file of comments\nversion=4\n",
    "nearly a QED": b"QED",
    "nearly gzip": b"\x1f\x8b\x07",
    "nearly bzip2": b"BZh9 in words",
    "an iso": bytes(32769) + b"CD001",
}


@pytest.mark.parametrize("name", MAGICS)
@given(rest=st.binary(max_size=64))
def test_file_with_a_foreign_magic_needs_a_declared_format(
    tmp_path_factory: pytest.TempPathFactory, name: str, rest: bytes
) -> None:
    start, source_format = MAGICS[name]
    path = tmp_path_factory.mktemp("begun") / "disk"
    path.write_bytes(start + rest)
    with pytest.raises(SourceMismatch) as refused:
        inspect(path, DISK, None)
    said = str(refused.value)
    assert "its format was not declared" in said
    if source_format:
        assert f"lvmqcow import {path} VG/{DISK} --source-format {source_format}" in said
    assert inspect(path, DISK, SourceFormat.RAW).source_format is SourceFormat.RAW


def begins_like_none(content: bytes) -> bool:
    """Needed as a filter, because Hypothesis takes the magics from the source code."""
    return content[:2].lower() not in {start[:2].lower() for start, _ in MAGICS.values()} - {b"\0\0", b"a\0"}


@given(content=st.binary(min_size=1, max_size=4096).filter(begins_like_none) | st.sampled_from([*RAW_STARTS.values()]))
def test_file_without_a_magic_is_a_raw_disk(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("raw") / "disk"
    path.write_bytes(content)
    request = inspect(path, DISK, None)
    assert (request.source_format, request.size_bytes) == (SourceFormat.RAW, -(-len(content) // 512) * 512)


@pytest.mark.parametrize("end", [b"conectix", struct.pack(">4sII", b"koly", 4, 512)], ids=["a fixed VHD", "a dmg"])
def test_format_shown_only_at_the_end_is_detected(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(4096) + end.ljust(512, b"\0"))
    with pytest.raises(SourceMismatch):
        inspect(path, DISK, None)
    path.write_bytes(bytes(4096) + end.ljust(511, b"\0"))
    assert inspect(path, DISK, None).source_format is SourceFormat.RAW


@pytest.mark.parametrize(
    ("called", "content", "says"),
    [
        ("disk.raw", b"KDMV", "a VMware disk (vmdk), and its name ends in .raw"),
        ("disk.vdi", b"KDMV", "a VMware disk (vmdk), and its name ends in .vdi"),
        ("disk.VMDK", b"vhdxfile", "a Hyper-V disk (vhdx), and its name ends in .VMDK"),
        ("disk.qcow2", b"KDMV", "a VMware disk (vmdk), and its name ends in .qcow2"),
        ("disk.qcow2", b"raw", "raw bytes, and its name ends in .qcow2"),
        ("disk-flat.vmdk", b"raw", "raw bytes, and its name ends in .vmdk"),
        ("disk.raw.gz", b"raw", "raw bytes, and its name ends in .gz"),
        ("disk.raw.gz", b"\x1f\x8b\x08", "gzip -dc"),
        ("disk.raw.xz", b"\x1f\x8b\x08", "compressed with gzip, and its name ends in .xz"),
        ("appliance.ova", b"a".ljust(257, b"\0") + b"ustar\x0000", "tar -xf"),
        ("disk.vmdk", b"KDMV", "its format was not declared"),
        ("disk.vmdk", b"# Disk DescriptorFile", "-flat.vmdk beside it"),
        ("disk.img", b"QFI\xfb\0\0\0\3", "--source-format qcow2"),
    ],
)
def test_error_names_both_if_name_and_content_disagree(tmp_path: Path, called: str, content: bytes, says: str) -> None:
    path = tmp_path / called
    path.write_bytes(content)
    with pytest.raises(SourceMismatch) as refused:
        inspect(path, DISK, None)
    assert str(path) in str(refused.value)
    assert says in str(refused.value)


@pytest.mark.parametrize("declared", [each for each in SourceFormat if each is not SourceFormat.RAW])
@pytest.mark.parametrize("name", MADE)
def test_wrong_declared_format_is_refused_and_both_are_named(
    made: dict[str, Made], tmp_path: Path, name: str, declared: SourceFormat
) -> None:
    path = tmp_path / name
    path.write_bytes(made[name].file)
    if declared is made[name].format:
        return
    with pytest.raises(SourceMismatch) as refused:
        inspect(path, DISK, declared)
    assert f"was declared as {declared}" in str(refused.value)
    assert f"--source-format {made[name].format}" in str(refused.value)


def vhd(creator: bytes, geometry: tuple[int, int, int], file: bytes) -> bytes:
    """A fixed VHD with another creator and geometry."""
    footer = bytearray(file[-512:])
    footer[28:32] = creator
    footer[56:60] = struct.pack(">HBB", *geometry)
    footer[64:68] = bytes(4)
    footer[64:68] = struct.pack(">I", ~sum(footer) & 0xFFFFFFFF)
    return file[:-512] + bytes(footer)


@pytest.mark.parametrize(
    ("creator", "geometry", "cylinders_count"),
    [
        (b"win ", (100, 4, 17), False),
        (b"tap\0", (100, 4, 17), False),
        (b"vpc ", (100, 4, 17), True),
        (b"qemu", (100, 4, 17), True),
        (b"vpc ", (65535, 16, 255), False),
    ],
)
def test_vhd_size_depends_on_its_creator(
    made: dict[str, Made], tmp_path: Path, creator: bytes, geometry: tuple[int, int, int], cylinders_count: bool
) -> None:
    path, one = tmp_path / "disk", made["vhd-fixed-exact"]
    path.write_bytes(vhd(creator, geometry, one.file))
    content = imported(path, SourceFormat.VPC)
    assert content == one.disk[: 100 * 4 * 17 * 512 if cylinders_count else SIZE_BYTES]


def test_vhd_that_qemu_would_truncate_is_refused_with_a_command(made: dict[str, Made], tmp_path: Path) -> None:
    """VirtualBox writes a geometry that is smaller than the disk, and QEMU uses the geometry."""
    path, copy, one = tmp_path / "a,disk", tmp_path / "COPY", made["vhd-fixed-exact"]
    path.write_bytes(vhd(b"vbox", (100, 4, 17), one.file))
    sizes = format_apart(SIZE_BYTES, 100 * 4 * 17 * 512)
    with pytest.raises(Corrupt, match=f"has {sizes[0]}, and qemu-img would read {sizes[1]}") as refused:
        imported(path, SourceFormat.VPC)
    command = str(refused.value).partition("import the copy: ")[2].replace(" COPY", f" {copy}")
    subprocess.run(command, shell=True, check=True)
    assert imported(copy, SourceFormat.QCOW2) == one.disk


@pytest.mark.parametrize("name", MADE)
def test_stream_is_recognised_like_a_file(made: dict[str, Made], tmp_path: Path, name: str) -> None:
    path = tmp_path / "stream"
    path.write_bytes(made[name].file)
    with path.open("rb", buffering=0) as stream:
        if "vhd-fixed" in name:  # a fixed VHD is known by its end, which is not read yet
            assert begun(stream.fileno(), DISK) == made[name].file[:HEAD_BYTES]
            return
        with pytest.raises(SourceMismatch, match=f"the stream is .* --source-format {made[name].format}"):
            begun(stream.fileno(), DISK)


def test_cd_image_is_imported_as_a_raw_disk(tmp_path: Path) -> None:
    path = tmp_path / "debian.iso"
    path.write_bytes(bytes(32768) + b"\1CD001\1".ljust(2048, b"\0"))
    assert inspect(path, DISK, None).source_format is SourceFormat.RAW
    assert is_cd(path)
    assert not is_iso9660(bytes(HEAD_BYTES))


def test_oversized_tables_are_not_read() -> None:
    """The largest tables of all formats: a small hostile file cannot make lvmqcow read more."""
    asked: list[int] = []

    def read(offset_bytes: int, length_bytes: int) -> bytes:
        asked.append(length_bytes)
        header = struct.pack("<16sIIIIIQIIIQ", b"WithouFreSpacExt", 2, 16, 1, 1, 2**32 - 1, 2**20, 0, 1, 0, 0)
        return header[offset_bytes : offset_bytes + length_bytes].ljust(length_bytes, b"\0")

    assert read_inside(SourceFormat.PARALLELS, read, 2**60).reasons != ()
    assert sum(asked) == 64
