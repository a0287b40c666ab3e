"""A snapshot gets another name, and everything that reads through it follows."""

from __future__ import annotations

import pytest

from lvmqcow.core.holder import Holder, HolderKind
from lvmqcow.errors import AlreadyExists, Corrupt, InUse, InvalidName, NotPossible, RecoveryNeeded, SnapshotNotFound
from lvmqcow.operations import RenameSnapshot
from lvmqcow.operations.rename_snapshot import RenamingSnapshot
from lvmqcow.steps import LvCreate, LvRemove, LvTag
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    RAW,
    chain,
    commands,
    contents,
    foreign,
    inactive,
    intents,
    planned,
    pve9,
    raw_volume,
    refused,
    run,
    state,
    storage,
    with_a_clone,
)
from lvmqcow.testing.crash.simulated_cuts import cuts

CURRENT = DISK.text
S1, S2, NEW = (f"snap-{name}-{CURRENT}" for name in ("s1", "s2", "other"))
INTENT = f"lvmqcow.intent=rename-snapshot/{S1}/{NEW}"
KVM = Holder(HolderKind.PROCESS, "kvm", 7)


def test_the_reader_is_rewritten_after_the_snapshot_has_its_new_name() -> None:
    plan = planned(chain(2), RenameSnapshot(DISK, "s1", "other"))
    assert commands(plan) == [
        f"lvchange --addtag {INTENT} sim/{S1}",
        f"lvchange --addtag {INTENT} sim/{S2}",
        f"lvrename sim {S1} {NEW}",
        f"qemu-img rebase -u -t directsync -f qcow2 -b {NEW} -F qcow2 /dev/sim/{S2}",
        f"lvchange --deltag {INTENT} --deltag lvmqcow.parent={S1} --addtag lvmqcow.parent={NEW} sim/{S2}",
        f"lvchange --deltag {INTENT} sim/{NEW}",
    ]
    assert (plan.operation, plan.commit_point) == ("rename-snapshot", 3)


def test_an_inactive_reader_is_active_only_while_its_header_is_rewritten() -> None:
    made = commands(planned(inactive(chain(1)), RenameSnapshot(DISK, "s1", "other")))
    rewrite = next(number for number, command in enumerate(made) if command.startswith("qemu-img"))
    assert made[rewrite - 1] == f"lvchange --activate ey sim/{CURRENT}"
    assert made[rewrite + 1] == f"lvchange --activate n sim/{CURRENT}"


def test_layers_that_proxmox_ve_wrote_are_indexed_first_and_keep_their_layout() -> None:
    host = pve9(chain(1))
    run(host, *planned(foreign(host), RenameSnapshot(DISK, "s1", "other")).steps)
    after = run(host, *planned(host, RenameSnapshot(DISK, "s1", "other")).steps)
    assert "snap_vm-100-disk-0_other.qcow2" in after.observe().lv_names
    assert contents(after, DISK).keys() == {None, "other"}


def test_clones_follow_and_their_names_are_locked_too() -> None:
    host = with_a_clone(2)
    plan = planned(host, RenameSnapshot(DISK, "s1", "other"))
    assert plan.names == {DISK, NEIGHBOUR}
    before, clone = contents(host, DISK), contents(host, NEIGHBOUR)
    storage(host).volume(DISK.text).rename_snapshot("s1", "other")
    assert contents(host, DISK) == {("other" if name == "s1" else name): holds for name, holds in before.items()}
    assert contents(host, NEIGHBOUR) == clone
    assert storage(host).volume(NEIGHBOUR.text).info().base == f"{DISK}@other"
    assert intents(host) == []


@pytest.mark.parametrize("name", [DISK, NEIGHBOUR])
def test_a_cut_is_recovered_by_the_name_of_the_volume_or_of_its_clone(name: object) -> None:
    host = with_a_clone(1)
    before, clone = contents(host, DISK), contents(host, NEIGHBOUR)
    for cut in cuts(host, planned(host, RenameSnapshot(DISK, "s1", "other"))):
        carries = [lv.name for lv in cut.host.observe().logical_volumes if lv.intent_tags]
        clone_carries = any(NEIGHBOUR.text in lv for lv in carries)
        if name == DISK or clone_carries:
            storage(cut.host).recover(str(name))
            assert intents(cut.host) == [], str(cut)
        storage(cut.host).recover()
        renamed = {("other" if each == "s1" else each): holds for each, holds in before.items()}
        assert contents(cut.host, DISK) in (before, renamed), str(cut)
        assert contents(cut.host, NEIGHBOUR) == clone, str(cut)


def test_a_clone_is_given_to_no_guest_while_its_snapshot_is_half_renamed() -> None:
    host = with_a_clone(1)
    plan = planned(host, RenameSnapshot(DISK, "s1", "other"))
    half = run(host, *plan.steps[:3])
    for name in (DISK, NEIGHBOUR):
        with pytest.raises(RecoveryNeeded):
            storage(half).volume(name.text).path()


def test_clone_without_our_tags_is_indexed_before_it_follows() -> None:
    host = with_a_clone(1)
    for lv in host.observe().logical_volumes:
        host.run(LvTag((lv.name,), drop=lv.index_tags))
    storage(host).volume(DISK.text).rename_snapshot("s1", "other")
    assert storage(host).volume(NEIGHBOUR.text).info().base == f"{DISK}@other"
    assert storage(host).check() == ()


def test_a_snapshot_that_a_guest_reads_through_is_not_renamed() -> None:
    host = with_a_clone(1)
    before = state(host)
    for used in (CURRENT, NEIGHBOUR.text, S1):
        host.hold(used, KVM)
        if used == NEIGHBOUR.text:  # it reads through the clone's own snapshot, which is what is rewritten
            host.hold(used)
            host.hold(f"snap-s1-{NEIGHBOUR}", KVM)
        with pytest.raises(InUse, match="kvm"):
            storage(host).volume(DISK.text).rename_snapshot("s1", "other")
        host.hold(used)
        host.hold(f"snap-s1-{NEIGHBOUR}")
    assert state(host) == before


@pytest.mark.parametrize(
    ("snapshot", "new", "error"),
    [
        ("s9", "other", SnapshotNotFound),
        ("s1", "s2", AlreadyExists),
        ("s1", "s1", AlreadyExists),
        ("s1", "-x", InvalidName),
        ("s1", "current", InvalidName),
        ("s1", "x" * 120, InvalidName),
    ],
)
def test_an_impossible_name_is_refused_before_any_change(snapshot: str, new: str, error: type[Exception]) -> None:
    assert isinstance(refused(chain(2), RenameSnapshot(DISK, snapshot, new)), error)


def test_a_raw_volume_has_no_snapshot_to_rename() -> None:
    assert isinstance(refused(raw_volume(), RenameSnapshot(RAW, "s1", "other")), NotPossible)


def test_a_clone_on_which_an_operation_was_cut_is_recovered_first() -> None:
    host = run(with_a_clone(1), LvTag((NEIGHBOUR.text,), add=("lvmqcow.intent=resize/4194304/67108864",)))
    error = refused(host, RenameSnapshot(DISK, "s1", "other"))
    assert isinstance(error, NotPossible)
    assert f"lvmqcow recover sim/{NEIGHBOUR}" in str(error)


@pytest.mark.parametrize("lost", [False, True])
def test_where_both_names_or_neither_is_there_nothing_is_changed(lost: bool) -> None:
    half = run(chain(2), *planned(chain(2), RenameSnapshot(DISK, "s1", "other")).steps[:3])
    broken = run(half, LvRemove((NEW,)) if lost else LvCreate(S1, 8 * MIB, DISK.tags))
    before = state(broken)
    with pytest.raises(Corrupt, match="neither is there" if lost else "both are there"):
        storage(broken).recover(DISK.text)
    assert state(broken) == before


def test_the_intent_belongs_to_the_snapshot_and_its_readers_alone() -> None:
    host = run(chain(2), LvTag((S2,), add=(RenamingSnapshot(NEW, "x").tag,)))
    before = state(host)
    with pytest.raises(Corrupt, match=S2):
        storage(host).recover(DISK.text)
    assert state(host) == before
