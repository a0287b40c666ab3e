"""Recovery of unfinished operations. ``tests/simulated/test_cuts.py`` shows that no cut loses data."""

from __future__ import annotations

import pytest

from lvmqcow.checks.structure import Severity
from lvmqcow.core.holder import Holder, HolderKind
from lvmqcow.core.intents import INTENT_PREFIX
from lvmqcow.core.lv import Stray, StrayKind
from lvmqcow.core.names import Layout, dm_name, dm_uuid, snapshot_lv_name
from lvmqcow.errors import Corrupt, InUse, NoSpace
from lvmqcow.operations import DeleteSnapshot, Merge
from lvmqcow.operations.delete import Pulling, Pushing
from lvmqcow.operations.recovery import plan_recovery
from lvmqcow.operations.remove import Removing
from lvmqcow.operations.rename import Renaming
from lvmqcow.operations.resize import Resizing
from lvmqcow.operations.rollback import Discarding, RollingBack
from lvmqcow.operations.shared.new_volume import Creating
from lvmqcow.steps import LvCreate, LvDeactivate, LvExtend, LvRefresh, LvRemove, LvRename, LvTag, QcowRelink, Step
from lvmqcow.system.callbacks import Progress
from lvmqcow.testing.cases.operation_table import OPERATIONS
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    VARIANTS,
    chain,
    commands,
    grown,
    inactive,
    planned,
    raw_volume,
    run,
    state,
    storage,
    with_a_clone,
)
from lvmqcow.testing.crash.simulated_cuts import cuts
from lvmqcow.testing.simulated.host import SimHost

S1, S2, S3, S4 = (snapshot_lv_name(DISK, f"s{number}", Layout.RFC) for number in range(1, 5))
TO_64_MIB = Resizing(4 * MIB, 64 * MIB)
NEW = "vm-200-x.qcow2"
OUT = f"--deltag lvmqcow.intent=rename/{DISK}/{NEW} --deltag pve-vm-100 --deltag pve-{DISK}"
IN = f"--addtag pve-vm-200 --addtag pve-{NEW}"
SWAP = f"{OUT} {IN}"
RELINK = "qemu-img rebase -u -t directsync -f qcow2 -b"
EVERY_OPERATION = pytest.mark.parametrize("operation", OPERATIONS)


def recovery(host: SimHost) -> list[str]:
    return commands(storage(host).plan_recovery(DISK.text))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("depth", [0, 1, 4])
def test_recovery_of_a_healthy_volume_has_no_steps(variant: str, depth: int) -> None:
    host = VARIANTS[variant](chain(depth))
    assert recovery(host) == []
    assert storage(host).recover() == ()


def test_recovery_of_a_missing_volume_has_no_steps() -> None:
    assert recovery(chain(1, name=NEIGHBOUR)) == []
    assert recovery(raw_volume()) == []


@EVERY_OPERATION
def test_second_recovery_has_nothing_to_do(operation: str) -> None:
    start, request = OPERATIONS[operation]
    host = start()
    for cut in cuts(host, planned(host, request)):
        storage(cut.host).recover()
        once = state(cut.host)
        assert storage(cut.host).recover() == (), str(cut)
        assert state(cut.host) == once, str(cut)


@EVERY_OPERATION
def test_recovery_plan_needs_only_names_and_tags(operation: str) -> None:
    """Another host, where nothing is active, therefore makes the same plan except for the activation."""
    start, request = OPERATIONS[operation]
    host = start()
    for cut in cuts(host, planned(host, request)):
        seen = storage(cut.host).plan_recovery(request.volume.text)
        assert plan_recovery(cut.host.observe(), request.volume, cut.host.measure) == seen, str(cut)


@pytest.mark.parametrize(
    ("left", "operation", "expected"),
    [
        (
            [LvRemove((S1, S2, S3)), LvTag((DISK.text,), add=(Creating().tag,), drop=(f"lvmqcow.parent={S3}",))],
            "undo create",
            [f"lvremove --yes sim/{DISK}"],
        ),
        (
            [LvCreate(f"new-{DISK}", MIB, (*DISK.tags, f"lvmqcow.parent={snapshot_lv_name(DISK, 's4', Layout.RFC)}"))],
            "undo snapshot",
            [f"lvremove --yes sim/new-{DISK}"],
        ),
        (
            [
                LvCreate(f"new-{DISK}", MIB, (*DISK.tags, f"lvmqcow.parent={S4}")),
                LvRename(DISK.text, S4),
            ],
            "finish snapshot",
            [f"lvrename sim new-{DISK} {DISK}"],
        ),
        (
            [LvTag((DISK.text,), add=(RollingBack(S3).tag,))],
            "finish rollback",
            [
                f"qemu-img create -q -f qcow2 -o cluster_size=128k,extended_l2=on -u -b {S3} -F qcow2 "
                f"/dev/sim/{DISK} 4194304",
                f"lvchange --deltag lvmqcow.intent=rollback/{S3} sim/{DISK}",
            ],
        ),
        (
            [LvTag((DISK.text, S3), add=(Discarding(S1).tag,))],
            "finish rollback",
            [
                f"qemu-img create -q -f qcow2 -o cluster_size=128k,extended_l2=on -u -b {S1} -F qcow2 "
                f"/dev/sim/{DISK} 4194304",
                f"lvchange --addtag lvmqcow.intent=discard/{S1} sim/{S3} sim/{S2}",
                f"lvchange --deltag lvmqcow.intent=discard/{S1} --deltag lvmqcow.parent={S3} "
                f"--addtag lvmqcow.parent={S1} sim/{DISK}",
                f"lvremove --yes sim/{S3} sim/{S2}",
            ],
        ),
        (
            [
                LvTag((S2, S3), add=(Discarding(S1).tag,)),
                LvTag((DISK.text,), drop=(f"lvmqcow.parent={S3}",), add=(f"lvmqcow.parent={S1}",)),
                QcowRelink(DISK.text, S1),
            ],
            "finish removal",
            [f"lvremove --yes sim/{S2} sim/{S3}"],
        ),
        (
            [
                LvTag((S3,), add=(f"lvmqcow.size={64 * MIB}",), drop=(f"lvmqcow.size={4 * MIB}",)),
                LvTag((DISK.text,), add=(RollingBack(S3).tag,)),
            ],
            "undo rollback",
            [f"lvchange --deltag lvmqcow.intent=rollback/{S3} sim/{DISK}"],
        ),
        ([LvTag((DISK.text,), add=(TO_64_MIB.tag,))], "undo resize", [f"lvchange --deltag {TO_64_MIB.tag} sim/{DISK}"]),
        (
            [LvTag((DISK.text,), add=(TO_64_MIB.tag,)), LvExtend(DISK.text, 68 * MIB)],
            "finish resize",
            [
                f"lvchange --refresh sim/{DISK}",
                f"qemu-img check -q -f qcow2 -r leaks /dev/sim/{DISK}",
                f"qemu-img resize -q -f qcow2 /dev/sim/{DISK} 67108864",
                f"lvchange --deltag {TO_64_MIB.tag} --deltag lvmqcow.size=4194304 "
                f"--addtag lvmqcow.size=67108864 sim/{DISK}",
            ],
        ),
        (
            [LvTag((DISK.text,), add=(Resizing(4 * MIB, 4 * MIB).tag,))],
            "finish resize",
            [f"lvchange --refresh sim/{DISK}", f"lvchange --deltag {Resizing(4 * MIB, 4 * MIB).tag} sim/{DISK}"],
        ),
        (
            [LvTag((S2,), add=(Pulling(S3).tag,))],
            "finish delete-snapshot",
            [
                f"lvchange --refresh sim/{S3}",
                f"qemu-img rebase -u -t directsync -f qcow2 -b {S2} -F qcow2 /dev/sim/{S3}",
                f"qemu-img check -q -f qcow2 -r leaks /dev/sim/{S3}",
                f"qemu-img rebase -p -t directsync -f qcow2 -b {S1} -F qcow2 /dev/sim/{S3}",
                f"lvchange --deltag lvmqcow.parent={S2} --addtag lvmqcow.parent={S1} sim/{S3}",
                f"lvremove --yes sim/{S2}",
            ],
        ),
        (
            [
                LvTag((S2,), add=(Pulling(S3).tag,)),
                LvTag((S3,), drop=(f"lvmqcow.parent={S2}",), add=(f"lvmqcow.parent={S1}",)),
                QcowRelink(S3, S1),
            ],
            "finish delete-snapshot",
            [f"lvremove --yes sim/{S2}"],
        ),
        (
            [LvTag((S2,), add=(Pushing(S2, S3).tag,))],
            "finish delete-snapshot",
            [
                f"lvchange --refresh sim/{S2}",
                f"qemu-img check -q -f qcow2 -r leaks /dev/sim/{S2}",
                f"qemu-img commit -p -d -f qcow2 /dev/sim/{S3}",
                f"lvrename sim {S3} del-{S3}",
                f"lvrename sim {S2} {S3}",
                f"lvchange --deltag lvmqcow.intent=push/{S2}/{S3} sim/{S3}",
                f"lvremove --yes sim/del-{S3}",
            ],
        ),
        (
            [LvTag((S2,), add=(Pushing(S2, S3).tag,)), LvRename(S3, f"del-{S3}")],
            "finish delete-snapshot",
            [
                f"lvrename sim {S2} {S3}",
                f"lvchange --deltag lvmqcow.intent=push/{S2}/{S3} sim/{S3}",
                f"lvremove --yes sim/del-{S3}",
            ],
        ),
        (
            [LvTag((S2,), add=(Pushing(S2, S3).tag,)), LvRename(S3, f"del-{S3}"), LvRename(S2, S3)],
            "finish delete-snapshot",
            [f"lvchange --deltag lvmqcow.intent=push/{S2}/{S3} sim/{S3}", f"lvremove --yes sim/del-{S3}"],
        ),
        (
            [LvTag((S1, S2, S3, DISK.text), add=(Removing().tag,))],
            "finish remove",
            [f"lvremove --yes sim/{S1} sim/{S2} sim/{S3} sim/{DISK}"],
        ),
        (
            [LvTag((S1, DISK.text), add=(Removing().tag,))],
            "undo remove",
            [f"lvchange --deltag lvmqcow.intent=remove sim/{S1} sim/{DISK}"],
        ),
        (
            [LvTag((S1, S2, DISK.text), add=(Renaming(DISK.text, NEW).tag,))],
            "undo rename",
            [f"lvchange --deltag lvmqcow.intent=rename/{DISK}/{NEW} sim/{S1} sim/{S2} sim/{DISK}"],
        ),
        (
            [LvTag((S1, S2, S3, DISK.text), add=(Renaming(DISK.text, NEW).tag,)), LvRename(S1, f"snap-s1-{NEW}")],
            "finish rename",
            [
                f"lvrename sim {S2} snap-s2-{NEW}",
                f"lvrename sim {S3} snap-s3-{NEW}",
                f"lvrename sim {DISK} {NEW}",
                f"{RELINK} snap-s1-{NEW} -F qcow2 /dev/sim/snap-s2-{NEW}",
                f"{RELINK} snap-s2-{NEW} -F qcow2 /dev/sim/snap-s3-{NEW}",
                f"{RELINK} snap-s3-{NEW} -F qcow2 /dev/sim/{NEW}",
                f"lvchange {SWAP} sim/snap-s1-{NEW}",
                *(
                    f"lvchange {OUT} --deltag lvmqcow.parent={old} {IN} --addtag lvmqcow.parent={below} sim/{name}"
                    for old, below, name in [
                        (S1, f"snap-s1-{NEW}", f"snap-s2-{NEW}"),
                        (S2, f"snap-s2-{NEW}", f"snap-s3-{NEW}"),
                        (S3, f"snap-s3-{NEW}", NEW),
                    ]
                ),
            ],
        ),
        (
            [
                *(LvRename(name, name.replace(DISK.text, NEW)) for name in (S1, S2, S3, DISK.text)),
                LvTag((f"snap-s1-{NEW}",), add=(Renaming(DISK.text, NEW).tag,)),
                LvTag(
                    tuple(f"{name}{NEW}" for name in ("snap-s2-", "snap-s3-", "")),
                    add=("pve-vm-200", f"pve-{NEW}"),
                    drop=DISK.tags,
                ),
            ],
            "finish rename",
            [f"lvchange {SWAP} sim/snap-s1-{NEW}"],
        ),
        (
            [LvCreate(f"del-{S3}", MIB, (*DISK.tags, "lvmqcow.size=4194304"))],
            "finish removal",
            [f"lvremove --yes sim/del-{S3}"],
        ),
        (
            [
                LvCreate(f"del-{S3}", 8 * MIB, (*DISK.tags, "lvmqcow.wipe=zero/4194304")),
                LvCreate(f"del-{S2}", 8 * MIB, (*DISK.tags, "lvmqcow.size=4194304")),
                LvCreate(f"del-2-{S3}", 8 * MIB, (*DISK.tags, "lvmqcow.wipe=discard")),
                LvDeactivate((f"del-2-{S3}",)),
            ],
            "finish removal",
            [
                f"lvchange --activate ey sim/del-2-{S3}",
                f"lvchange --refresh sim/del-{S3}",
                f"blkdiscard --step 33554432 --offset 0 --length 8388608 /dev/sim/del-2-{S3}",
                f"lvchange --deltag lvmqcow.wipe=discard --addtag lvmqcow.wipe=discard/8388608 sim/del-2-{S3}",
                f"blkdiscard --zeroout --step 33554432 --offset 4194304 --length 4194304 /dev/sim/del-{S3}",
                f"lvchange --deltag lvmqcow.wipe=zero/4194304 --addtag lvmqcow.wipe=zero/8388608 sim/del-{S3}",
                f"lvremove --yes sim/del-2-{S3} sim/del-{S2} sim/del-{S3}",
            ],
        ),
        (
            [LvCreate(f"del-{S4}", 8 * MIB, (*DISK.tags, "lvmqcow.wipe=zero/8388608"))],
            "finish removal",
            [f"lvremove --yes sim/del-{S4}"],
        ),
        (
            [
                LvTag((S1, S2, S3, DISK.text), add=(Removing().tag, "lvmqcow.wipe=zero")),
                *(LvRename(name, f"del-{name}") for name in (S1, S2, S3)),
                LvTag((f"del-{S1}",), add=("lvmqcow.wipe=zero/8388608",), drop=("lvmqcow.wipe=zero",)),
                LvTag((f"del-{S2}", f"del-{S3}"), drop=("lvmqcow.wipe=zero",)),
            ],
            "finish remove",
            [
                f"lvrename sim {DISK} del-{DISK}",
                f"lvchange --refresh sim/del-{DISK}",
                f"blkdiscard --zeroout --step 33554432 --offset 0 --length 8388608 /dev/sim/del-{DISK}",
                f"lvchange --deltag lvmqcow.wipe=zero --addtag lvmqcow.wipe=zero/8388608 sim/del-{DISK}",
                f"lvremove --yes sim/del-{DISK} sim/del-{S1} sim/del-{S2} sim/del-{S3}",
            ],
        ),
        (
            [LvTag((S1, DISK.text), add=(Removing().tag, "lvmqcow.wipe=zero"))],
            "undo remove",
            [f"lvchange --deltag lvmqcow.intent=remove --deltag lvmqcow.wipe=zero sim/{S1} sim/{DISK}"],
        ),
        ([LvCreate(f"del-{S3}", MIB, DISK.tags)], "finish removal", []),  # from another tool
    ],
    ids=[
        *("create", "snapshot before its commit point", "snapshot after it", "rollback"),
        *("rollback, discarding", "rollback, discarded", "rollback, LV too small"),
        *("resize, LV too small", "resize", "resize to the same size", "pull", "pull, indexed"),
        *(
            "push",
            "push, child doomed",
            "push, renamed",
            "remove",
            "remove, half given up",
            "rename, half intended",
            "rename, half renamed",
            "rename, one left to tag",
            "our doomed LV",
            "doomed LVs to wipe",
            "a doomed LV that is wiped, and nothing took its place",
            "remove, half renamed",
            "remove to wipe, half given up",
            "another's",
        ),
    ],
)
def test_recovery_follows_the_documented_table(left: list[Step], operation: str, expected: list[str]) -> None:
    plan = storage(run(chain(3), *left)).plan_recovery(DISK.text)
    assert (plan.operation, commands(plan)) == (operation, expected)


@pytest.mark.parametrize(
    "left",
    [
        [LvTag((S1,), add=(f"{INTENT_PREFIX}copy/x",))],
        [LvTag((S1,), add=("lvmqcow.wipe=shred",))],
        [LvCreate(f"del-{S1}", MIB, (*DISK.tags, "lvmqcow.wipe=shred"))],
        [LvTag((DISK.text,), add=(Renaming(NEIGHBOUR.text, NEW).tag,))],
        [LvTag((DISK.text,), add=(Renaming(DISK.text, "x").tag,))],
        [LvTag((S2,), add=(Renaming(DISK.text, NEW).tag,)), LvRename(S2, f"snap-s2-{NEW}")],
        [LvTag((S2,), add=(Pulling(S3).tag,)), LvRemove((S3,))],
        [LvTag((S2,), add=(Pushing(S2, S3).tag,)), LvRemove((S3,))],
        [LvTag((DISK.text,), add=(RollingBack(S3).tag,)), LvRemove((S3,))],
        [LvTag((DISK.text,), add=(Discarding(S1).tag,)), LvRemove((S1,))],
        [LvTag((S2,), add=(Discarding(S1).tag,))],
        [
            LvTag((S3,), add=(Discarding(S2).tag,)),
            LvTag((DISK.text,), drop=(f"lvmqcow.parent={S3}",), add=(f"lvmqcow.parent={S1}",)),
        ],
        [LvCreate(f"new-{DISK}", MIB, DISK.tags), LvRemove((DISK.text,))],
        [LvCreate(f"new-{DISK}", MIB, (*DISK.tags, "lvmqcow.parent=x")), LvRemove((DISK.text,))],
        [LvCreate(f"new-{DISK}", MIB, DISK.tags)],
        [LvCreate(f"new-{DISK}", MIB, (*DISK.tags, f"lvmqcow.parent={S3}"))],
        [LvTag((DISK.text,), add=(Creating().tag,))],
        [LvTag((S2,), add=(Pulling(S3).tag, RollingBack(S3).tag))],
        [LvTag((S2,), add=(Pulling(S3).tag,)), LvTag((DISK.text,), add=(RollingBack(S3).tag,))],
        [
            LvTag((S2,), add=(Pulling(S3).tag,)),
            LvCreate(f"new-{DISK}", MIB, (*DISK.tags, "lvmqcow.parent=x")),
        ],
        [LvTag((S2,), add=(Pulling(S3).tag,)), LvTag((S3,), drop=(f"lvmqcow.parent={S2}",))],
        [
            LvTag((S2,), add=(Pulling(S3).tag,)),
            LvTag((S3,), drop=(f"lvmqcow.parent={S2}",), add=(f"lvmqcow.parent={S1}",)),
        ],
        [LvTag((S1,), add=(Pulling(S3).tag,))],
        [LvTag((S1,), add=(Pushing(S1, S3).tag,))],
        [LvTag((S2,), add=(Pushing(S2, S3).tag,)), QcowRelink(S3, S1)],
        [LvRename(DISK.text, f"del-{DISK}")],
        [LvRename(S2, f"del-{S2}")],
        [LvTag((S2,), add=(Pulling(S3).tag, "lvmqcow.wipe=zero")), LvRename(S2, f"del-{S2}")],
        [
            LvTag((S2,), add=(Pulling(S3).tag, "lvmqcow.wipe=zero")),
            LvTag((S3,), drop=(f"lvmqcow.parent={S2}",), add=(f"lvmqcow.parent={S1}",)),
            LvRename(S2, f"del-{S2}"),
        ],
        [LvTag((S2,), add=("lvmqcow.wipe=zero/4194304",)), LvRename(S2, f"del-{S2}")],
        [LvCreate(f"del-{S4}", 8 * MIB, (*DISK.tags, "lvmqcow.wipe=zero"))],
    ],
    ids=[
        *(
            "an intent of another version",
            "a wipe of another version",
            "a wipe of another version, begun",
            "another volume's rename",
            "a rename to no name",
            "renamed before all intend",
        ),
        *("pull, the child is gone", "push, the child is gone"),
        *("rollback, the snapshot is gone", "discard, the snapshot is gone"),
        *("discard, one reads through it", "discard, a header says that one reads through it"),
        *("snapshot, no parent is said", "snapshot, the parent is gone"),
        *("a new LV that is not ours", "a new LV beside what it was to replace, and its parent"),
        *("a new volume with snapshots", "two intents on one LV", "two intents", "an intent and a new LV"),
        *("pull, the child reads through nothing", "pull, the header says it is not done"),
        *("pull, another's child", "push, another's child", "push, the header names another"),
        *("the current LV waits for removal", "a snapshot waits for removal"),
        *(
            "pulled and to be wiped, the child reads through it",
            "pulled and to be wiped, the header says it is not done",
        ),
        *("half wiped, and a layer reads through it", "to be wiped, and nothing says that it was given up"),
    ],
)
def test_recovery_refuses_a_state_that_no_cut_leaves(left: list[Step]) -> None:
    host = run(chain(3), *left)
    before = state(host)
    with pytest.raises(Corrupt):
        storage(host).recover(DISK.text)
    assert state(host) == before


@pytest.mark.parametrize(
    "left",
    [
        [LvTag((DISK.text, S2, S1), add=(Removing().tag,))],
        [LvTag((DISK.text, S2, S1), add=(Removing().tag,)), LvRename(S1, f"del-{S1}")],
        [LvTag((S1,), add=(Pulling(S2).tag,))],
        [LvTag((S1,), add=(Pushing(S1, S2).tag,))],
        [LvTag((S1,), add=(Removing().tag,)), LvRename(S1, f"del-{S1}")],
    ],
)
def test_recovery_never_removes_the_base_of_a_clone(left: list[Step]) -> None:
    """No cut leaves this state. Another host without our lock could make it."""
    host = run(with_a_clone(2), *left)
    before = state(host)
    with pytest.raises(Corrupt):
        storage(host).recover(DISK.text)
    assert state(host) == before


def test_recovery_of_a_merge_waits_for_free_space() -> None:
    host = grown(1)
    request = DeleteSnapshot(DISK, "s1", Merge.PUSH)
    begun = run(host, planned(host, request).steps[0])
    full = run(begun, LvCreate("else", begun.observe().free_bytes, ()))
    before = state(full)
    with pytest.raises(NoSpace):
        storage(full).recover(DISK.text)
    assert state(full) == before
    assert storage(run(full, LvRemove(("else",)))).recover(DISK.text)


def test_unfinished_volume_does_not_block_another_volume() -> None:
    host = chain(1, run(chain(1), LvTag((DISK.text,), add=(f"{INTENT_PREFIX}copy",))), NEIGHBOUR)
    storage(host).volume(NEIGHBOUR.text).snapshot("s2")
    assert storage(host).check(NEIGHBOUR.text) == ()


@pytest.mark.parametrize("suspended", [DISK.text, S1])
def test_suspended_device_of_a_killed_lvm_is_resumed_first(suspended: str) -> None:
    host = chain(2)
    host.suspend(suspended)
    assert [(found.lv, found.severity) for found in storage(host).check()] == [(suspended, Severity.UNFINISHED)]
    assert recovery(host) == [f"lvchange --refresh sim/{suspended}"]
    assert [plan.operation for plan in storage(host).recover()] == ["restore devices"]
    assert recovery(host) == []


@pytest.mark.parametrize("lv", [DISK.text, S1])
def test_preloaded_device_table_is_cleared_before_any_resume(lv: str) -> None:
    host = chain(2)
    host.preload(lv, 64 * MIB)
    (found,) = storage(host).check()
    assert (found.lv, found.severity) == (lv, Severity.UNFINISHED)
    uuid = next(each.uuid for each in host.observe().logical_volumes if each.name == lv)
    assert recovery(host) == [f"dmsetup clear --uuid {dm_uuid('sim-vg', uuid)}"]
    storage(host).volume(DISK.text).snapshot("s3")
    assert storage(host).check() == ()


def test_preloaded_table_of_a_suspended_device_is_cleared_first() -> None:
    host = chain(1)
    host.preload(DISK.text, 64 * MIB)
    host.suspend(DISK.text)
    assert [command.split()[:2] for command in recovery(host)] == [["dmsetup", "clear"], ["lvchange", "--refresh"]]
    storage(host).recover()
    assert storage(host).check() == ()


@pytest.mark.parametrize("lv", [DISK.text, S1])
@pytest.mark.parametrize("alive", [True, False], ids=["active", "inactive"])
def test_wrong_name_in_dev_is_corrected_before_any_read(lv: str, alive: bool) -> None:
    host = chain(2) if alive else inactive(chain(2))
    host.misplace(lv)
    found = [finding.lv for finding in storage(host).check() if finding.severity is Severity.UNFINISHED]
    assert found == [lv]
    assert recovery(host) == (
        [f"lvchange --refresh sim/{lv}"]
        if alive
        else [f"dmsetup mknodes {dm_name('sim', lv)}", f"rm --force /dev/sim/{lv}"]
    )
    storage(host).volume(DISK.text).snapshot("s3")
    assert {finding.severity for finding in storage(host).check()} <= {Severity.UNCHECKED}


MENDS = {
    StrayKind.DEVICE: ["dmsetup remove {dm}", "dmsetup mknodes {dm}", "rm --force /dev/sim/{name}"],
    StrayKind.NODE: ["dmsetup mknodes {dm}", "rm --force /dev/sim/{name}"],
    StrayKind.LINK: ["rm --force /dev/sim/{name}"],
}


@pytest.mark.parametrize("kind", MENDS)
@pytest.mark.parametrize("there", [True, False], ids=["of a volume", "of a volume that is gone"])
@pytest.mark.parametrize(
    "name", [f"del-{DISK}", DISK.text, S1, f"del-{S1}", f"new-{DISK}", "snap_vm-100-disk-0_s1.qcow2"]
)
def test_leftover_in_dev_of_a_removed_lv_is_reported_and_removed(kind: StrayKind, there: bool, name: str) -> None:
    host = chain(0) if there else SimHost()
    if name in host.observe().lv_names:
        return
    host.stray(name, kind)
    (found,) = storage(host).check()
    assert (found.lv, found.severity, found.advice) == (name, Severity.UNFINISHED, f"lvmqcow recover sim/{DISK}")
    assert (found,) == storage(host).check(DISK.text)
    assert recovery(host) == [mend.format(dm=dm_name("sim", name), name=name) for mend in MENDS[kind]]
    assert [plan.operation for plan in storage(host).recover()] == ["restore devices"]
    assert storage(host).check() == ()
    assert host.observe().strays == ()


@pytest.mark.parametrize("kind", MENDS)
def test_leftover_in_dev_of_a_foreign_lv_is_reported_and_kept(kind: StrayKind) -> None:
    host = chain(1)
    host.stray("backup", kind)
    (found,) = storage(host).check()
    assert (found.lv, found.severity) == ("backup", Severity.LEAKED)
    assert storage(host).recover() == ()
    storage(host).volume(DISK.text).snapshot("s2")
    assert host.observe().strays == (Stray("backup", kind),)


@pytest.mark.parametrize("alive", [True, False], ids=["active", "inactive"])
def test_regular_file_in_dev_is_damage_and_recovery_keeps_it(alive: bool) -> None:
    host = chain(1) if alive else inactive(chain(1))
    host.stray(f"del-{DISK}", StrayKind.OTHER)
    found = [finding for finding in storage(host).check() if finding.severity is Severity.DAMAGED]
    assert [(each.lv, "it may hold data" in each.advice) for each in found] == [(f"del-{DISK}", True)]
    assert storage(host).recover() == ()
    storage(host).volume(DISK.text).snapshot("s2")
    assert host.observe().strays == (Stray(f"del-{DISK}", StrayKind.OTHER),)


def test_device_without_lv_is_kept_while_in_use() -> None:
    host = HeldStray()
    host.__dict__.update(chain(1).__dict__)
    host.stray(f"del-{DISK}", StrayKind.DEVICE)
    with pytest.raises(InUse, match="process 7"):
        storage(host).recover()
    assert host.observe().strays


class HeldStray(SimHost):
    """A host on which the device without an LV is in use."""

    def holders(self, lv_name: str) -> tuple[Holder, ...]:
        return (Holder(HolderKind.PROCESS, "qemu", 7),) if lv_name not in self.observe().lv_names else ()


def test_suspended_base_is_resumed_before_its_clone_is_read() -> None:
    host = with_a_clone(1)
    (clone,) = [volume for volume in host.observe().volumes if volume.bases]
    host.suspend(clone.bases[0].lv.name)
    assert commands(storage(host).plan_recovery(clone.name.text)) == [
        f"lvchange --refresh sim/{clone.bases[0].lv.name}"
    ]


class Unmended(SimHost):
    """A host on which a refresh has no effect."""

    def run(self, step: Step, progress: Progress | None = None) -> None:
        if not isinstance(step, LvRefresh):
            super().run(step, progress)


def test_recovery_without_progress_stops_with_an_error() -> None:
    host = Unmended()
    host.__dict__.update(chain(1).__dict__)
    host.suspend(DISK.text)
    with pytest.raises(Corrupt, match="recovery made no progress: it would run the same plan again"):
        storage(host).recover()
