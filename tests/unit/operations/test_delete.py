"""Deletion of snapshots: pull into the child, push into the snapshot, or removal of a branch tip."""

from __future__ import annotations

import pytest

from lvmqcow.core.names import VolumeName
from lvmqcow.errors import (
    Corrupt,
    LvmqcowError,
    NoSpace,
    NotPossible,
    SnapshotHasChildren,
    SnapshotNotFound,
    VolumeNotFound,
)
from lvmqcow.operations import DeleteSnapshot, Merge, Newer, Rollback
from lvmqcow.steps import LvCreate, LvRemove, LvTag, QcowRelink
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
    tight,
)
from lvmqcow.testing.simulated.host import SimHost

CURRENT = DISK.text
S1, S2, S3, B1, B2 = (f"snap-{snapshot}-{CURRENT}" for snapshot in ("s1", "s2", "s3", "b1", "b2"))
PULL = [
    f"lvchange --addtag lvmqcow.intent=pull/{S3} sim/{S2}",
    f"qemu-img rebase -p -t directsync -f qcow2 -b {S1} -F qcow2 /dev/sim/{S3}",
    f"lvchange --deltag lvmqcow.parent={S2} --addtag lvmqcow.parent={S1} sim/{S3}",
    f"lvremove --yes sim/{S2}",
]
PUSH = [
    f"lvchange --addtag lvmqcow.intent=push/{S2}/{S3} sim/{S2}",
    f"qemu-img commit -p -d -f qcow2 /dev/sim/{S3}",
    f"lvrename sim {S3} del-{S3}",
    f"lvrename sim {S2} {S3}",
    f"lvchange --deltag lvmqcow.intent=push/{S2}/{S3} sim/{S3}",
    f"lvremove --yes sim/del-{S3}",
]
MIDDLE = pytest.mark.parametrize(("merge", "usual"), [(Merge.PULL, PULL), (Merge.PUSH, PUSH)])
BOTH = pytest.mark.parametrize("merge", [Merge.PULL, Merge.PUSH])
ALL = pytest.mark.parametrize("merge", Merge)


@MIDDLE
def test_delete_merges_snapshot_and_child_into_one_image(merge: Merge, usual: list[str]) -> None:
    plan = planned(chain(3), DeleteSnapshot(DISK, "s2", merge))
    assert commands(plan) == usual
    assert (plan.operation, plan.commit_point) == ("delete-snapshot", 1)


@MIDDLE
def test_delete_activates_the_layers_it_reads_and_deactivates_them(merge: Merge, usual: list[str]) -> None:
    plan = planned(inactive(chain(3)), DeleteSnapshot(DISK, "s2", merge))
    assert commands(plan) == [
        f"lvchange --activate ey sim/{S3} sim/{S2} sim/{S1}",
        *usual,
        f"lvchange --activate n sim/{S3} sim/{S1}",
    ]
    assert plan.commit_point == 2


@MIDDLE
def test_delete_first_indexes_layers_written_by_proxmox_ve(merge: Merge, usual: list[str]) -> None:
    plan = planned(foreign(chain(3)), DeleteSnapshot(DISK, "s2", merge))
    size = "--addtag lvmqcow.size=4194304"
    assert commands(plan) == [
        f"lvchange {size} --addtag lvmqcow.parent={S3} sim/{CURRENT}",
        f"lvchange {size} --addtag lvmqcow.parent={S2} sim/{S3}",
        f"lvchange {size} --addtag lvmqcow.parent={S1} sim/{S2}",
        f"lvchange {size} sim/{S1}",
        *usual,
    ]
    assert plan.commit_point == 5


def test_pull_of_oldest_snapshot_leaves_an_image_without_backing() -> None:
    assert commands(planned(chain(2), DeleteSnapshot(DISK, "s1", Merge.PULL))) == [
        f"lvchange --addtag lvmqcow.intent=pull/{S2} sim/{S1}",
        f"qemu-img rebase -p -t directsync -f qcow2 -b '' /dev/sim/{S2}",
        f"lvchange --deltag lvmqcow.parent={S1} sim/{S2}",
        f"lvremove --yes sim/{S1}",
    ]


def test_push_extends_snapshot_to_the_size_of_its_child() -> None:
    assert commands(planned(grown(1), DeleteSnapshot(DISK, "s1", Merge.PUSH))) == [
        f"lvchange --addtag lvmqcow.intent=push/{S1}/{CURRENT} sim/{S1}",
        f"lvextend --size {68 * MIB}b sim/{S1}",
        f"qemu-img commit -p -d -f qcow2 /dev/sim/{CURRENT}",
        f"lvrename sim {CURRENT} del-{CURRENT}",
        f"lvrename sim {S1} {CURRENT}",
        f"lvchange --deltag lvmqcow.intent=push/{S1}/{CURRENT} --deltag lvmqcow.size=4194304 "
        f"--addtag lvmqcow.size=67108864 sim/{CURRENT}",
        f"lvremove --yes sim/del-{CURRENT}",
    ]


def test_pull_extends_a_child_that_is_too_small() -> None:
    assert commands(planned(tight(), DeleteSnapshot(DISK, "s1", Merge.PULL))) == [
        f"lvchange --addtag lvmqcow.intent=pull/{CURRENT} sim/{S1}",
        f"lvextend --size {8 * MIB}b sim/{CURRENT}",
        f"qemu-img rebase -p -t directsync -f qcow2 -b '' /dev/sim/{CURRENT}",
        f"lvchange --deltag lvmqcow.parent={S1} sim/{CURRENT}",
        f"lvremove --yes sim/{S1}",
    ]


@pytest.mark.parametrize(("snapshot", "same_as"), [("s1", Merge.PUSH), ("s2", Merge.PULL), ("s3", Merge.PULL)])
def test_merge_rule_of_the_rfc_pushes_oldest_and_pulls_the_others(snapshot: str, same_as: Merge) -> None:
    host = chain(3)
    seed, named = (planned(host, DeleteSnapshot(DISK, snapshot, merge)) for merge in (Merge.RFC, same_as))
    assert seed == named


def test_doomed_lv_name_gets_a_number_if_taken() -> None:
    host = run(chain(3), LvCreate(f"del-{S3}", MIB, ()), LvCreate(f"del-2-{S3}", MIB, ()))
    assert commands(planned(host, DeleteSnapshot(DISK, "s2", Merge.PUSH)))[-1] == f"lvremove --yes sim/del-3-{S3}"


@ALL
def test_branch_tip_is_marked_for_discard_and_then_removed(merge: Merge) -> None:
    plan = planned(inactive(branched((2, 1))), DeleteSnapshot(DISK, "b2", merge))
    intent = f"lvmqcow.intent=discard/{B1}"
    assert commands(plan) == [f"lvchange --addtag {intent} sim/{B2}", f"lvremove --yes sim/{B2}"]
    assert (plan.operation, plan.commit_point) == ("delete-snapshot", 1)


def test_branch_tip_written_by_proxmox_ve_is_indexed_first() -> None:
    size = "--addtag lvmqcow.size=4194304"
    assert commands(planned(foreign(beside(chain(1), "b", S1)), DeleteSnapshot(DISK, "b"))) == [
        f"lvchange {size} --addtag lvmqcow.parent={S1} sim/{CURRENT}",
        f"lvchange {size} sim/{S1}",
        f"lvchange {size} --addtag lvmqcow.parent={S1} sim/snap-b-{CURRENT}",
        f"lvchange --addtag lvmqcow.intent=discard/{S1} sim/snap-b-{CURRENT}",
        f"lvremove --yes sim/snap-b-{CURRENT}",
    ]


def test_merge_on_a_branch_does_not_activate_the_main_chain() -> None:
    assert commands(planned(inactive(branched((3, 1))), DeleteSnapshot(DISK, "b1", Merge.PULL))) == [
        f"lvchange --activate ey sim/{B2} sim/{B1} sim/{S1}",
        f"lvchange --addtag lvmqcow.intent=pull/{B2} sim/{B1}",
        f"qemu-img rebase -p -t directsync -f qcow2 -b {S1} -F qcow2 /dev/sim/{B2}",
        f"lvchange --deltag lvmqcow.parent={B1} --addtag lvmqcow.parent={S1} sim/{B2}",
        f"lvremove --yes sim/{B1}",
        f"lvchange --activate n sim/{B2} sim/{S1}",
    ]


def test_child_with_several_children_can_be_merged() -> None:
    """The merged image keeps the name that its children have as backing."""
    host = branched((3, 2))
    before = contents(host)
    storage(host).volume(DISK.text).delete_snapshot("s1", Merge.PUSH)
    del before["s1"]
    assert contents(host) == before


@BOTH
def test_delete_of_snapshot_with_two_children_names_them(merge: Merge) -> None:
    error = refused(beside(chain(2), "branch", S1), DeleteSnapshot(DISK, "s1", merge))
    assert isinstance(error, SnapshotHasChildren)
    assert set(error.children) == {S2, f"snap-branch-{CURRENT}"}


def test_push_without_space_to_extend_snapshot_is_refused() -> None:
    host = grown(1)
    full = run(host, LvCreate("else", (host.observe().free_extents - 14) * 4 * MIB, ()))
    error = refused(full, DeleteSnapshot(DISK, "s1", Merge.PUSH))
    assert isinstance(error, NoSpace)
    assert (error.needed_bytes, error.free_bytes) == (60 * MIB, 56 * MIB)


@ALL
@pytest.mark.parametrize(
    ("host", "name", "snapshot", "error"),
    [
        (chain(1, name=NEIGHBOUR), DISK, "s1", VolumeNotFound),
        (raw_volume(), RAW, "s1", NotPossible),
        (chain(1), DISK, "s2", SnapshotNotFound),
        (chain(1), DISK, "current", SnapshotNotFound),
        (run(chain(2), LvRemove((S1,))), DISK, "s2", Corrupt),
        (run(chain(2), QcowRelink(CURRENT, S1)), DISK, "s2", Corrupt),
        (run(chain(2), LvRemove((CURRENT,))), DISK, "s1", Corrupt),
        # the tags are lost: s1 looks like a branch tip, but s2 has it as backing
        (inactive(run(chain(2), LvTag((S2,), drop=(f"lvmqcow.parent={S1}",)))), DISK, "s1", Corrupt),
        (run(beside(chain(2), "b", S1), QcowRelink(f"snap-b-{CURRENT}", S2)), DISK, "s2", Corrupt),
    ],
    ids=[
        *("no volume", "raw", "no such snapshot", "current is none", "a layer is missing"),
        *("header and tags differ", "no current LV", "a parent was lost", "a header on a branch differs"),
    ],
)
def test_impossible_delete_is_refused_before_any_change(
    host: SimHost, name: VolumeName, snapshot: str, error: type[LvmqcowError], merge: Merge
) -> None:
    assert isinstance(refused(host, DeleteSnapshot(name, snapshot, merge)), error)


def test_nothing_is_removed_if_headers_contradict_tags() -> None:
    """Restored volume group metadata can be older than the image headers."""
    host = inactive(run(branched((2, 1)), QcowRelink(DISK.text, B2)))
    for request in (DeleteSnapshot(DISK, "b2"), Rollback(DISK, "s1", Newer.DISCARD)):
        assert isinstance(refused(host, request), Corrupt)
