"""The simulated host and the real host behave the same, so results on the first hold for the second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume
from lvmqcow.core.names import Format, VolumeName, parse_volume_name
from lvmqcow.core.wiping import Wipe
from lvmqcow.errors import LvmqcowError
from lvmqcow.operations import (
    Activate,
    Clone,
    Convert,
    Copy,
    Create,
    Deactivate,
    DeleteSnapshot,
    Flatten,
    Grow,
    Merge,
    Newer,
    Remove,
    Rename,
    RenameSnapshot,
    Request,
    Resize,
    Rollback,
    Snapshot,
    Template,
)
from lvmqcow.testing.content import BLOCK_BYTES, Write
from lvmqcow.testing.simulated.host import SimHost
from lvmqcow.testing.strategies import snapshot_names, volume_names, volume_sizes, writes
from lvmqcow.testing.worlds import RealWorld, SimWorld, World

pytestmark = pytest.mark.lvmqcow_real

SIZE_BYTES = 4 * 1024**2

names = volume_names.map(parse_volume_name)
wipes = st.none() | st.sampled_from(Wipe)
requests: st.SearchStrategy[Request] = st.one_of(
    st.builds(Create, names, volume_sizes),
    st.builds(Snapshot, names, snapshot_names),
    st.builds(Rollback, names, snapshot_names, st.sampled_from(Newer), wipes),
    st.builds(DeleteSnapshot, names, snapshot_names, st.sampled_from([Merge.PULL, Merge.PUSH, Merge.RFC]), wipes),
    st.builds(Resize, names, volume_sizes),
    st.builds(Grow, names, volume_sizes),
    st.builds(Remove, names, wipes),
    st.builds(Rename, names, names),
    st.builds(RenameSnapshot, names, snapshot_names, snapshot_names),
    st.builds(Copy, names, st.none() | snapshot_names, names),
    st.builds(Convert, names, names),
    st.builds(Template, names),
    st.builds(Clone, names, names, st.none() | snapshot_names),
    st.builds(Flatten, names),
    st.builds(Activate, names),
    st.builds(Deactivate, names),
)


@dataclass(frozen=True)
class GuestWrites:
    """Writes of a guest between two requests."""

    writes: Sequence[Write]


def outcome(world: World, request: Request) -> object:
    """The plan that ran, or the class of the error."""
    try:
        return world.storage.apply(request).commands
    except LvmqcowError as error:
        return type(error)


def _readable(world: World, name: VolumeName) -> bool:
    """Whether a guest can open the disk with all its backing images."""
    volume = world.host.observe().volume(name)
    return all(layer.lv.active for layer in volume.reads(volume.current))


def comparable(lv: LogicalVolume) -> LogicalVolume:
    header = replace(lv.header, tables=()) if lv.header else None  # qemu-img decides where they are
    return replace(lv, uuid="", header=header)


def picture(world: World) -> VolumeGroup:
    """The whole volume group with headers, without physical volumes and random identifiers."""
    seen = world.storage.picture()
    lvs = tuple(map(comparable, seen.logical_volumes))
    return replace(seen, uuid="", physical_volumes=(), logical_volumes=lvs)


@settings(max_examples=12, deadline=None)
@given(
    history=st.lists(st.one_of(requests, st.builds(GuestWrites, writes(SIZE_BYTES // BLOCK_BYTES))), max_size=10),
    snapshots=st.lists(snapshot_names, min_size=2, max_size=3, unique=True),
    guest=st.lists(writes(SIZE_BYTES // BLOCK_BYTES), min_size=3, max_size=3),
)
def test_same_requests_give_the_same_volume_group_and_content(
    lvmqcow_world: Callable[[], RealWorld],
    history: list[Request | GuestWrites],
    snapshots: list[str],
    guest: list[list[Write]],
) -> None:
    real = lvmqcow_world()
    empty = real.host.observe()
    sim = SimWorld(SimHost(empty.name, empty.free_bytes, empty.extent_size_bytes))
    name = parse_volume_name("vm-100-disk-0.qcow2")
    begin: list[Request | GuestWrites] = [Create(name, SIZE_BYTES)]
    for snapshot, written in zip(snapshots, guest, strict=False):
        begin += [GuestWrites(written), Snapshot(name, snapshot)]
    for entry in [*begin, *history]:
        if isinstance(entry, GuestWrites):
            current = sim.host.observe().lv(name.text)
            if current and current.writable and _readable(sim, name):
                size_bytes = sim.storage.volume(name.text).info().virtual_size_bytes or 0
                fitting = [write for write in entry.writes if (write.block + write.count) * BLOCK_BYTES <= size_bytes]
                for world in (sim, real):
                    if fitting:
                        world.write(name.text, Format.QCOW2, fitting)
        else:
            assert outcome(sim, entry) == outcome(real, entry), entry
    assert picture(sim) == picture(real)
    with sim.readable(), real.readable():
        for volume in picture(sim).volumes:
            for layer in volume.layers:
                expected = sim.host.read(layer.lv.name)
                assert real.difference(layer.lv.name, volume.name.format, expected) is None
    real.close()
