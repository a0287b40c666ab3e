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
from lvmqcow.testing.simulated.host import SimHost
from tests.support.scenarios import (
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
def test_the_data_of_snapshot_and_child_become_one_image(merge: Merge, usual: list[str]) -> None:
    plan = planned(chain(3), DeleteSnapshot(DISK, "s2", merge))
    assert commands(plan) == usual
    assert (plan.operation, plan.commit_point) == ("delete-snapshot", 1)


@MIDDLE
def test_what_is_read_is_active_for_as_long_as_it_takes(merge: Merge, usual: list[str]) -> None:
    plan = planned(inactive(chain(3)), DeleteSnapshot(DISK, "s2", merge))
    assert commands(plan) == [
        f"lvchange --activate ey sim/{S3} sim/{S2} sim/{S1}",
        *usual,
        f"lvchange --activate n sim/{S3} sim/{S1}",
    ]
    assert plan.commit_point == 2


@MIDDLE
def test_layers_that_proxmox_ve_wrote_are_indexed_first(merge: Merge, usual: list[str]) -> None:
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


def test_the_oldest_snapshot_is_pulled_into_an_image_that_reads_through_nothing() -> None:
    assert commands(planned(chain(2), DeleteSnapshot(DISK, "s1", Merge.PULL))) == [
        f"lvchange --addtag lvmqcow.intent=pull/{S2} sim/{S1}",
        f"qemu-img rebase -p -t directsync -f qcow2 -b '' /dev/sim/{S2}",
        f"lvchange --deltag lvmqcow.parent={S1} sim/{S2}",
        f"lvremove --yes sim/{S1}",
    ]


def test_a_snapshot_that_takes_more_than_it_holds_is_extended_first_and_then_has_the_childs_size() -> None:
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


def test_a_child_without_room_for_what_it_takes_is_extended_first() -> None:
    assert commands(planned(tight(), DeleteSnapshot(DISK, "s1", Merge.PULL))) == [
        f"lvchange --addtag lvmqcow.intent=pull/{CURRENT} sim/{S1}",
        f"lvextend --size {8 * MIB}b sim/{CURRENT}",
        f"qemu-img rebase -p -t directsync -f qcow2 -b '' /dev/sim/{CURRENT}",
        f"lvchange --deltag lvmqcow.parent={S1} sim/{CURRENT}",
        f"lvremove --yes sim/{S1}",
    ]


@pytest.mark.parametrize(("snapshot", "same_as"), [("s1", Merge.PUSH), ("s2", Merge.PULL), ("s3", Merge.PULL)])
def test_the_seeds_rule_pushes_into_the_oldest_and_pulls_from_the_others(snapshot: str, same_as: Merge) -> None:
    host = chain(3)
    seed, named = (planned(host, DeleteSnapshot(DISK, snapshot, merge)) for merge in (Merge.RFC, same_as))
    assert seed == named


def test_a_doomed_name_that_is_taken_gets_a_number() -> None:
    host = run(chain(3), LvCreate(f"del-{S3}", MIB, ()), LvCreate(f"del-2-{S3}", MIB, ()))
    assert commands(planned(host, DeleteSnapshot(DISK, "s2", Merge.PUSH)))[-1] == f"lvremove --yes sim/del-3-{S3}"


@ALL
def test_the_tip_of_a_branch_is_no_snapshot_any_more_and_then_removed(merge: Merge) -> None:
    plan = planned(inactive(branched((2, 1))), DeleteSnapshot(DISK, "b2", merge))
    intent = f"lvmqcow.intent=discard/{B1}"
    assert commands(plan) == [f"lvchange --addtag {intent} sim/{B2}", f"lvremove --yes sim/{B2}"]
    assert (plan.operation, plan.commit_point) == ("delete-snapshot", 1)


def test_the_tip_of_a_branch_that_proxmox_ve_wrote_is_indexed_first() -> None:
    size = "--addtag lvmqcow.size=4194304"
    assert commands(planned(foreign(beside(chain(1), "b", S1)), DeleteSnapshot(DISK, "b"))) == [
        f"lvchange {size} --addtag lvmqcow.parent={S1} sim/{CURRENT}",
        f"lvchange {size} sim/{S1}",
        f"lvchange {size} --addtag lvmqcow.parent={S1} sim/snap-b-{CURRENT}",
        f"lvchange --addtag lvmqcow.intent=discard/{S1} sim/snap-b-{CURRENT}",
        f"lvremove --yes sim/snap-b-{CURRENT}",
    ]


def test_on_a_branch_what_is_merged_is_active_and_the_chain_is_let_be() -> None:
    assert commands(planned(inactive(branched((3, 1))), DeleteSnapshot(DISK, "b1", Merge.PULL))) == [
        f"lvchange --activate ey sim/{B2} sim/{B1} sim/{S1}",
        f"lvchange --addtag lvmqcow.intent=pull/{B2} sim/{B1}",
        f"qemu-img rebase -p -t directsync -f qcow2 -b {S1} -F qcow2 /dev/sim/{B2}",
        f"lvchange --deltag lvmqcow.parent={B1} --addtag lvmqcow.parent={S1} sim/{B2}",
        f"lvremove --yes sim/{B1}",
        f"lvchange --activate n sim/{B2} sim/{S1}",
    ]


def test_a_child_with_several_children_of_its_own_can_be_merged() -> None:
    """Who reads through it reads through the same name."""
    host = branched((3, 2))
    before = contents(host)
    storage(host).volume(DISK.text).delete_snapshot("s1", Merge.PUSH)
    del before["s1"]
    assert contents(host) == before


@BOTH
def test_a_snapshot_that_several_images_read_through_is_refused_and_names_them(merge: Merge) -> None:
    error = refused(beside(chain(2), "branch", S1), DeleteSnapshot(DISK, "s1", merge))
    assert isinstance(error, SnapshotHasChildren)
    assert set(error.children) == {S2, f"snap-branch-{CURRENT}"}


def test_a_push_that_cannot_grow_the_snapshot_is_refused() -> None:
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
        # what the tags say was lost: s1 looks like the tip of a branch, and s2 reads through it
        (inactive(run(chain(2), LvTag((S2,), drop=(f"lvmqcow.parent={S1}",)))), DISK, "s1", Corrupt),
        (run(beside(chain(2), "b", S1), QcowRelink(f"snap-b-{CURRENT}", S2)), DISK, "s2", Corrupt),
    ],
    ids=[
        *("no volume", "raw", "no such snapshot", "current is none", "a layer is missing"),
        *("header and tags differ", "no current LV", "a parent was lost", "a header on a branch differs"),
    ],
)
def test_what_cannot_be_deleted_is_refused_before_anything_is_touched(
    host: SimHost, name: VolumeName, snapshot: str, error: type[LvmqcowError], merge: Merge
) -> None:
    assert isinstance(refused(host, DeleteSnapshot(name, snapshot, merge)), error)


def test_nothing_is_removed_on_the_word_of_tags_alone() -> None:
    """A volume group's metadata that was put back is older than what the headers say."""
    host = inactive(run(branched((2, 1)), QcowRelink(DISK.text, B2)))
    for request in (DeleteSnapshot(DISK, "b2"), Rollback(DISK, "s1", Newer.DISCARD)):
        assert isinstance(refused(host, request), Corrupt)
