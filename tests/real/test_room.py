"""Fragmented images on real volume groups: a merge runs out of space although `qemu-img measure` says it fits.

A guest writes the clusters of a region in random order, discards half of the region, and writes this half again in
large requests. QEMU wants contiguous clusters for a large request, and finds none among the freed ones.
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
from lvmqcow.testing.cases.scenarios import DISK
from lvmqcow.testing.content import BLOCK_BYTES, Content, Write
from lvmqcow.testing.worlds import RealWorld

pytestmark = pytest.mark.lvmqcow_real

CLUSTER = 128 * 1024
BLOCKS = CLUSTER // BLOCK_BYTES
CLUSTERS = 120
SIZE_BYTES = CLUSTERS * CLUSTER
"""With its metadata, the image almost fills its last extent."""
HALF = CLUSTERS // 2
MERGES = pytest.mark.parametrize("merge", [Merge.PULL, Merge.PUSH])


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    made = lvmqcow_world()
    yield made
    made.close()


def scattered(clusters: range, byte: int) -> list[Write]:
    """One write for each cluster, in random order."""
    return [Write(number * BLOCKS, BLOCKS, byte) for number in random.Random(0).sample(clusters, len(clusters))]


def in_one(clusters: range, byte: int) -> list[Write]:
    return [Write(clusters.start * BLOCKS, len(clusters) * BLOCKS, byte)]


def discard(world: RealWorld, clusters: range) -> list[Write]:
    """Discard these clusters as a guest. They read as zeros afterwards."""
    command = f"discard {clusters.start * CLUSTER} {len(clusters) * CLUSTER}"
    argv = ("qemu-io", "-d", "unmap", "-f", "qcow2", "-c", command, device_path(world.host.vg, DISK.text))
    assert "discard" in subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return [Write(clusters.start * BLOCKS, len(clusters) * BLOCKS, 0)]


def full_of_holes(world: RealWorld, merge: Merge) -> dict[str, Content]:
    """A disk with a snapshot whose merge needs more space than `measure` says. Return the content of each LV."""
    volume, content = world.storage.create(DISK.text, SIZE_BYTES), Content(SIZE_BYTES)

    def write(writes: list[Write]) -> None:
        nonlocal content
        world.write(DISK.text, Format.QCOW2, writes)
        content = content.written(writes)

    if merge is Merge.PUSH:  # into s1, so the holes are in s1
        write(scattered(range(CLUSTERS), 1))
        content = content.written(discard(world, range(HALF)))
        volume.snapshot("s1")
        frozen = content
        write(in_one(range(CLUSTERS), 2))
    else:  # from s1 into the current image, so the holes are there
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
def test_merge_into_a_fragmented_image_extends_its_lv(world: RealWorld, merge: Merge) -> None:
    holds = full_of_holes(world, merge)
    ran: list[Step] = []
    Storage(world.host, NoLocks(), Events(begun=ran.append)).apply(DeleteSnapshot(DISK, "s1", merge))
    assert any(isinstance(step, LvExtend) for step in ran), "there was space, so this test has shown nothing"
    require_holds(world, holds[DISK.text])


@MERGES
def test_full_vg_postpones_merge_and_volume_stays_usable(world: RealWorld, merge: Merge) -> None:
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


def test_guest_without_space_continues_after_its_lv_is_extended(world: RealWorld) -> None:
    """QEMU with ``werror=stop`` repeats the failed request."""
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
