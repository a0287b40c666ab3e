"""Copies on real volume groups have the content of the source, stay sparse, and work while snapshots are in use."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lvmqcow.core.names import Format, device_path, parse_volume_name
from lvmqcow.errors import CommandFailed, InUse
from lvmqcow.operations import Copy
from lvmqcow.testing.cases.scenarios import DISK, MIB, RAW
from lvmqcow.testing.content import BLOCK_BYTES, Content, Write
from lvmqcow.testing.worlds import RealWorld

pytestmark = pytest.mark.lvmqcow_real

NEW, RAW_NEW = parse_volume_name("vm-200-x.qcow2"), parse_volume_name("vm-200-x")
SIZE_BYTES = 64 * MIB
AT_S1 = Content(SIZE_BYTES).written([Write(0, 3, 7), Write(9000, 40, 8)])
NOW = AT_S1.written([Write(1, 1, 0), Write(16000, 2, 9)])


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    """A disk with a snapshot s1, on extents with old data."""
    made = lvmqcow_world()
    made.storage.create("vm-1-earlier", 512 * MIB)
    with Path(device_path(made.host.vg, "vm-1-earlier")).open("wb", buffering=0) as device:
        for _ in range(512):
            device.write(b"\xaa" * MIB)
    made.storage.volume("vm-1-earlier").remove()
    volume = made.storage.create(DISK.text, SIZE_BYTES)
    made.write(DISK.text, Format.QCOW2, [Write(0, 3, 7), Write(9000, 40, 8)])
    volume.snapshot("s1")
    made.write(DISK.text, Format.QCOW2, [Write(1, 1, 0), Write(16000, 2, 9)])
    yield made
    made.close()


@contextmanager
def guest(world: RealWorld) -> Iterator[None]:
    """A QEMU process that has the disk open for writing, like a running guest."""
    argv = ("qemu-io", "-f", "qcow2", device_path(world.host.vg, DISK.text))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write("length\n")
        running.stdin.flush()
        assert "64 MiB" in running.stdout.readline()
        yield
        running.stdin.close()
        running.stdout.read()


@pytest.mark.parametrize("new", [NEW, RAW_NEW], ids=["qcow2", "raw"])
@pytest.mark.parametrize(("snapshot", "holds"), [(None, NOW), ("s1", AT_S1)], ids=["current", "s1"])
def test_copy_has_the_content_of_its_source_and_is_independent(
    world: RealWorld, new: object, snapshot: str | None, holds: Content
) -> None:
    name = parse_volume_name(str(new))
    copy = world.storage.volume(DISK.text).copy(name.text, snapshot)
    world.write(DISK.text, Format.QCOW2, [Write(500, 1, 0x55)])
    assert world.difference(name.text, name.format, holds) is None
    assert world.storage.check() == ()
    world.storage.volume(DISK.text).remove()
    world.write(name.text, name.format, [Write(7, 1, 1)])
    assert world.difference(name.text, name.format, holds.written([Write(7, 1, 1)])) is None
    assert copy.info().virtual_size_bytes == SIZE_BYTES


@pytest.mark.parametrize("source_name", [DISK, RAW], ids=["qcow2", "raw"])
def test_qcow2_copy_does_not_allocate_zeros(world: RealWorld, source_name: object) -> None:
    if source_name == RAW:
        world.storage.volume(DISK.text).copy(RAW.text)
    copy = world.storage.volume(str(source_name)).copy(NEW.text)
    (layer,) = copy.layers()
    assert layer.allocated_bytes is not None
    assert layer.allocated_bytes <= 1 * MIB  # 5 clusters of 128 KiB and their tables, out of 64 MiB
    assert world.difference(NEW.text, Format.QCOW2, NOW) is None


def test_running_guest_allows_copy_of_a_snapshot_but_not_its_disk(world: RealWorld) -> None:
    volume = world.storage.volume(DISK.text)
    with guest(world):
        with pytest.raises(InUse, match="qemu-io"):
            volume.copy(NEW.text)
        volume.copy(NEW.text, "s1")
    assert world.difference(NEW.text, Format.QCOW2, AT_S1) is None
    assert world.difference(DISK.text, Format.QCOW2, NOW) is None


def test_copy_of_an_inactive_volume_leaves_both_inactive(world: RealWorld) -> None:
    volume = world.storage.volume(DISK.text)
    volume.deactivate()
    volume.copy(RAW_NEW.text, "s1")
    assert {lv.active for lv in world.host.observe().logical_volumes} == {False}
    with world.readable():
        assert world.difference(RAW_NEW.text, Format.RAW, AT_S1) is None


def test_copy_reports_progress(world: RealWorld) -> None:
    heard: list[float] = []
    *before, copy, drop = world.storage.plan(Copy(DISK, None, NEW)).steps
    for step in before:
        world.host.run(step)
    world.host.run(copy, heard.append)
    world.host.run(drop)
    assert heard[-1] == 100
    assert world.difference(NEW.text, Format.QCOW2, NOW) is None


def test_failed_copy_is_undone_and_the_source_is_unchanged(world: RealWorld) -> None:
    """The device of the new volume fails. To qemu-img this looks like a broken disk."""
    plan = world.storage.plan(Copy(DISK, None, RAW_NEW))
    for step in plan.steps[:-2]:
        world.host.run(step)
    path = device_path(world.host.vg, RAW_NEW.text)
    table = subprocess.run(("dmsetup", "table", path), check=True, capture_output=True, text=True).stdout
    start, sectors, *_ = table.split()
    broken = f"{start} {sectors} error"
    subprocess.run(("dmsetup", "load", path, "--table", broken), check=True, capture_output=True)
    subprocess.run(("dmsetup", "resume", "--noudevsync", path), check=True, capture_output=True)
    with pytest.raises(CommandFailed, match="failed with status"):
        world.host.run(plan.steps[-2])
    assert [ran.operation for ran in world.storage.recover()] == ["restore devices", "undo create"]
    assert world.difference(DISK.text, Format.QCOW2, NOW) is None
    assert RAW_NEW.text not in world.host.observe().lv_names


def test_copy_is_written_to_extents_with_old_data(world: RealWorld) -> None:
    """Otherwise the tests above could not notice a missing block."""
    plan = world.storage.plan(Copy(DISK, None, RAW_NEW))
    world.host.run(plan.steps[0])
    device = os.open(device_path(world.host.vg, RAW_NEW.text), os.O_RDONLY)
    try:
        assert os.pread(device, BLOCK_BYTES, 32 * MIB) == b"\xaa" * BLOCK_BYTES
    finally:
        os.close(device)
    assert [ran.operation for ran in world.storage.recover()] == ["undo create"]


def test_name_of_a_killed_copy_can_be_used_again(world: RealWorld) -> None:
    volume = world.storage.volume(DISK.text)
    for step in world.storage.plan(Copy(DISK, None, NEW)).steps[:2]:
        world.host.run(step)
    assert volume.copy(NEW.text).check() == ()
