"""Every kind of new volume reads zeros on extents with old data.

Each entry in ``KINDS`` makes something new, and returns its LV and the content that a guest must read. Add an entry for
each new way to make a volume or a part of one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lvmqcow.core.names import Format, device_path
from lvmqcow.formats import SourceFormat
from lvmqcow.lvm import loopvg
from lvmqcow.lvm.commands import LvmProcesses, LvmShell
from lvmqcow.qemu.img import QemuImg
from lvmqcow.real_host import RealHost
from lvmqcow.storage import Storage
from lvmqcow.testing.cases.scenarios import DISK, MIB, NEIGHBOUR, RAW
from lvmqcow.testing.content import BLOCK_BYTES, Content, Write
from lvmqcow.testing.worlds import RealWorld
from tests.support.stale_extents import OLD_BYTE, fill_free_space

pytestmark = pytest.mark.lvmqcow_real

Made = tuple[str, Format, Content]
SMALL, LARGE = 8 * MIB, 64 * MIB
WRITTEN = [Write(3, 2, 0x11), Write(1000, 1, 0x12)]


@pytest.fixture(scope="module")
def vg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A volume group small enough to be filled completely."""
    name = f"recycled-{os.getpid()}"
    loopvg.create(name, 160 * MIB, tmp_path_factory.mktemp("recycled") / "pv.img")
    yield name
    loopvg.destroy(name)


@pytest.fixture
def world(vg: str, tmp_path: Path) -> Iterator[RealWorld]:
    """An empty volume group with old data in every free extent."""
    host = RealHost(vg, LvmShell(), QemuImg())
    made = RealWorld(host, tmp_path)
    free_bytes = host.observe().free_bytes
    fill_free_space(vg, free_bytes, free_bytes)
    yield made
    made.close()
    host.close()


def created(name: str, image_format: Format) -> Callable[[Storage, Path], Made]:
    def make(storage: Storage, directory: Path) -> Made:
        storage.create(name, LARGE)
        return name, image_format, Content(LARGE)

    return make


def overlay(storage: Storage, directory: Path) -> Made:
    storage.create(DISK.text, LARGE).snapshot("s1")
    return DISK.text, Format.QCOW2, Content(LARGE)


def rolled_back(storage: Storage, directory: Path) -> Made:
    volume = storage.create(DISK.text, LARGE)
    volume.snapshot("s1")
    volume.rollback("s1")
    return DISK.text, Format.QCOW2, Content(LARGE)


def grown(name: str, image_format: Format) -> Callable[[Storage, Path], Made]:
    def make(storage: Storage, directory: Path) -> Made:
        storage.create(name, SMALL).resize(LARGE)
        return name, image_format, Content(LARGE)

    return make


def grown_over_a_snapshot(storage: Storage, directory: Path) -> Made:
    volume = storage.create(DISK.text, SMALL)
    volume.snapshot("s1")
    volume.grow(LARGE - SMALL)
    return DISK.text, Format.QCOW2, Content(LARGE)


def merged(storage: Storage, directory: Path) -> Made:
    """The base is extended, and takes the data of its larger overlay."""
    volume = storage.create(DISK.text, SMALL)
    volume.snapshot("s1")
    volume.resize(LARGE)
    volume.delete_snapshot("s1")
    return DISK.text, Format.QCOW2, Content(LARGE)


def imported(name: str, image_format: Format) -> Callable[[Storage, Path], Made]:
    def make(storage: Storage, directory: Path) -> Made:
        content = Content(LARGE).written(WRITTEN)
        file = directory / "sparse.raw"
        content.save(file)
        storage.import_file(file, name, SourceFormat.RAW)
        file.unlink()
        return name, image_format, content

    return make


def copied(storage: Storage, directory: Path) -> Made:
    copy = storage.create(DISK.text, LARGE).copy(RAW.text)
    return copy.name, Format.RAW, Content(LARGE)


def converted(storage: Storage, directory: Path) -> Made:
    volume = storage.create(RAW.text, LARGE).convert()
    return volume.name, Format.QCOW2, Content(LARGE)


def cloned(storage: Storage, directory: Path) -> Made:
    volume = storage.create(DISK.text, LARGE)
    volume.template()
    return volume.clone(NEIGHBOUR.text).name, Format.QCOW2, Content(LARGE)


def flattened(storage: Storage, directory: Path) -> Made:
    made = cloned(storage, directory)
    storage.volume(NEIGHBOUR.text).flatten()
    return made


KINDS: Mapping[str, Callable[[Storage, Path], Made]] = {
    "raw": created(RAW.text, Format.RAW),
    "qcow2": created(DISK.text, Format.QCOW2),
    "overlay": overlay,
    "rolled back": rolled_back,
    "grown raw": grown(RAW.text, Format.RAW),
    "grown qcow2": grown(DISK.text, Format.QCOW2),
    "grown over a snapshot": grown_over_a_snapshot,
    "merged": merged,
    "imported raw": imported(RAW.text, Format.RAW),
    "imported qcow2": imported(DISK.text, Format.QCOW2),
    "copied": copied,
    "converted": converted,
    "cloned": cloned,
    "flattened": flattened,
}


@pytest.mark.parametrize("kind", KINDS)
def test_new_space_reads_zeros_before_and_after_scattered_writes(world: RealWorld, tmp_path: Path, kind: str) -> None:
    lv, image_format, expected = KINDS[kind](world.storage, tmp_path)
    assert world.difference(lv, image_format, expected) is None
    scattered = [Write(block, 1, 0x33) for block in range(7, expected.size_bytes // BLOCK_BYTES, 997)]
    world.write(lv, image_format, scattered)
    assert world.difference(lv, image_format, expected.written(scattered)) is None


def test_free_extents_really_have_old_data(world: RealWorld) -> None:
    """Otherwise the tests above could not fail. An LV that is not zeroed shows the old data everywhere."""
    vg, free_bytes = world.host.vg, world.host.observe().free_bytes
    argv = (
        "lvcreate",
        "--yes",
        "--wipesignatures",
        "n",
        "--zero",
        "n",
        "--size",
        f"{free_bytes}b",
        "--name",
        "bare",
        vg,
    )
    LvmProcesses().change(argv)
    with Path(device_path(vg, "bare")).open("rb", buffering=0) as device:
        for _ in range(free_bytes // MIB):
            assert device.read(MIB) == bytes([OLD_BYTE]) * MIB
