"""Branches on real volume groups: rollback and deletion keep the content of every other snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lvmqcow.core.names import Format
from lvmqcow.errors import NewerSnapshots, SnapshotHasChildren
from lvmqcow.operations import Merge, Newer, Rollback
from lvmqcow.testing.cases.scenarios import DISK, MIB
from lvmqcow.testing.content import Content, Write
from lvmqcow.testing.worlds import RealWorld

pytestmark = pytest.mark.lvmqcow_real


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    """An empty volume group."""
    made = lvmqcow_world()
    yield made
    made.close()


def branched(world: RealWorld) -> dict[str | None, Content]:
    """s1 has two branches, s2 s3 and b1 b2. The current layer is over s3. Return the content of each."""
    volume, content = world.storage.create(DISK.text, 4 * MIB), Content(4 * MIB)
    holds: dict[str | None, Content] = {}
    for number, snapshot in enumerate(("s1", "b1", "b2", "s2", "s3", None)):
        if snapshot == "s2":
            volume.rollback("s1", Newer.KEEP)
            content = holds["s1"]
        drawn = [Write(0, 1, number + 1), Write(40 + number, 3, 0x60 + number), Write(39 + number, 1, 0)]
        world.write(DISK.text, Format.QCOW2, drawn)
        content = content.written(drawn)
        holds[snapshot] = content
        if snapshot:
            volume.snapshot(snapshot)
    return holds


def require(world: RealWorld, holds: dict[str | None, Content]) -> None:
    """Exactly these snapshots exist, with this content and with sound images."""
    lvs = {f"snap-{snapshot}-{DISK}" if snapshot else DISK.text: content for snapshot, content in holds.items()}
    assert world.storage.picture().lv_names == set(lvs)
    with world.readable():
        for lv_name, content in lvs.items():
            assert world.difference(lv_name, Format.QCOW2, content) is None
        assert world.storage.check() == ()
    assert world.leftovers() == ()


@pytest.mark.parametrize("was_active", [True, False])
def test_rollback_to_any_snapshot_can_keep_all_others(world: RealWorld, was_active: bool) -> None:
    holds = branched(world)
    volume = world.storage.volume(DISK.text)
    if not was_active:
        volume.deactivate()
    for snapshot in ("b2", "s1", "s3", "b1"):
        volume.rollback(snapshot, Newer.KEEP)
        require(world, {**holds, None: holds[snapshot]})
    assert {lv.active for lv in world.host.observe().logical_volumes} == {was_active}


def test_discard_removes_newer_snapshots_of_one_branch_only(world: RealWorld) -> None:
    holds = branched(world)
    volume = world.storage.volume(DISK.text)
    with pytest.raises(NewerSnapshots) as refused:
        volume.rollback("s1")
    assert refused.value.blockers == ("s2", "s3")
    del holds["s3"]
    volume.rollback("s2", Newer.DISCARD)
    require(world, {**holds, None: holds["s2"]})
    volume.rollback("b2", Newer.KEEP)
    del holds["b2"]
    volume.rollback("b1", Newer.DISCARD)
    require(world, {**holds, None: holds["b1"]})


@pytest.mark.parametrize("merge", [Merge.PULL, Merge.PUSH])
@pytest.mark.parametrize("was_active", [True, False])
def test_every_snapshot_on_every_branch_can_be_deleted(world: RealWorld, merge: Merge, was_active: bool) -> None:
    holds = branched(world)
    volume = world.storage.volume(DISK.text)
    if not was_active:
        volume.deactivate()
    with pytest.raises(SnapshotHasChildren):
        volume.delete_snapshot("s1", merge)
    for snapshot in ("b1", "s3", "b2", "s1", "s2"):  # on a branch, below the current layer, a tip, a base, the last one
        volume.delete_snapshot(snapshot, merge)
        del holds[snapshot]
        require(world, holds)


@pytest.mark.parametrize(
    "asked",
    [Rollback(DISK, "s1", Newer.KEEP), Rollback(DISK, "s2", Newer.DISCARD), Rollback(DISK, "b2", Newer.KEEP)],
    ids=["keep", "discard", "another branch"],
)
def test_rollback_cut_after_any_command_is_finished_or_undone(world: RealWorld, asked: Rollback) -> None:
    holds = branched(world)
    plan = world.storage.plan(asked)
    for done in range(len(plan.steps) + 1):
        world.close()
        holds = branched(world)
        for step in world.storage.plan(asked).steps[:done]:
            world.host.run(step)
        world.storage.recover()
        if done >= plan.commit_point:
            holds[None] = holds[asked.snapshot]
            if asked.newer is Newer.DISCARD:
                del holds["s3"]
        require(world, holds)


def test_rollback_to_a_larger_snapshot_extends_the_lv(world: RealWorld) -> None:
    volume = world.storage.create(DISK.text, 4 * MIB)
    volume.snapshot("s1")
    volume.resize(32 * MIB)
    volume.snapshot("large")
    volume.rollback("s1", Newer.KEEP)
    volume.snapshot("s2")  # the current LV is small from here on
    volume.rollback("large", Newer.KEEP)
    drawn = [Write(0, 32 * MIB // 4096, 0x5A)]
    world.write(DISK.text, Format.QCOW2, drawn)
    large = Content(32 * MIB)
    require(world, {"s1": Content(4 * MIB), "s2": Content(4 * MIB), "large": large, None: large.written(drawn)})
