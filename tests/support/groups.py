"""Simulated volume groups in every state that `lvmqcow.core.fitness` knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lvmqcow.core.fitness import State
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.physical import PhysicalVolume, Segment
from lvmqcow.testing.cases.scenarios import MIB
from lvmqcow.testing.simulated.host import SimHost

UUID = "6EzzVE-wi3m-J86l-o8gW-O2B3-2Xsr-lY7Y3a"
ROOMY = PhysicalVolume(UUID, "/dev/sda", (Segment(0, 10_000),), needed_bytes=40_000 * MIB, device_bytes=40_001 * MIB)
"""A physical volume that nothing is wrong with, with room for whatever the simulated group has."""

_MAKE: dict[State, Callable[[VolumeGroup], VolumeGroup]] = {
    State.EXPORTED: lambda vg: replace(vg, exported=True),
    State.ANOTHER_HOST: lambda vg: replace(vg, owner="node7"),
    State.SHARED: lambda vg: replace(vg, lock_type="sanlock"),
    State.READ_ONLY: lambda vg: replace(vg, read_only=True),
    State.DUPLICATE: lambda vg: replace(vg, physical_volumes=(replace(ROOMY, duplicates=("/dev/sdb",)),)),
    State.READ_ONLY_DEVICE: lambda vg: replace(vg, physical_volumes=(replace(ROOMY, read_only=True),)),
    State.DEVICE_TOO_SMALL: lambda vg: replace(vg, physical_volumes=(replace(ROOMY, device_bytes=MIB),)),
    State.OLD_METADATA: lambda vg: replace(vg, physical_volumes=(replace(ROOMY, outdated=True),)),
    State.NOT_ALLOCATABLE: lambda vg: replace(
        vg,
        physical_volumes=(
            ROOMY,
            PhysicalVolume("spare", "/dev/sdc", (Segment(0, 7),), needed_bytes=1, device_bytes=1, allocatable=False),
        ),
    ),
    State.LV_LIMIT: lambda vg: replace(vg, max_logical_volumes=1),
    State.ALLOCATION: lambda vg: replace(vg, allocation_policy="contiguous"),
}


def in_state(host: SimHost, state: State) -> SimHost:
    """A copy of the host whose volume group is in that state."""
    made = host.copy()
    if state is State.MISSING:
        made.lose_physical_volume(next(iter(sorted(made.observe().lv_names))))
    else:
        made.regroup(_MAKE[state])
    return made
