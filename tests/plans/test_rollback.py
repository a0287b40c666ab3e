from __future__ import annotations

import pytest

from lvmqcow.errors import Corrupt, LvmqcowError, NewerSnapshots, NotPossible, SnapshotNotFound, VolumeNotFound
from lvmqcow.names import VolumeName
from lvmqcow.requests import Rollback
from lvmqcow.steps import LvRemove, QcowRelink
from lvmqcow.testing.sim import SimHost
from tests.volumes import (
    DISK,
    NEIGHBOUR,
    RAW,
    beside,
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

S1, S2 = "snap-s1-vm-100-disk-0.qcow2", "snap-s2-vm-100-disk-0.qcow2"
INTENT = f"lvmqcow.intent=rollback/{S2}"
USUAL = [
    f"lvchange --addtag {INTENT} sim/vm-100-disk-0.qcow2",
    f"qemu-img create -q -f qcow2 -o cluster_size=128k,extended_l2=on -u -b {S2} -F qcow2 "
    "/dev/sim/vm-100-disk-0.qcow2 4194304",
    f"lvchange --deltag {INTENT} sim/vm-100-disk-0.qcow2",
]


def test_the_current_lv_is_formatted_in_place_once_its_intent_is_written() -> None:
    plan = planned(chain(2), Rollback(DISK, "s2"))
    assert commands(plan) == USUAL
    assert (plan.operation, plan.commit_point) == ("rollback", 1)


def test_an_inactive_volume_is_active_for_as_long_as_it_takes() -> None:
    plan = planned(inactive(chain(2)), Rollback(DISK, "s2"))
    activate, deactivate = (f"lvchange --activate {how} sim/vm-100-disk-0.qcow2" for how in ("ey", "n"))
    assert commands(plan) == [activate, *USUAL, deactivate]
    assert plan.commit_point == 2


def test_layers_that_proxmox_ve_wrote_are_indexed_first() -> None:
    plan = planned(foreign(chain(2)), Rollback(DISK, "s2"))
    assert commands(plan) == [
        f"lvchange --addtag lvmqcow.size=4194304 --addtag lvmqcow.parent={S2} sim/vm-100-disk-0.qcow2",
        f"lvchange --addtag lvmqcow.size=4194304 --addtag lvmqcow.parent={S1} sim/{S2}",
        f"lvchange --addtag lvmqcow.size=4194304 sim/{S1}",
        *USUAL,
    ]
    assert plan.commit_point == 4


def test_a_volume_that_was_grown_since_has_its_old_size_again() -> None:
    *_, last = commands(planned(grown(2), Rollback(DISK, "s2")))
    assert last == (
        f"lvchange --deltag {INTENT} --deltag lvmqcow.size=67108864 "
        "--addtag lvmqcow.size=4194304 sim/vm-100-disk-0.qcow2"
    )


@pytest.mark.parametrize(("snapshot", "blockers"), [("s1", ("s2", "s3")), ("s2", ("s3",))])
def test_a_rollback_past_newer_snapshots_is_refused_and_lists_them(snapshot: str, blockers: tuple[str, ...]) -> None:
    error = refused(chain(3), Rollback(DISK, snapshot))
    assert isinstance(error, NewerSnapshots)
    assert error.blockers == blockers


@pytest.mark.parametrize(
    ("host", "name", "snapshot", "error"),
    [
        (chain(1, name=NEIGHBOUR), DISK, "s1", VolumeNotFound),
        (raw_volume(), RAW, "s1", NotPossible),
        (chain(1), DISK, "s2", SnapshotNotFound),
        (chain(1), DISK, "current", SnapshotNotFound),
        (chain(0), DISK, "s1", SnapshotNotFound),
        (beside(chain(1), "branch", S1), DISK, "branch", NewerSnapshots),
        (run(chain(2), QcowRelink(DISK.text, S1)), DISK, "s2", Corrupt),
        (run(chain(2), LvRemove((S1,))), DISK, "s2", Corrupt),
    ],
    ids=[
        *("no volume", "raw", "no such snapshot", "current is none", "no snapshots", "not in the chain"),
        *("header and tags differ", "a layer is missing"),
    ],
)
def test_what_cannot_be_rolled_back_is_refused_before_anything_is_touched(
    host: SimHost, name: VolumeName, snapshot: str, error: type[LvmqcowError]
) -> None:
    assert isinstance(refused(host, Rollback(name, snapshot)), error)
