"""Renaming on real volume groups: every snapshot keeps its content, and other volume groups are unaffected."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lvmqcow.core.names import Format, parse_volume_name
from lvmqcow.lvm import loopvg
from lvmqcow.operations import Rename
from lvmqcow.storage import Storage
from lvmqcow.testing.cases.scenarios import DISK, MIB, NEIGHBOUR, RAW
from lvmqcow.testing.content import Content, Write
from lvmqcow.testing.worlds import RealWorld

pytestmark = pytest.mark.lvmqcow_real

NEW = parse_volume_name("vm-200-disk-7.qcow2")


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    """An empty volume group."""
    made = lvmqcow_world()
    yield made
    made.close()


def filled(world: RealWorld) -> dict[str | None, Content]:
    """A disk with three snapshots. Return the content of each, and of the current layer under None."""
    volume, holds, content = world.storage.create(DISK.text, 4 * MIB), {}, Content(4 * MIB)
    for number in range(4):
        drawn = [Write(0, 1, number + 1), Write(40 + number, 3, 0x60 + number)]
        world.write(DISK.text, Format.QCOW2, drawn)
        content = content.written(drawn)
        holds[f"s{number + 1}" if number < 3 else None] = content
        if number < 3:
            volume.snapshot(f"s{number + 1}")
    return holds


@pytest.mark.parametrize("was_active", [True, False])
def test_rename_to_another_guest_keeps_every_snapshot(world: RealWorld, was_active: bool) -> None:
    holds = filled(world)
    volume = world.storage.volume(DISK.text)
    if not was_active:
        volume.deactivate()
    renamed = volume.rename(NEW.text)
    assert renamed.info().snapshots == ("s1", "s2", "s3")
    lvs = {f"snap-{snapshot}-{NEW}" if snapshot else NEW.text: content for snapshot, content in holds.items()}
    picture = world.storage.picture()
    assert picture.lv_names == set(lvs)
    for lv in picture.logical_volumes:
        assert lv.active == was_active
        assert {tag for tag in lv.tags if tag.startswith("pve-")} == {"pve-vm-200", f"pve-{NEW}"}
        assert not [tag for tag in lv.tags if DISK.text in tag]
    with world.readable():
        for lv_name, content in lvs.items():
            assert world.difference(lv_name, Format.QCOW2, content) is None
        assert world.storage.check() == ()
    assert world.leftovers() == ()
    for snapshot in ("s2", "s1", "s3"):
        renamed.delete_snapshot(snapshot)
    with world.readable():
        assert world.difference(NEW.text, Format.QCOW2, holds[None]) is None


def test_rename_works_for_raw_and_does_not_affect_another_vg(world: RealWorld, tmp_path: Path) -> None:
    name = f"twin-{os.getpid()}"
    loopvg.create(name, 96 * MIB, tmp_path / "pv.img")
    try:
        with Storage.open(name) as twin:
            for storage in (world.storage, twin):
                storage.create(DISK.text, 4 * MIB).snapshot("s1")
                storage.create(NEIGHBOUR.text, 4 * MIB)
                storage.create(RAW.text, 4 * MIB)
            world.write(RAW.text, Format.RAW, [Write(3, 2, 7)])
            before, beside = twin.picture(), world.storage.picture().lv(NEIGHBOUR.text)
            world.storage.volume(DISK.text).rename(NEW.text)
            world.storage.volume(RAW.text).rename("vm-7-x")
            assert twin.picture() == before
            assert world.storage.picture().lv(NEIGHBOUR.text) == beside
            assert world.difference("vm-7-x", Format.RAW, Content(4 * MIB, {3: 7, 4: 7})) is None
    finally:
        loopvg.destroy(name)


@pytest.mark.parametrize("done", [2, 5, 9, 11])
def test_rename_cut_between_its_commands_is_finished(world: RealWorld, done: int) -> None:
    holds = filled(world)
    for step in world.storage.plan(Rename(DISK, NEW)).steps[:done]:
        world.host.run(step)
    (ran,) = world.storage.recover()
    assert ran.operation == "finish rename"
    assert world.storage.check() == ()
    for snapshot, content in holds.items():
        lv_name = f"snap-{snapshot}-{NEW}" if snapshot else NEW.text
        assert world.difference(lv_name, Format.QCOW2, content) is None


def test_rename_updates_the_backing_names_in_the_headers(world: RealWorld) -> None:
    filled(world)
    world.storage.volume(DISK.text).rename(NEW.text)
    argv = ("qemu-img", "info", "-f", "qcow2", "--backing-chain", str(world.storage.volume(NEW.text).path()))
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    assert DISK.text not in said
    assert [f"backing file: snap-s{number}-{NEW}" in said for number in (1, 2, 3)] == [True] * 3
