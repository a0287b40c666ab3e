"""Templates and linked clones on a real volume group: contents by qemu-img compare, permissions by the kernel."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from lvmqcow.core.names import Format, Layout, parse_volume_name, snapshot_lv_name
from lvmqcow.core.wiping import Wipe
from lvmqcow.errors import InUse, NotPossible, SnapshotHasChildren
from lvmqcow.operations import (
    DeleteSnapshot,
    Flatten,
    Merge,
    Newer,
    Remove,
    Rename,
    Resize,
    Rollback,
    Snapshot,
)
from lvmqcow.testing.content import Content, Write
from lvmqcow.testing.worlds import RealWorld
from lvmqcow.volume import Volume
from tests.support.scenarios import DISK, MIB, NEIGHBOUR

pytestmark = pytest.mark.lvmqcow_real

THIRD = parse_volume_name("vm-300-disk-0.qcow2")
BASE = snapshot_lv_name(NEIGHBOUR, "s1", Layout.RFC)


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    """An empty volume group."""
    made = lvmqcow_world()
    yield made
    made.close()


def neighbour(world: RealWorld) -> tuple[Volume, Content, Content]:
    """A volume with a snapshot s1; what that and the volume itself hold."""
    volume = world.storage.create(NEIGHBOUR.text, 4 * MIB)
    frozen = wrote(world, NEIGHBOUR.text, Content(4 * MIB), [Write(0, 40, 1), Write(60, 1, 2)])
    volume.snapshot("s1")
    return volume, frozen, wrote(world, NEIGHBOUR.text, frozen, [Write(0, 1, 3), Write(60, 1, 0)])


def wrote(world: RealWorld, lv: str, content: Content, writes: list[Write]) -> Content:
    """A guest writes; what is there then."""
    world.write(lv, Format.QCOW2, writes)
    return content.written(writes)


def scribble(volume: Volume) -> None:
    """Write to the device itself; the kernel refuses that where the LV is read-only, at the open or at the write."""
    device = os.open(volume.path(), os.O_RDWR)
    try:
        os.pwrite(device, bytes(512), 0)
    finally:
        os.close(device)


def require(world: RealWorld, holds: dict[str, Content]) -> None:
    """These LVs hold that, and nothing is wrong or left over."""
    with world.readable():
        for lv_name, content in holds.items():
            assert world.difference(lv_name, Format.QCOW2, content) is None
        assert world.storage.check() == ()
    assert world.leftovers() == ()


def test_a_clone_lives_its_own_life_until_it_is_flattened(world: RealWorld) -> None:
    base, frozen, current = neighbour(world)
    clone = base.clone(DISK.text, "s1")
    assert clone.info().base == f"{NEIGHBOUR}@s1"
    first = wrote(world, DISK.text, frozen, [Write(1, 2, 7), Write(100, 1, 8)])
    clone.snapshot("own")
    second = wrote(world, DISK.text, first, [Write(1, 1, 9), Write(3, 1, 0)])
    own = snapshot_lv_name(DISK, "own", Layout.RFC)
    holds = {BASE: frozen, NEIGHBOUR.text: current, own: first, DISK.text: second}
    require(world, holds)
    for asked in (Remove(NEIGHBOUR), Rename(NEIGHBOUR, THIRD), DeleteSnapshot(NEIGHBOUR, "s1")):
        with pytest.raises(NotPossible, match=DISK.text):
            world.storage.apply(asked)
    base.snapshot("s2")
    base.rollback("s1", Newer.KEEP)
    base.delete_snapshot("s2")
    holds[NEIGHBOUR.text] = frozen
    clone.flatten()
    require(world, holds)
    base.remove()
    require(world, {own: first, DISK.text: second})
    argv = ("qemu-img", "info", "-f", "qcow2", "--backing-chain", str(clone.path()))
    assert NEIGHBOUR.text not in subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def test_a_template_refuses_a_writer_and_serves_many_clones(world: RealWorld) -> None:
    base, frozen, current = neighbour(world)
    held = os.open(base.path(), os.O_RDWR)
    with pytest.raises(InUse):
        base.template()
    os.close(held)
    base.template()
    with pytest.raises(PermissionError):
        scribble(base)
    with pytest.raises(AssertionError):
        world.write(NEIGHBOUR.text, Format.QCOW2, [Write(0, 1, 0x99)])
    holds = {BASE: frozen, NEIGHBOUR.text: current}
    for number, name in enumerate((DISK.text, THIRD.text)):
        base.clone(name)
        holds[name] = wrote(world, name, current, [Write(10 + number, 3, 0x40 + number)])
    require(world, holds)
    base.deactivate()
    base.activate()
    with pytest.raises(PermissionError):
        scribble(base)
    for asked in (Snapshot(NEIGHBOUR, "x"), Rollback(NEIGHBOUR, "s1"), Resize(NEIGHBOUR, 8 * MIB), Remove(NEIGHBOUR)):
        with pytest.raises(NotPossible):
            world.storage.apply(asked)
    require(world, holds)


@pytest.mark.parametrize("merge", [Merge.PULL, Merge.PUSH])
def test_snapshots_of_an_inactive_clone_come_and_go_and_its_base_is_active_after(
    world: RealWorld, merge: Merge
) -> None:
    base, frozen, current = neighbour(world)
    base.template()
    clone, held = base.clone(DISK.text), current
    for number in range(3):
        held = wrote(world, DISK.text, held, [Write(20 + number, 5, number + 1)])
        clone.snapshot(f"c{number}")
    clone.deactivate()
    base.deactivate()
    for snapshot in ("c0", "c2"):  # what reads through the base itself, and what the current layer reads through
        clone.delete_snapshot(snapshot, merge)
    active = {lv.name for lv in world.host.observe().logical_volumes if lv.active}
    assert active == {NEIGHBOUR.text, BASE}
    require(world, {DISK.text: held, NEIGHBOUR.text: current, BASE: frozen})


@pytest.mark.parametrize("with_snapshot", [True, False])
def test_a_flatten_cut_after_any_of_its_commands_is_finished(world: RealWorld, with_snapshot: bool) -> None:
    base, frozen, current = neighbour(world)
    done, steps = 0, 1
    while done <= steps:
        clone = base.clone(DISK.text, "s1")
        first = wrote(world, DISK.text, frozen, [Write(1, 2, 7)])
        if with_snapshot:
            clone.snapshot("own")
        clone.deactivate()
        plan = world.storage.plan(Flatten(DISK))
        steps = len(plan.steps)
        for step in plan.steps[:done]:
            world.host.run(step)
        world.storage.recover()
        assert (clone.info().base is None) == (done >= plan.commit_point)
        require(world, {BASE: frozen, NEIGHBOUR.text: current, DISK.text: first})
        clone.remove()
        done += 1


def test_what_is_not_active_can_be_made_a_template_and_be_wiped_after(world: RealWorld) -> None:
    base, frozen, current = neighbour(world)
    base.deactivate()
    assert {lv.writable for lv in world.host.observe().logical_volumes} == {True}
    base.template()
    assert [lv.name for lv in world.host.observe().logical_volumes if not lv.writable] == [NEIGHBOUR.text]
    base.activate()
    with pytest.raises(PermissionError):
        scribble(base)
    require(world, {BASE: frozen, NEIGHBOUR.text: current})
    base.deactivate()
    base.remove(Wipe.ZERO)
    assert world.host.observe().logical_volumes == ()


def test_a_template_with_snapshots_is_renamed_and_stays_read_only(world: RealWorld) -> None:
    base, frozen, current = neighbour(world)
    base.template()
    renamed = base.rename(THIRD.text)
    with pytest.raises(PermissionError):
        scribble(renamed)
    require(world, {THIRD.text: current, snapshot_lv_name(THIRD, "s1", Layout.RFC): frozen})


def test_a_layer_with_several_children_is_never_merged(world: RealWorld) -> None:
    base, frozen, _ = neighbour(world)
    base.clone(DISK.text, "s1")
    base.clone(THIRD.text, "s1")
    for merge in (Merge.PULL, Merge.PUSH):
        with pytest.raises(SnapshotHasChildren) as refused:
            base.delete_snapshot("s1", merge)
        assert refused.value.children == (DISK.text, THIRD.text)
    require(world, {BASE: frozen, DISK.text: frozen, THIRD.text: frozen})
