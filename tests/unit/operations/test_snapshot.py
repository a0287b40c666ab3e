"""Creation of snapshots."""

from __future__ import annotations

import pytest

from lvmqcow.core.names import VolumeName
from lvmqcow.errors import AlreadyExists, Corrupt, InvalidName, LvmqcowError, NoSpace, NotPossible, VolumeNotFound
from lvmqcow.operations import Snapshot
from lvmqcow.steps import LvCreate, LvRemove, QcowRelink
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    RAW,
    chain,
    commands,
    foreign,
    grown,
    inactive,
    planned,
    raw_volume,
    refused,
    run,
)
from lvmqcow.testing.simulated.host import SimHost

FROZEN = "snap-s2-vm-100-disk-0.qcow2"
LVCREATE = (
    "lvcreate --yes --wipesignatures y --zero y --setautoactivation n --addtag pve-vm-100 "
    "--addtag pve-vm-100-disk-0.qcow2 --addtag lvmqcow.size={size} "
    f"--addtag lvmqcow.parent={FROZEN} "
    "--size {lv_size}b --name new-vm-100-disk-0.qcow2 sim"
)
FORMAT = (
    f"qemu-img create -q -f qcow2 -o cluster_size=128k,extended_l2=on -u -b {FROZEN} -F qcow2 "
    "/dev/sim/new-vm-100-disk-0.qcow2 {size}"
)
RENAMES = [f"lvrename sim vm-100-disk-0.qcow2 {FROZEN}", "lvrename sim new-vm-100-disk-0.qcow2 vm-100-disk-0.qcow2"]
USUAL = [LVCREATE.format(size=4 * MIB, lv_size=8 * MIB), FORMAT.format(size=4 * MIB), *RENAMES]


def test_snapshot_completes_the_overlay_before_any_rename() -> None:
    plan = planned(chain(1), Snapshot(DISK, "s2"))
    assert commands(plan) == USUAL
    assert (plan.operation, plan.commit_point) == ("snapshot", 3)


def test_snapshot_of_an_inactive_volume_leaves_it_inactive() -> None:
    plan = planned(inactive(chain(1)), Snapshot(DISK, "s2"))
    assert commands(plan) == [*USUAL, "lvchange --activate n sim/vm-100-disk-0.qcow2"]
    assert plan.commit_point == 3


def test_snapshot_first_indexes_a_layer_written_by_proxmox_ve() -> None:
    plan = planned(foreign(chain(1)), Snapshot(DISK, "s2"))
    index = "--addtag lvmqcow.size=4194304 --addtag lvmqcow.parent=snap-s1-vm-100-disk-0.qcow2"
    assert commands(plan) == [f"lvchange {index} sim/vm-100-disk-0.qcow2", *USUAL]
    assert plan.commit_point == 4


def test_new_overlay_has_the_current_size_of_the_volume() -> None:
    plan = planned(grown(1), Snapshot(DISK, "s2"))
    sizes = {"size": 64 * MIB, "lv_size": 68 * MIB}
    assert commands(plan)[:2] == [LVCREATE.format(**sizes), FORMAT.format(**sizes)]


@pytest.mark.parametrize(
    ("host", "name", "snapshot", "error"),
    [
        (chain(0, name=NEIGHBOUR), DISK, "s1", VolumeNotFound),
        (raw_volume(), RAW, "s1", NotPossible),
        (chain(1), DISK, "s1", AlreadyExists),
        (chain(1), DISK, "current", InvalidName),
        (chain(1), DISK, "s-vm-100", InvalidName),
        (chain(1), DISK, "s" * 90, InvalidName),
        (run(chain(1), LvCreate(FROZEN, MIB, ())), DISK, "s2", AlreadyExists),
        (run(chain(1), LvCreate("new-vm-100-disk-0.qcow2", MIB, ())), DISK, "s2", AlreadyExists),
        (chain(1, SimHost(size_bytes=20 * MIB)), DISK, "s2", NoSpace),
        (run(chain(2), LvRemove(("snap-s1-vm-100-disk-0.qcow2",))), DISK, "s3", Corrupt),
        (run(chain(2), QcowRelink(DISK.text, "snap-s1-vm-100-disk-0.qcow2")), DISK, "s3", Corrupt),
        (run(chain(1), LvRemove((DISK.text,))), DISK, "s2", Corrupt),
    ],
    ids=[
        *("no volume", "raw", "taken", "reserved", "two ways", "too long", "a foreign LV has its name"),
        *("a foreign LV has the new name", "no space", "a layer is missing", "header and tags differ", "no current LV"),
    ],
)
def test_impossible_snapshot_is_refused_before_any_change(
    host: SimHost, name: VolumeName, snapshot: str, error: type[LvmqcowError]
) -> None:
    assert isinstance(refused(host, Snapshot(name, snapshot)), error)


def test_snapshot_can_use_the_last_free_extent() -> None:
    host = chain(1, SimHost(size_bytes=24 * MIB))
    assert run(host, *planned(host, Snapshot(DISK, "s2")).steps).observe().free_extents == 0
