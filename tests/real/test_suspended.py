"""A killed lvm leaves a device suspended: nothing waits for the device, and recovery resumes it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lvmqcow.checks.structure import Severity
from lvmqcow.core.names import Format, Layout, device_path, parse_volume_name, snapshot_lv_name
from lvmqcow.errors import RecoveryNeeded
from lvmqcow.lvm.commands import LvmProcesses
from lvmqcow.operations import Snapshot
from lvmqcow.steps import LvDeactivate, LvRename
from lvmqcow.testing.content import BLOCK_BYTES, Content, Write
from lvmqcow.testing.worlds import RealWorld

pytestmark = pytest.mark.lvmqcow_real

DISK = parse_volume_name("vm-100-disk-0.qcow2")
S1 = snapshot_lv_name(DISK, "s1", Layout.RFC)
SIZE_BYTES = 4 * 1024**2
CONTENT = Content(SIZE_BYTES, {0: 7, SIZE_BYTES // BLOCK_BYTES - 1: 9})


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    """A volume with a snapshot, and with data written before and after it."""
    made = lvmqcow_world()
    made.storage.create(DISK.text, SIZE_BYTES)
    made.write(DISK.text, Format.QCOW2, [Write(0, 1, 7)])
    made.storage.volume(DISK.text).snapshot("s1")
    made.write(DISK.text, Format.QCOW2, [Write(SIZE_BYTES // BLOCK_BYTES - 1, 1, 9)])
    yield made
    made.close()


def dmsetup(*words: str) -> None:
    subprocess.run(("dmsetup", *words, "--noudevsync"), check=True)


def suspend(world: RealWorld, lv: str) -> None:
    dmsetup("suspend", device_path(world.host.vg, lv))


def map_to_nothing(world: RealWorld, lv: str) -> None:
    """The state that an lvm leaves if it is killed during the activation of the LV."""
    picture = world.host.observe()
    uuid = next(each.uuid for each in picture.logical_volumes if each.name == lv)
    name = "-".join(part.replace("-", "--") for part in (world.host.vg, lv))
    world.host.run(LvDeactivate((lv,)))
    dmsetup("create", name, "--notable", "--uuid", "LVM-" + (picture.uuid + uuid).replace("-", ""))


@pytest.mark.parametrize("halt", [suspend, map_to_nothing], ids=["suspended", "without a table"])
@pytest.mark.parametrize("lv", [DISK.text, S1], ids=["current", "snapshot"])
def test_suspended_layer_is_reported_and_resumed_before_any_read(
    world: RealWorld, lv: str, halt: Callable[[RealWorld, str], None]
) -> None:
    halt(world, lv)
    (finding,) = world.storage.check()
    assert (finding.lv, finding.severity) == (lv, Severity.UNFINISHED)
    assert "an lvm was killed" in finding.text
    volume = world.storage.volume(DISK.text)
    with pytest.raises(RecoveryNeeded, match="restore devices"):
        volume.path()
    assert volume.info().virtual_size_bytes == SIZE_BYTES
    assert [plan.operation for plan in volume.recover()] == ["restore devices"]
    assert world.storage.check() == ()
    assert world.difference(DISK.text, Format.QCOW2, CONTENT) is None


def test_operation_on_a_suspended_volume_resumes_it_first(world: RealWorld) -> None:
    suspend(world, DISK.text)
    world.storage.volume(DISK.text).delete_snapshot("s1")
    assert world.storage.check() == ()
    assert world.difference(DISK.text, Format.QCOW2, CONTENT) is None


def test_operation_does_not_wait_for_a_suspended_neighbour(world: RealWorld) -> None:
    suspend(world, DISK.text)
    world.storage.create("vm-100-disk-1.qcow2", SIZE_BYTES)
    world.storage.volume(DISK.text).recover()
    assert world.storage.check() == ()


def test_lvrename_killed_after_its_commit_is_finished(world: RealWorld, tmp_path: Path) -> None:
    """The metadata of LVM has the new name, and the suspended device has the old one."""
    vg, lvm, backup = world.host.vg, LvmProcesses(), tmp_path / "metadata"
    create, overlay, rename, _ = world.storage.plan(Snapshot(DISK, "s2")).steps
    assert isinstance(rename, LvRename)
    for step in (create, overlay):
        world.host.run(step)
    suspend(world, rename.lv)
    lvm.change(("vgcfgbackup", "--file", str(backup), vg))
    backup.write_text(backup.read_text().replace(f"\t\t{rename.lv} {{", f"\t\t{rename.to} {{"))
    lvm.change(("vgcfgrestore", "--yes", "--file", str(backup), vg))
    assert not Path(device_path(vg, rename.to)).exists()
    volume = world.storage.volume(DISK.text)
    assert [plan.operation for plan in volume.recover()] == ["restore devices", "finish snapshot"]
    assert volume.info().snapshots == ("s1", "s2")
    assert world.storage.check() == ()
    assert world.difference(DISK.text, Format.QCOW2, CONTENT) is None


def test_file_in_place_of_a_device_is_reported_and_kept(world: RealWorld) -> None:
    """A program that writes to a missing device makes such a file. It may be the only copy of the data."""
    file = Path(device_path(world.host.vg, f"del-{DISK}"))
    file.write_bytes(b"data")
    try:
        assert [(found.lv, found.severity) for found in world.storage.check()] == [(file.name, Severity.DAMAGED)]
        assert world.storage.recover() == ()
        world.storage.volume(DISK.text).snapshot("s2")
        assert file.read_bytes() == b"data"
    finally:
        file.unlink()
    assert world.storage.check() == ()
