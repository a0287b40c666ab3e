"""Rollback to a snapshot, with newer snapshots refused, kept or discarded."""

from __future__ import annotations

import pytest

from lvmqcow.core.names import VolumeName
from lvmqcow.errors import (
    Corrupt,
    LvmqcowError,
    NewerSnapshots,
    NoSpace,
    NotPossible,
    SnapshotHasChildren,
    SnapshotNotFound,
    VolumeNotFound,
)
from lvmqcow.operations import Newer, Rollback
from lvmqcow.steps import LvCreate, LvRemove, QcowRelink
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    RAW,
    beside,
    branched,
    chain,
    commands,
    contents,
    foreign,
    grown,
    inactive,
    planned,
    raw_volume,
    refused,
    run,
    storage,
    uneven,
)
from lvmqcow.testing.simulated.host import SimHost

S1, S2 = "snap-s1-vm-100-disk-0.qcow2", "snap-s2-vm-100-disk-0.qcow2"
INTENT = f"lvmqcow.intent=rollback/{S2}"
USUAL = [
    f"lvchange --addtag {INTENT} sim/vm-100-disk-0.qcow2",
    f"qemu-img create -q -f qcow2 -o cluster_size=128k,extended_l2=on -u -b {S2} -F qcow2 "
    "/dev/sim/vm-100-disk-0.qcow2 4194304",
    f"lvchange --deltag {INTENT} sim/vm-100-disk-0.qcow2",
]


def test_rollback_sets_its_intent_and_formats_the_current_lv() -> None:
    plan = planned(chain(2), Rollback(DISK, "s2"))
    assert commands(plan) == USUAL
    assert (plan.operation, plan.commit_point) == ("rollback", 1)


def test_rollback_activates_an_inactive_volume_temporarily() -> None:
    plan = planned(inactive(chain(2)), Rollback(DISK, "s2"))
    activate, deactivate = (f"lvchange --activate {how} sim/vm-100-disk-0.qcow2" for how in ("ey", "n"))
    assert commands(plan) == [activate, *USUAL, deactivate]
    assert plan.commit_point == 2


def test_rollback_first_indexes_layers_written_by_proxmox_ve() -> None:
    plan = planned(foreign(chain(2)), Rollback(DISK, "s2"))
    assert commands(plan) == [
        f"lvchange --addtag lvmqcow.size=4194304 --addtag lvmqcow.parent={S2} sim/vm-100-disk-0.qcow2",
        f"lvchange --addtag lvmqcow.size=4194304 --addtag lvmqcow.parent={S1} sim/{S2}",
        f"lvchange --addtag lvmqcow.size=4194304 sim/{S1}",
        *USUAL,
    ]
    assert plan.commit_point == 4


def test_rollback_restores_the_size_of_the_snapshot() -> None:
    *_, last = commands(planned(grown(2), Rollback(DISK, "s2")))
    assert last == (
        f"lvchange --deltag {INTENT} --deltag lvmqcow.size=67108864 "
        "--addtag lvmqcow.size=4194304 sim/vm-100-disk-0.qcow2"
    )


@pytest.mark.parametrize(("snapshot", "blockers"), [("s1", ("s2", "s3")), ("s2", ("s3",))])
def test_rollback_past_newer_snapshots_is_refused_and_lists_them(snapshot: str, blockers: tuple[str, ...]) -> None:
    error = refused(chain(3), Rollback(DISK, snapshot))
    assert isinstance(error, NewerSnapshots)
    assert error.blockers == blockers


def test_kept_newer_snapshots_become_a_branch() -> None:
    host = chain(3)
    plan = planned(host, Rollback(DISK, "s1", Newer.KEEP))
    assert commands(plan) == [
        f"lvchange --addtag lvmqcow.intent=rollback/{S1} sim/{DISK}",
        f"qemu-img create -q -f qcow2 -o cluster_size=128k,extended_l2=on -u -b {S1} -F qcow2 /dev/sim/{DISK} 4194304",
        f"lvchange --deltag lvmqcow.intent=rollback/{S1} --deltag lvmqcow.parent=snap-s3-{DISK} "
        f"--addtag lvmqcow.parent={S1} sim/{DISK}",
    ]
    before = contents(host)
    volume = storage(host).volume(DISK.text)
    volume.rollback("s1", Newer.KEEP)
    assert volume.info().snapshots == ("s1", "s2", "s3")
    volume.rollback("s3", Newer.KEEP)
    assert contents(host) == {**before, None: before["s3"]}


def test_newer_snapshots_are_discarded_after_the_current_lv_is_reset() -> None:
    plan = planned(inactive(chain(3)), Rollback(DISK, "s1", Newer.DISCARD))
    s3 = f"snap-s3-{DISK}"
    assert commands(plan) == [
        f"lvchange --activate ey sim/{DISK}",
        f"lvchange --addtag lvmqcow.intent=discard/{S1} sim/{DISK}",
        f"qemu-img create -q -f qcow2 -o cluster_size=128k,extended_l2=on -u -b {S1} -F qcow2 /dev/sim/{DISK} 4194304",
        f"lvchange --addtag lvmqcow.intent=discard/{S1} sim/{s3} sim/{S2}",
        f"lvchange --deltag lvmqcow.intent=discard/{S1} --deltag lvmqcow.parent={s3} "
        f"--addtag lvmqcow.parent={S1} sim/{DISK}",
        f"lvremove --yes sim/{s3} sim/{S2}",
        f"lvchange --activate n sim/{DISK}",
    ]
    assert plan.commit_point == 2


@pytest.mark.parametrize("newer", Newer)
def test_rollback_to_the_newest_snapshot_is_the_same_in_every_mode(newer: Newer) -> None:
    assert planned(chain(2), Rollback(DISK, "s2", newer)) == planned(chain(2), Rollback(DISK, "s2"))


def test_rollback_to_a_child_of_the_newest_snapshot_is_allowed() -> None:
    host = beside(chain(1), "b", S1)
    storage(host).volume(DISK.text).rollback("b")
    assert storage(host).volume(DISK.text).info().snapshots == ("s1", "b")


def test_rollback_extends_a_current_lv_that_is_too_small() -> None:
    size_bytes = uneven().measure(64 * MIB)
    assert size_bytes > 64 * MIB
    plan = planned(uneven(), Rollback(DISK, "big", Newer.KEEP))
    assert commands(plan)[1] == f"lvextend --size {68 * MIB}b sim/{DISK}"
    assert plan.commit_point == 2
    full = run(uneven(), LvCreate("else", (uneven().observe().free_extents - 14) * 4 * MIB, ()))
    assert isinstance(refused(full, Rollback(DISK, "big", Newer.KEEP)), NoSpace)


@pytest.mark.parametrize(
    ("host", "snapshot", "error", "names"),
    [
        (branched((3, 2)), "s1", SnapshotHasChildren, f"snap-b1-{DISK}"),
        (branched((3, 3)), "s2", SnapshotHasChildren, f"snap-b1-{DISK}"),
        (branched((3, 2)), "b1", NotPossible, "another branch"),
    ],
)
def test_discard_of_a_snapshot_with_a_branch_is_refused(
    host: SimHost, snapshot: str, error: type[NotPossible], names: str
) -> None:
    said = refused(host, Rollback(DISK, snapshot, Newer.DISCARD))
    assert isinstance(said, error)
    assert names in str(said)
    assert "--keep-newer" in str(said)


@pytest.mark.parametrize(
    ("host", "name", "snapshot", "error"),
    [
        (chain(1, name=NEIGHBOUR), DISK, "s1", VolumeNotFound),
        (raw_volume(), RAW, "s1", NotPossible),
        (chain(1), DISK, "s2", SnapshotNotFound),
        (chain(1), DISK, "current", SnapshotNotFound),
        (chain(0), DISK, "s1", SnapshotNotFound),
        (beside(chain(2), "branch", S1), DISK, "branch", NewerSnapshots),
        (run(beside(chain(2), "b", S1), QcowRelink(f"snap-b-{DISK}", S2)), DISK, "s2", Corrupt),
        (run(chain(2), QcowRelink(DISK.text, S1)), DISK, "s2", Corrupt),
        (run(chain(2), LvRemove((S1,))), DISK, "s2", Corrupt),
    ],
    ids=[
        *("no volume", "raw", "no such snapshot", "current is none", "no snapshots", "not in the chain"),
        "a header on a branch differs",
        *("header and tags differ", "a layer is missing"),
    ],
)
def test_impossible_rollback_is_refused_before_any_change(
    host: SimHost, name: VolumeName, snapshot: str, error: type[LvmqcowError]
) -> None:
    assert isinstance(refused(host, Rollback(name, snapshot)), error)
