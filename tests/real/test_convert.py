"""Conversion of real volumes: in both directions, killed in the middle, and recovered by either name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lvmqcow.cli import main
from lvmqcow.core.names import Format, VolumeName, device_path, in_other_format
from lvmqcow.errors import CommandFailed, InUse
from lvmqcow.operations import Convert
from lvmqcow.steps import ImageCopy
from lvmqcow.testing.cases.scenarios import DISK, MIB, RAW
from lvmqcow.testing.content import Content, Write
from lvmqcow.testing.worlds import RealWorld

pytestmark = pytest.mark.lvmqcow_real

SIZE_BYTES = 256 * MIB
WRITES = [Write(0, 256, 7), Write(9000, 40, 8), Write(40000, 20000, 9)]
HOLDS = Content(SIZE_BYTES).written(WRITES)
NAMES = pytest.mark.parametrize("old", [DISK, RAW], ids=["to raw", "to qcow2"])


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    """An empty volume group."""
    made = lvmqcow_world()
    yield made
    made.close()


def filled(world: RealWorld, name: VolumeName) -> None:
    world.storage.create(name.text, SIZE_BYTES)
    world.write(name.text, name.format, WRITES)


def require_only(world: RealWorld, name: VolumeName) -> None:
    """This volume exists with the expected content, and there is no other."""
    picture = world.host.observe()
    assert picture.lv_names == {name.text}
    assert [lv.intent_tags for lv in picture.logical_volumes] == [()]
    with world.readable():
        assert world.difference(name.text, name.format, HOLDS) is None
        assert world.storage.check() == ()


@NAMES
def test_converting_there_and_back_keeps_the_content(world: RealWorld, old: VolumeName) -> None:
    filled(world, old)
    there = world.storage.volume(old.text).convert()
    require_only(world, in_other_format(old))
    there.convert()
    require_only(world, old)


@NAMES
def test_convert_of_an_inactive_volume_leaves_it_inactive(world: RealWorld, old: VolumeName) -> None:
    filled(world, old)
    world.storage.volume(old.text).deactivate()
    world.storage.volume(old.text).convert()
    assert {lv.active for lv in world.host.observe().logical_volumes} == {False}
    require_only(world, in_other_format(old))


@NAMES
def test_convert_cut_after_any_step_is_recovered_by_either_name(world: RealWorld, old: VolumeName) -> None:
    new = in_other_format(old)
    filled(world, old)
    for done in range(len(world.storage.plan(Convert(old, new)).steps) + 1):
        plan = world.storage.plan(Convert(old, new))
        for step in plan.steps[:done]:
            world.host.run(step)
        world.storage.recover((old, new)[done % 2].text)
        finished = done >= plan.commit_point
        require_only(world, new if finished else old)
        if finished:
            world.storage.volume(new.text).remove()
            filled(world, old)
        else:
            world.storage.volume(old.text).activate()


@NAMES
@pytest.mark.parametrize("by", ["old", "new"])
def test_convert_killed_during_its_copy_is_undone_by_either_name(world: RealWorld, old: VolumeName, by: str) -> None:
    filled(world, old)
    new = in_other_format(old)
    argv = ("convert", f"{world.host.vg}/{old}", "--verbose")
    running = subprocess.Popen(
        [sys.executable, "-m", "lvmqcow", *argv], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("+ qemu-img convert"):
            break
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert world.host.observe().lv_names == {old.text, new.text}
    target = f"{world.host.vg}/{old if by == 'old' else new}"
    assert main(("recover", target, "--wait", "60")) == 0  # qemu-img may still run, and then holds the lock
    require_only(world, old)


def test_convert_of_a_volume_in_use_is_refused(world: RealWorld) -> None:
    filled(world, RAW)
    with Path(device_path(world.host.vg, RAW.text)).open("r+b"), pytest.raises(InUse, match=f"process {os.getpid()} "):
        world.storage.volume(RAW.text).convert()
    require_only(world, RAW)


def test_convert_stops_if_the_volume_is_opened_during_the_copy(world: RealWorld) -> None:
    filled(world, RAW)
    plan = world.storage.plan(Convert(RAW, in_other_format(RAW)))
    copied = next(number for number, step in enumerate(plan.steps) if isinstance(step, ImageCopy)) + 1
    for step in plan.steps[:copied]:
        world.host.run(step)
    with Path(device_path(world.host.vg, RAW.text)).open("r+b") as device:
        device.write(b"\x55" * 4096)
        device.flush()
        with pytest.raises(CommandFailed, match="in use"):
            world.host.run(plan.steps[copied])
    assert copied < plan.commit_point
    world.storage.recover()
    assert world.difference(RAW.text, Format.RAW, HOLDS.written([Write(0, 1, 0x55)])) is None
