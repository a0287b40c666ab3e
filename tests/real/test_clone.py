"""Templates and linked clones on a real volume group, with content compared and permissions tested."""

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
from lvmqcow.testing.cases.scenarios import DISK, MIB, NEIGHBOUR
from lvmqcow.testing.content import Content, Write
from lvmqcow.testing.worlds import RealWorld
from lvmqcow.volume import Volume

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
    """A volume with a snapshot s1, and the content of the snapshot and of the volume."""
    volume = world.storage.create(NEIGHBOUR.text, 4 * MIB)
    frozen = wrote(world, NEIGHBOUR.text, Content(4 * MIB), [Write(0, 40, 1), Write(60, 1, 2)])
    volume.snapshot("s1")
    return volume, frozen, wrote(world, NEIGHBOUR.text, frozen, [Write(0, 1, 3), Write(60, 1, 0)])


def wrote(world: RealWorld, lv: str, content: Content, writes: list[Write]) -> Content:
    """Write as a guest. Return the new content."""
    world.write(lv, Format.QCOW2, writes)
    return content.written(writes)


def scribble(volume: Volume) -> None:
    """Write to the device directly. The kernel refuses this for a read-only LV, at open or at write."""
    device = os.open(volume.path(), os.O_RDWR)
    try:
        os.pwrite(device, bytes(512), 0)
    finally:
        os.close(device)


def require(world: RealWorld, holds: dict[str, Content]) -> None:
    """These LVs have this content, and nothing is wrong or left over."""
    with world.readable():
        for lv_name, content in holds.items():
            assert world.difference(lv_name, Format.QCOW2, content) is None
        assert world.storage.check() == ()
    assert world.leftovers() == ()


def test_clone_is_independent_and_can_be_flattened(world: RealWorld) -> None:
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


def test_template_refuses_writes_and_has_many_clones(world: RealWorld) -> None:
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
def test_inactive_clone_can_delete_snapshots_and_leaves_base_active(world: RealWorld, merge: Merge) -> None:
    base, frozen, current = neighbour(world)
    base.template()
    clone, held = base.clone(DISK.text), current
    for number in range(3):
        held = wrote(world, DISK.text, held, [Write(20 + number, 5, number + 1)])
        clone.snapshot(f"c{number}")
    clone.deactivate()
    base.deactivate()
    for snapshot in ("c0", "c2"):  # the layer directly above the base, and the layer below the current one
        clone.delete_snapshot(snapshot, merge)
    active = {lv.name for lv in world.host.observe().logical_volumes if lv.active}
    assert active == {NEIGHBOUR.text, BASE}
    require(world, {DISK.text: held, NEIGHBOUR.text: current, BASE: frozen})


@pytest.mark.parametrize("with_snapshot", [True, False])
def test_flatten_cut_after_any_command_is_finished(world: RealWorld, with_snapshot: bool) -> None:
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


def test_inactive_volume_can_become_a_template_and_be_wiped(world: RealWorld) -> None:
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


def test_renamed_template_with_snapshots_stays_read_only(world: RealWorld) -> None:
    base, frozen, current = neighbour(world)
    base.template()
    renamed = base.rename(THIRD.text)
    with pytest.raises(PermissionError):
        scribble(renamed)
    require(world, {THIRD.text: current, snapshot_lv_name(THIRD, "s1", Layout.RFC): frozen})


def test_layer_with_several_children_is_never_merged(world: RealWorld) -> None:
    base, frozen, _ = neighbour(world)
    base.clone(DISK.text, "s1")
    base.clone(THIRD.text, "s1")
    for merge in (Merge.PULL, Merge.PUSH):
        with pytest.raises(SnapshotHasChildren) as refused:
            base.delete_snapshot("s1", merge)
        assert refused.value.children == (DISK.text, THIRD.text)
    require(world, {BASE: frozen, DISK.text: frozen, THIRD.text: frozen})
