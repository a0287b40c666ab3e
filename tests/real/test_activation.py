"""Activation on real volume groups: it affects one volume only, names holders, and keeps inactive volumes inactive."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lvmqcow.core.names import Format
from lvmqcow.errors import InUse
from lvmqcow.lvm import loopvg
from lvmqcow.operations import (
    Activate,
    Deactivate,
    DeleteSnapshot,
    Merge,
    Remove,
    Rename,
    RenameSnapshot,
    Request,
    Resize,
    Rollback,
    Snapshot,
)
from lvmqcow.storage import Storage
from lvmqcow.testing.cases.operation_table import ELSEWHERE
from lvmqcow.testing.cases.scenarios import DISK, MIB, RAW
from lvmqcow.testing.worlds import RealWorld

pytestmark = pytest.mark.lvmqcow_real

S1 = f"snap-s1-{DISK}"


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    """A disk with the snapshots s1 and s2. Each layer has data of its own."""
    made = lvmqcow_world()
    fill(made.storage)
    yield made
    made.close()


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[Storage]:
    """Another volume group with a volume of the same name."""
    name = f"twin-{os.getpid()}"
    loopvg.create(name, 96 * MIB, tmp_path / "pv.img")
    with Storage.open(name) as storage:
        fill(storage)
        yield storage
    loopvg.destroy(name)


def fill(storage: Storage) -> None:
    volume = storage.create(DISK.text, 4 * MIB)
    for number in (1, 2, 3):
        argv = ("qemu-io", "-f", "qcow2", "-c", f"write -P {number} {number * 64}k 64k", str(volume.path()))
        subprocess.run(argv, check=True, capture_output=True)
        if number < 3:
            volume.snapshot(f"s{number}")


def active(storage: Storage) -> dict[str, bool]:
    return {lv.name: lv.active for lv in storage.picture().logical_volumes}


@contextmanager
def process_with(path: Path) -> Iterator[int]:
    """A process that has a device open until the context ends."""
    holder = subprocess.Popen(
        ["sh", "-c", f"exec 3<{path}; echo open; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    yield holder.pid
    holder.communicate()


@pytest.mark.parametrize("tag", ["pve-vm-100", DISK.volume_tag])
def test_activation_affects_only_the_layers_of_one_volume(world: RealWorld, twin: Storage, tag: str) -> None:
    storage, vg = world.storage, world.host.vg
    for name in (f"del-{S1}", "other"):
        argv = ("lvcreate", "--yes", "--size", "4m", "--addtag", tag, "--name", name, vg)
        subprocess.run(argv, check=True, capture_output=True)
    before = twin.picture()
    volume, own = storage.volume(DISK.text), {DISK.text, S1, f"snap-s2-{DISK}"}
    others = {f"del-{S1}": True, "other": True}
    volume.deactivate()
    assert active(storage) == {**dict.fromkeys(own, False), **others}
    assert not volume.path().exists()
    assert twin.picture() == before
    subprocess.run(("lvchange", "--activate", "n", *(f"{vg}/{name}" for name in others)), check=True)
    volume.activate()
    assert active(storage) == {**dict.fromkeys(own, True), **dict.fromkeys(others, False)}
    assert volume.path().is_block_device()
    twin.volume(DISK.text).deactivate()
    volume.activate()
    assert set(active(twin).values()) == {False}


def test_activation_refreshes_an_active_lv(world: RealWorld) -> None:
    """Another host extended the LV: the metadata has the new size, the local device does not."""
    world.storage.create(RAW.text, 4 * MIB)
    path = world.storage.volume(RAW.text).path()
    argv = ("lvextend", "--driverloaded", "n", "--size", "8m", f"{world.host.vg}/{RAW}")
    subprocess.run(argv, check=True, capture_output=True)
    assert device_bytes(path) == 4 * MIB
    world.storage.volume(RAW.text).activate()
    assert device_bytes(path) == 8 * MIB


def device_bytes(path: Path) -> int:
    with path.open("rb") as device:
        return device.seek(0, os.SEEK_END)


def test_no_volume_is_active_after_a_boot(world: RealWorld) -> None:
    world.storage.volume(DISK.text).activate()
    argv = ("lvs", "--noheadings", "-o", "lv_autoactivation", world.host.vg)
    assert subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split() == []
    world.storage.volume(DISK.text).deactivate()
    subprocess.run(("vgchange", "--activate", "y", world.host.vg), check=True, capture_output=True)
    assert set(active(world.storage).values()) == {True}, "explicit activation still works"
    world.storage.volume(DISK.text).deactivate()
    subprocess.run(("vgchange", "--activate", "ay", world.host.vg), check=True, capture_output=True)
    assert set(active(world.storage).values()) == {False}


@pytest.mark.parametrize("request_", [Deactivate(DISK), Rename(DISK, ELSEWHERE)], ids=["deactivate", "rename"])
@pytest.mark.parametrize("snapshot", [None, "s1"])
def test_process_with_an_open_device_is_named(world: RealWorld, snapshot: str | None, request_: Request) -> None:
    volume, before = world.storage.volume(DISK.text), world.storage.picture()
    with process_with(volume.path(snapshot)) as process_id:
        with pytest.raises(InUse) as refused:
            world.storage.apply(request_)
        lv = S1 if snapshot else DISK.text
        assert refused.value.holders == (f"{lv} by process {process_id} (cat)",)
        assert refused.value.exit_status == 13
        assert world.storage.picture() == before
    world.storage.apply(request_)


def test_device_mapper_device_on_top_is_named(world: RealWorld) -> None:
    path = world.storage.volume(DISK.text).path()
    subprocess.run(("dmsetup", "create", "on-top", "--table", f"0 8 linear {path} 0"), check=True)
    try:
        with pytest.raises(InUse, match=r"by device dm-\d+ \(on-top\)"):
            world.storage.volume(DISK.text).deactivate()
    finally:
        subprocess.run(("dmsetup", "remove", "--retry", "on-top"), check=True)


INACTIVE: dict[str, Request] = {
    "snapshot": Snapshot(DISK, "s3"),
    "rollback": Rollback(DISK, "s2"),
    "delete by pull": DeleteSnapshot(DISK, "s2", Merge.PULL),
    "delete by push": DeleteSnapshot(DISK, "s1", Merge.PUSH),
    "delete": DeleteSnapshot(DISK, "s1"),
    "resize": Resize(DISK, 16 * MIB),
    "rename": Rename(DISK, ELSEWHERE),
    "rename a snapshot": RenameSnapshot(DISK, "s1", "other"),
    "activate and deactivate": Activate(DISK),
    "remove": Remove(DISK),
}


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "written by Proxmox VE"])
@pytest.mark.parametrize("operation", INACTIVE)
def test_operation_works_on_an_inactive_volume_and_leaves_it_inactive(
    world: RealWorld, operation: str, ours: bool
) -> None:
    storage, vg, request = world.storage, world.host.vg, INACTIVE[operation]
    if not ours:
        for lv in storage.picture().logical_volumes:
            drop = [word for tag in lv.index_tags for word in ("--deltag", tag)]
            subprocess.run(("lvchange", *drop, f"{vg}/{lv.name}"), check=True, capture_output=True)
    storage.volume(DISK.text).deactivate()
    storage.apply(request)
    if isinstance(request, Activate):
        assert set(active(storage).values()) == {True}
        storage.volume(DISK.text).deactivate()
    assert not any(active(storage).values())
    assert storage.check_activating() == ()
    assert not any(active(storage).values())
    if isinstance(request, Remove):
        return
    name = request.new if isinstance(request, Rename) else DISK
    with world.readable():
        assert storage.check() == ()
        assert reads(storage.volume(name.text).path()) == (operation != "rollback")


def reads(path: Path) -> bool:
    """Whether the current layer shows the last write. All layers below it must be readable for this."""

    def shows(number: int) -> bool:
        argv = ("qemu-io", "-r", "-f", Format.QCOW2.value, "-c", f"read -P {number} {number * 64}k 64k", str(path))
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.returncode == 0 and "failed" not in done.stdout + done.stderr

    assert shows(1)
    assert shows(2)
    return shows(3)
