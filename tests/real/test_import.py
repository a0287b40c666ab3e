"""Import of compressed disks and disks of other hypervisors, on real volumes: byte for byte, or refused."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lvmqcow.core.names import Format, device_path, parse_volume_name
from lvmqcow.testing.worlds import RealWorld

pytestmark = pytest.mark.lvmqcow_real

MIB = 1024**2
SIZE_BYTES = 6 * MIB
TARGETS = ("vm-100-disk-0.qcow2", "vm-100-disk-1")
MADE = {
    "vmdk": ("vmdk", ()),
    "vmdk-stream": ("vmdk", ("-o", "subformat=streamOptimized")),
    "vdi": ("vdi", ()),
    "vhdx": ("vhdx", ()),
    "vhd": ("vpc", ()),
    "vhd-fixed": ("vpc", ("-o", "subformat=fixed,force_size=on")),
    "qed": ("qed", ()),
    "parallels": ("parallels", ()),
    "qcow2": ("qcow2", ()),
}
"""By name: the format, and further options of qemu-img."""


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    made = lvmqcow_world()
    yield made
    made.close()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    content = bytearray(SIZE_BYTES)
    for start, byte in ((0, 1), (3 * 65536, 2), (2 * MIB, 3), (SIZE_BYTES - 4096, 4)):
        content[start : start + 4096] = bytes([byte]) * 4096
    path.write_bytes(content)
    return path


def lvmqcow(*argv: str | Path, stdin: bytes = b"", expect: int = 0) -> str:
    """Run lvmqcow. Return its standard error."""
    done = subprocess.run((sys.executable, "-m", "lvmqcow", *map(str, argv)), input=stdin, capture_output=True)
    assert done.returncode == expect, done.stderr
    return done.stderr.decode()


def require_holds(world: RealWorld, name: str, disk: Path) -> None:
    """The volume has the content of a raw file. A raw volume ends with zeros up to its last extent."""
    image_format = parse_volume_name(name).format
    argv = ("qemu-img", "compare", "-f", "raw", "-F", image_format, str(disk), device_path(world.host.vg, name))
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    if image_format is Format.QCOW2:
        assert world.storage.volume(name).info().virtual_size_bytes == disk.stat().st_size
    assert world.storage.check() == ()


@pytest.mark.parametrize("name", MADE)
def test_foreign_disk_is_imported_byte_for_byte_by_file_and_pipe(
    world: RealWorld, raw: Path, tmp_path: Path, name: str
) -> None:
    source_format, options = MADE[name]
    file, disk = tmp_path / "file", tmp_path / "converted"
    convert = ("qemu-img", "convert", "-f", "raw", "-O", source_format, *options, str(raw), str(file))
    subprocess.run(convert, check=True)
    subprocess.run(("qemu-img", "convert", "-f", source_format, "-O", "raw", str(file), str(disk)), check=True)
    said, vg = ("--source-format", source_format), world.host.vg
    for target in TARGETS:
        lvmqcow("import", file, f"{vg}/{target}", *said)
        require_holds(world, target, disk)
        world.storage.volume(target).remove()
        lvmqcow("import", "-", f"{vg}/{target}", *said, "--spool", tmp_path, stdin=file.read_bytes())
        require_holds(world, target, disk)


@pytest.mark.parametrize("name", MADE)
def test_foreign_disk_without_a_declared_format_is_refused(
    world: RealWorld, raw: Path, tmp_path: Path, name: str
) -> None:
    source_format, options = MADE[name]
    file, target = tmp_path / "file", f"{world.host.vg}/{TARGETS[0]}"
    convert = ("qemu-img", "convert", "-f", "raw", "-O", source_format, *options, str(raw), str(file))
    subprocess.run(convert, check=True)
    before = world.host.observe()
    command = f"lvmqcow import {file} VG/{TARGETS[0]} --source-format {source_format}"
    assert command in lvmqcow("import", file, target, expect=2)
    assert "and its name ends in .raw" in lvmqcow("import", file.rename(tmp_path / "file.raw"), target, expect=2)
    piped = (tmp_path / "file.raw").read_bytes()
    if name != "vhd-fixed":  # a fixed VHD starts with the disk content
        said = lvmqcow("import", "-", target, "--size", str(len(piped)), stdin=piped, expect=2)
        assert f"--source-format {source_format}" in said
    assert world.host.observe() == before
    lvmqcow("import", tmp_path / "file.raw", target, "--source-format", "raw")
    require_holds(world, TARGETS[0], tmp_path / "file.raw")


def test_compressed_disk_is_refused_with_a_command_that_works(world: RealWorld, raw: Path, tmp_path: Path) -> None:
    file = tmp_path / "disk.raw.gz"
    file.write_bytes(gzip.compress(raw.read_bytes()))
    before, vg = world.host.observe(), world.host.vg
    said = lvmqcow("import", file, f"{vg}/{TARGETS[0]}", expect=2)
    assert world.host.observe() == before
    command = said.partition("`")[2].partition("`")[0]
    assert command == f"gzip -dc {file} | lvmqcow import - VG/{TARGETS[0]} --size BYTES"
    command = command.replace("lvmqcow", f"{sys.executable} -m lvmqcow").replace("VG/", f"{vg}/")
    subprocess.run(command.replace("BYTES", str(SIZE_BYTES)), shell=True, check=True)
    require_holds(world, TARGETS[0], raw)


def test_inspected_start_of_a_stream_is_not_lost(world: RealWorld, raw: Path) -> None:
    target = f"{world.host.vg}/{TARGETS[0]}"
    lvmqcow("import", "-", target, "--size", str(SIZE_BYTES), stdin=raw.read_bytes())
    require_holds(world, TARGETS[0], raw)
    small = f"{world.host.vg}/{TARGETS[1]}"
    lvmqcow("import", "-", small, "--size", "4096", stdin=raw.read_bytes()[:4608], expect=1)
    lvmqcow("recover", small)
    lvmqcow("import", "-", small, "--size", "4608", stdin=raw.read_bytes()[:4096], expect=1)
    lvmqcow("recover", small)


def test_cd_image_becomes_a_disk_with_a_notice(world: RealWorld, tmp_path: Path) -> None:
    file = tmp_path / "debian.iso"
    file.write_bytes(bytes(32768) + b"\1CD001\1".ljust(2048, b"\0"))
    assert "the image of a CD" in lvmqcow("import", file, f"{world.host.vg}/{TARGETS[0]}")
    require_holds(world, TARGETS[0], file)
