"""Images full of holes on real volume groups: a merge finds no space where `qemu-img measure` promises some.

A guest writes the clusters of a region in no order, discards half of the region, and writes that half anew in large
requests. QEMU wants contiguous clusters for a large request, and finds none among the freed ones.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lvmqcow.core.names import Format, Layout, device_path, snapshot_lv_name
from lvmqcow.engine.events import Events
from lvmqcow.engine.locks import NoLocks
from lvmqcow.errors import NoSpace, OperationCut
from lvmqcow.lvm.commands import LvmProcesses
from lvmqcow.operations import DeleteSnapshot, Merge
from lvmqcow.steps import LvExtend, Step
from lvmqcow.storage import Storage
from lvmqcow.testing.content import BLOCK_BYTES, Content, Write
from lvmqcow.testing.worlds import RealWorld
from tests.support.scenarios import DISK

pytestmark = pytest.mark.lvmqcow_real

CLUSTER = 128 * 1024
BLOCKS = CLUSTER // BLOCK_BYTES
CLUSTERS = 120
SIZE_BYTES = CLUSTERS * CLUSTER
"""With its metadata it fills whole extents almost to the end."""
HALF = CLUSTERS // 2
MERGES = pytest.mark.parametrize("merge", [Merge.PULL, Merge.PUSH])


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    made = lvmqcow_world()
    yield made
    made.close()


def scattered(clusters: range, byte: int) -> list[Write]:
    """Each cluster by itself, in no order."""
    return [Write(number * BLOCKS, BLOCKS, byte) for number in random.Random(0).sample(clusters, len(clusters))]


def in_one(clusters: range, byte: int) -> list[Write]:
    return [Write(clusters.start * BLOCKS, len(clusters) * BLOCKS, byte)]


def discard(world: RealWorld, clusters: range) -> list[Write]:
    """The guest does not need these any more; they read as zeros."""
    command = f"discard {clusters.start * CLUSTER} {len(clusters) * CLUSTER}"
    argv = ("qemu-io", "-d", "unmap", "-f", "qcow2", "-c", command, device_path(world.host.vg, DISK.text))
    assert "discard" in subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return [Write(clusters.start * BLOCKS, len(clusters) * BLOCKS, 0)]


def full_of_holes(world: RealWorld, merge: Merge) -> dict[str, Content]:
    """A disk with a snapshot s1 whose merge needs more room than `measure` says; what current and s1 hold, by LV."""
    volume, content = world.storage.create(DISK.text, SIZE_BYTES), Content(SIZE_BYTES)

    def write(writes: list[Write]) -> None:
        nonlocal content
        world.write(DISK.text, Format.QCOW2, writes)
        content = content.written(writes)

    if merge is Merge.PUSH:  # into s1, whose holes are
        write(scattered(range(CLUSTERS), 1))
        content = content.written(discard(world, range(HALF)))
        volume.snapshot("s1")
        frozen = content
        write(in_one(range(CLUSTERS), 2))
    else:  # out of s1, into the holes of the current image
        write(in_one(range(CLUSTERS), 1))
        volume.snapshot("s1")
        frozen = content
        write(scattered(range(HALF), 2))
        content = content.written(discard(world, range(HALF // 2)))
        write(in_one(range(HALF // 2), 3))
    return {DISK.text: content, snapshot_lv_name(DISK, "s1", Layout.RFC): frozen}


def require_holds(world: RealWorld, content: Content) -> None:
    assert world.difference(DISK.text, Format.QCOW2, content) is None
    assert world.storage.check() == ()
    assert {lv.name for lv in world.host.observe().logical_volumes} - {"other"} == {DISK.text}


@MERGES
def test_a_merge_into_an_image_full_of_holes_extends_its_lv_and_goes_on(world: RealWorld, merge: Merge) -> None:
    holds = full_of_holes(world, merge)
    ran: list[Step] = []
    Storage(world.host, NoLocks(), Events(begun=ran.append)).apply(DeleteSnapshot(DISK, "s1", merge))
    assert any(isinstance(step, LvExtend) for step in ran), "there was space, so this test has shown nothing"
    require_holds(world, holds[DISK.text])


@MERGES
def test_in_a_full_volume_group_it_stops_guests_go_on_and_so_does_it_once_there_is_room(
    world: RealWorld, merge: Merge
) -> None:
    content = full_of_holes(world, merge)[DISK.text]
    LvmProcesses().change(("lvcreate", "--yes", "--extents", "100%FREE", "--name", "other", world.host.vg))
    volume = world.storage.volume(DISK.text)
    for attempt in (lambda: volume.delete_snapshot("s1", merge), volume.recover):
        with pytest.raises(OperationCut) as cut:
            attempt()
        assert isinstance(cut.value.cause, NoSpace)
        assert world.difference(DISK.text, Format.QCOW2, content) is None
    volume.deactivate()
    volume.activate()
    assert volume.path() == Path(device_path(world.host.vg, DISK.text))
    written = [Write(3, 2, 9)]
    world.write(DISK.text, Format.QCOW2, written)
    LvmProcesses().change(("lvremove", "--yes", f"{world.host.vg}/other"))
    (recovered,) = volume.recover()
    assert recovered.operation == "finish delete-snapshot"
    require_holds(world, content.written(written))


def test_a_guest_that_finds_no_space_loses_nothing_and_goes_on_once_its_lv_is_larger(world: RealWorld) -> None:
    """As QEMU does with ``werror=stop``: its request is tried again."""
    world.storage.create(DISK.text, SIZE_BYTES)
    content, rest = Content(SIZE_BYTES), [*in_one(range(HALF // 2), 3), *in_one(range(HALF, CLUSTERS), 4)]
    fill = scattered(range(HALF), 2)
    world.write(DISK.text, Format.QCOW2, fill)
    content = content.written(fill).written(discard(world, range(HALF // 2)))
    with pytest.raises(AssertionError, match="No space left on device"):
        world.write(DISK.text, Format.QCOW2, rest)
    assert [finding.text for finding in world.storage.check()] == []
    LvmProcesses().change(("lvextend", "--size", "+16M", f"{world.host.vg}/{DISK.text}"))
    world.write(DISK.text, Format.QCOW2, rest)
    require_holds(world, content.written(rest))
