"""Resizing of real volumes: new space reads zeros on used extents, and older snapshots survive."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lvmqcow.core.names import Format, Layout, VolumeName, device_path, parse_volume_name, snapshot_lv_name
from lvmqcow.errors import NotPossible
from lvmqcow.lvm.commands import LvmProcesses
from lvmqcow.operations import Merge, Plan, Resize
from lvmqcow.operations.recovery import plan_recovery
from lvmqcow.testing.content import BLOCK_BYTES, Content, Write
from lvmqcow.testing.worlds import RealWorld
from tests.support.stale_extents import fill_free_space

pytestmark = pytest.mark.lvmqcow_real

MIB = 1024**2
QCOW2, RAW = parse_volume_name("vm-100-disk-0.qcow2"), parse_volume_name("vm-100-disk-1")
NAMES = pytest.mark.parametrize("volume", [QCOW2, RAW], ids=["qcow2", "raw"])
S1 = snapshot_lv_name(QCOW2, "s1", Layout.RFC)


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    """An empty volume group with old data in its free extents."""
    made = lvmqcow_world()
    fill_free_space(made.host.vg, made.host.observe().free_bytes, 512 * MIB)
    yield made
    made.close()


def full(size_bytes: int, byte: int, start_bytes: int = 0) -> list[Write]:
    """Writes of one MiB each that cover the whole disk."""
    blocks = MIB // BLOCK_BYTES
    return [Write(first * blocks, blocks, byte) for first in range(start_bytes // MIB, size_bytes // MIB)]


def require_holds(world: RealWorld, lv: str, image_format: Format, expected: Content) -> None:
    assert world.difference(lv, image_format, expected) is None
    assert world.storage.check() == ()


def dmsetup(verb: str, path: str, *more: str) -> str:
    argv = ("dmsetup", verb, "--noudevsync", path, *more)
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def size_of(path: str) -> int:
    with Path(path).open("rb") as device:
        return device.seek(0, 2)


@NAMES
def test_resized_volume_reads_zeros_in_the_new_part(world: RealWorld, volume: VolumeName) -> None:
    handle = world.storage.create(volume.text, 8 * MIB)
    content = Content(8 * MIB).written(full(8 * MIB, 0x11))
    world.write(volume.text, volume.format, full(8 * MIB, 0x11))
    for size_bytes in (12 * MIB, 100 * MIB):
        handle.resize(size_bytes)
        assert handle.info().virtual_size_bytes == size_bytes
        require_holds(world, volume.text, volume.format, Content(size_bytes, content.blocks))
    assert handle.resize(100 * MIB).steps == ()
    with pytest.raises(NotPossible):
        handle.resize(90 * MIB)
    written = full(100 * MIB, 0x22, start_bytes=92 * MIB)
    world.write(volume.text, volume.format, written)
    require_holds(world, volume.text, volume.format, Content(100 * MIB, content.blocks).written(written))


def test_free_extents_really_have_old_data(world: RealWorld) -> None:
    """Without the step that zeroes them, the test above would fail."""
    handle = world.storage.create(RAW.text, 8 * MIB)
    LvmProcesses().change(("lvextend", "--size", f"{16 * MIB}b", f"{world.host.vg}/{RAW}"))
    assert Path(device_path(world.host.vg, RAW.text)).read_bytes()[8 * MIB :] == b"\xaa" * (8 * MIB)
    handle.remove()


def test_rollback_restores_the_size_of_the_snapshot(world: RealWorld) -> None:
    handle = world.storage.create(QCOW2.text, 8 * MIB)
    world.write(QCOW2.text, Format.QCOW2, full(8 * MIB, 0x11))
    handle.snapshot("s1")
    handle.resize(64 * MIB)
    world.write(QCOW2.text, Format.QCOW2, full(64 * MIB, 0x22))
    handle.rollback("s1")
    assert handle.info().virtual_size_bytes == 8 * MIB
    require_holds(world, QCOW2.text, Format.QCOW2, Content(8 * MIB).written(full(8 * MIB, 0x11)))
    handle.resize(64 * MIB)
    require_holds(world, QCOW2.text, Format.QCOW2, Content(64 * MIB).written(full(8 * MIB, 0x11)))


@pytest.mark.parametrize("merge", [Merge.PULL, Merge.PUSH])
@pytest.mark.parametrize("written_bytes", [64 * MIB, 0], ids=["full", "nothing written"])
def test_older_snapshot_can_be_deleted_after_a_resize(world: RealWorld, merge: Merge, written_bytes: int) -> None:
    """The LV of the snapshot is much too small for the data of the resized disk: 12 MiB for 68."""
    handle = world.storage.create(QCOW2.text, 8 * MIB)
    world.write(QCOW2.text, Format.QCOW2, full(8 * MIB, 0x11))
    handle.snapshot("s1")
    handle.resize(64 * MIB)
    expected = Content(64 * MIB).written([*full(8 * MIB, 0x11), *full(written_bytes, 0x22)])
    if written_bytes:
        world.write(QCOW2.text, Format.QCOW2, full(written_bytes, 0x22))
    handle.delete_snapshot("s1", merge)
    assert handle.info().snapshots == ()
    require_holds(world, QCOW2.text, Format.QCOW2, expected)
    world.write(QCOW2.text, Format.QCOW2, full(64 * MIB, 0x33))
    require_holds(world, QCOW2.text, Format.QCOW2, Content(64 * MIB).written(full(64 * MIB, 0x33)))


def test_snapshot_between_two_resizes_keeps_its_size(world: RealWorld) -> None:
    handle = world.storage.create(QCOW2.text, 8 * MIB)
    world.write(QCOW2.text, Format.QCOW2, full(8 * MIB, 0x11))
    handle.snapshot("s1")
    handle.resize(32 * MIB)
    handle.snapshot("s2")
    handle.resize(64 * MIB)
    world.write(QCOW2.text, Format.QCOW2, full(64 * MIB, 0x22, start_bytes=32 * MIB))
    assert [layer.virtual_size_bytes for layer in handle.layers()] == [64 * MIB, 32 * MIB, 8 * MIB]
    small = Content(8 * MIB).written(full(8 * MIB, 0x11))
    require_holds(world, S1, Format.QCOW2, small)
    require_holds(world, snapshot_lv_name(QCOW2, "s2", Layout.RFC), Format.QCOW2, Content(32 * MIB, small.blocks))
    handle.delete_snapshot("s1", Merge.PUSH)
    require_holds(world, snapshot_lv_name(QCOW2, "s2", Layout.RFC), Format.QCOW2, Content(32 * MIB, small.blocks))


@NAMES
def test_resize_cut_after_any_step_is_recovered_as_planned(world: RealWorld, volume: VolumeName) -> None:
    vg = world.host.vg
    request = Resize(volume, 64 * MIB)
    size_bytes = 8 * MIB
    for done in range(4):
        handle = world.storage.create(volume.text, size_bytes)
        written = full(size_bytes, 0x11)
        world.write(volume.text, volume.format, written)
        plan: Plan = world.storage.plan(request)
        assert len(plan.steps) == 4
        for step in plan.steps[:done]:
            world.host.run(step)
        LvmProcesses().change(("lvchange", "--activate", "n", f"{vg}/{volume}"))  # the host crashed
        recovery = plan_recovery(world.host.observe(), volume, world.host.measure)
        outcome = {"undoes": "undo", "finishes": "finish"}[plan.outcome(done)]
        assert recovery.operation == (f"{outcome} resize" if done in (1, 2, 3) else "finish removal")
        handle.recover()
        LvmProcesses().change(("lvchange", "--activate", "y", f"{vg}/{volume}"))
        after = 64 * MIB if done >= plan.commit_point else size_bytes
        require_holds(world, volume.text, volume.format, Content(after).written(written))
        handle.remove()


def test_resize_leaves_an_inactive_volume_inactive(world: RealWorld) -> None:
    handle = world.storage.create(QCOW2.text, 8 * MIB)
    handle.snapshot("s1")
    names = [f"{world.host.vg}/{name}" for name in (QCOW2.text, S1)]
    LvmProcesses().change(("lvchange", "--activate", "n", *names))
    handle.resize(64 * MIB)
    assert {lv.active for lv in world.host.observe().logical_volumes} == {False}
    assert handle.info().virtual_size_bytes == 64 * MIB
    LvmProcesses().change(("lvchange", "--activate", "y", *names))
    require_holds(world, QCOW2.text, Format.QCOW2, Content(64 * MIB))


@NAMES
def test_lvextend_killed_before_its_device_grew_is_recovered(world: RealWorld, volume: VolumeName) -> None:
    handle = world.storage.create(volume.text, 8 * MIB)
    intent, extend, *_ = world.storage.plan(Resize(volume, 64 * MIB)).steps
    path = device_path(world.host.vg, volume.text)
    before = dmsetup("table", path)
    world.host.run(intent)
    world.host.run(extend)
    dmsetup("load", path, "--table", before)
    dmsetup("resume", path)
    assert size_of(path) < 64 * MIB
    assert [plan.operation for plan in handle.recover()] == ["restore devices", "finish resize"]
    assert size_of(path) >= 64 * MIB
    require_holds(world, volume.text, volume.format, Content(64 * MIB))
    world.write(volume.text, volume.format, full(64 * MIB, 0x33))
    require_holds(world, volume.text, volume.format, Content(64 * MIB).written(full(64 * MIB, 0x33)))
