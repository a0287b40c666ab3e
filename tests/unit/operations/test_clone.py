"""Plans for templates, linked clones and flatten, and the requests that are refused while clones exist."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lvmqcow.core.holder import Holder, HolderKind
from lvmqcow.core.names import Layout, parse_volume_name, snapshot_lv_name
from lvmqcow.errors import (
    AlreadyExists,
    Corrupt,
    FormatMismatch,
    InUse,
    LvmqcowError,
    NoSpace,
    NotPossible,
    SnapshotHasChildren,
    SnapshotNotFound,
    VolumeNotFound,
)
from lvmqcow.operations import (
    Clone,
    DeleteSnapshot,
    Flatten,
    Merge,
    Newer,
    Remove,
    Rename,
    Request,
    Resize,
    Rollback,
    Snapshot,
    Template,
)
from lvmqcow.steps import LvActivate, LvCreate, LvRemove, LvTag, QcowRelink
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    RAW,
    branched,
    chain,
    clone_of_a_snapshot,
    clone_of_a_template,
    commands,
    contents,
    foreign,
    inactive,
    planned,
    raw_volume,
    refused,
    run,
    storage,
    template,
    with_a_clone,
)
from lvmqcow.testing.content import Write
from lvmqcow.testing.simulated.host import SimHost

S1, S2 = (snapshot_lv_name(DISK, name, Layout.RFC) for name in ("s1", "s2"))
BASE = snapshot_lv_name(NEIGHBOUR, "s1", Layout.RFC)
THIRD = parse_volume_name("vm-300-disk-0.qcow2")


def test_template_is_tagged_and_then_made_read_only() -> None:
    plan = planned(chain(1), Template(DISK))
    assert commands(plan) == [f"lvchange --addtag lvmqcow.template sim/{DISK}", f"lvchange --permission r sim/{DISK}"]
    assert plan.commit_point == 1
    assert planned(template(1), Template(DISK)).steps == ()


def test_template_is_read_only_and_refused_for_a_volume_in_use() -> None:
    with pytest.raises(LvmqcowError, match="Permission denied"):
        template(0).guest_write(DISK.text, [Write(0, 1, 1)])
    host = chain(0)
    host.hold(DISK.text, Holder(HolderKind.PROCESS, "qemu", 1))
    assert isinstance(refused(host, Template(DISK)), InUse)


def test_clone_is_a_new_overlay_of_a_snapshot_or_template() -> None:
    intent, tags = "lvmqcow.intent=create", f"--addtag pve-vm-300 --addtag pve-{THIRD}"
    made = "lvcreate --yes --wipesignatures y --zero y --setautoactivation n"
    for host, snapshot, base in ((chain(2), "s1", S1), (template(2), None, DISK.text)):
        plan = planned(host, Clone(THIRD, DISK, snapshot))
        assert commands(plan) == [
            f"{made} {tags} --addtag lvmqcow.size=4194304 --addtag lvmqcow.parent={base} --addtag {intent} "
            f"--size {8 * MIB}b --name {THIRD} sim",
            f"qemu-img create -q -f qcow2 -o cluster_size=128k,extended_l2=on -u -b {base} -F qcow2 "
            f"/dev/sim/{THIRD} 4194304",
            f"lvchange --deltag {intent} sim/{THIRD}",
        ]
    assert commands(planned(inactive(chain(2)), Clone(THIRD, DISK, "s1")))[0] == f"lvchange --activate ey sim/{S1}"


def test_clone_of_a_clone_reads_through_both_bases() -> None:
    host = clone_of_a_template(1)
    storage(host).volume(DISK.text).clone(THIRD.text, "s1")
    volume = host.observe().volume(THIRD)
    assert [base.lv.name for base in volume.bases] == [S1, NEIGHBOUR.text, BASE]
    assert contents(host, THIRD)[None] == contents(host)["s1"]
    host = inactive(host)
    storage(host).volume(THIRD.text).activate()
    assert {lv.name for lv in host.observe().logical_volumes if lv.active} == {THIRD.text, S1, NEIGHBOUR.text, BASE}


def test_clone_is_listed_with_its_base() -> None:
    for host, base in ((clone_of_a_snapshot(1), f"{NEIGHBOUR}@s1"), (clone_of_a_template(1), NEIGHBOUR.text)):
        disk, neighbour = storage(host).volumes()
        assert (disk.base, disk.template) == (base, False)
        assert (neighbour.base, neighbour.template) == (None, base == NEIGHBOUR.text)
        cloned = [layer.lv for layer in storage(host).volume(NEIGHBOUR.text).layers() if layer.clones == (DISK.text,)]
        assert cloned == [BASE if "@" in base else NEIGHBOUR.text]


def test_flatten_copies_base_data_and_leaves_the_base_active() -> None:
    plan = planned(inactive(clone_of_a_snapshot(1)), Flatten(DISK))
    intent = f"lvmqcow.intent=flatten/{BASE}"
    assert commands(plan) == [
        f"lvchange --activate ey sim/{S1} sim/{BASE}",
        f"lvchange --addtag {intent} sim/{S1}",
        f"qemu-img rebase -p -t directsync -f qcow2 -b '' /dev/sim/{S1}",
        f"lvchange --deltag {intent} --deltag lvmqcow.parent={BASE} sim/{S1}",
        f"lvchange --activate n sim/{S1}",
    ]
    assert plan.commit_point == 2
    assert planned(chain(2), Flatten(DISK)).steps == ()


def test_base_can_be_removed_after_flatten() -> None:
    host = clone_of_a_snapshot(1)
    before = contents(host)
    storage(host).volume(DISK.text).flatten()
    storage(host).volume(NEIGHBOUR.text).remove()
    assert contents(host) == before


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (DeleteSnapshot(DISK, "s1", Merge.PULL), SnapshotHasChildren),
        (DeleteSnapshot(DISK, "s1", Merge.PUSH), SnapshotHasChildren),
        (DeleteSnapshot(DISK, "s1"), SnapshotHasChildren),
        (Remove(DISK), NotPossible),
        (Rename(DISK, THIRD), NotPossible),
    ],
    ids=str,
)
@pytest.mark.parametrize("meet", [lambda host: host, inactive])
def test_snapshot_with_a_clone_cannot_be_changed(
    asked: Request, error: type[LvmqcowError], meet: Callable[[SimHost], SimHost]
) -> None:
    said = refused(meet(with_a_clone(2)), asked)
    assert isinstance(said, error)
    assert NEIGHBOUR.text in str(said)
    assert "flatten or remove" in str(said)


def test_layers_below_a_cloned_snapshot_cannot_be_changed() -> None:
    host = chain(3)
    storage(host).volume(DISK.text).clone(THIRD.text, "s2")
    assert isinstance(refused(host, DeleteSnapshot(DISK, "s1")), SnapshotHasChildren)
    assert isinstance(refused(host, Rollback(DISK, "s1", Newer.DISCARD)), SnapshotHasChildren)
    before = contents(host, THIRD)
    storage(host).volume(DISK.text).delete_snapshot("s3")
    storage(host).volume(DISK.text).rollback("s1", Newer.KEEP)
    assert contents(host, THIRD) == before


@pytest.mark.parametrize(
    "asked",
    [
        Snapshot(DISK, "new"),
        Rollback(DISK, "s2"),
        Rollback(DISK, "s1", Newer.KEEP),
        DeleteSnapshot(DISK, "s1"),
        Resize(DISK, 64 * MIB),
    ],
    ids=str,
)
def test_template_refuses_every_change(asked: Request) -> None:
    said = refused(template(2), asked)
    assert isinstance(said, NotPossible)
    assert "template" in str(said)


@pytest.mark.parametrize(
    ("host", "asked", "error"),
    [
        (chain(1), Clone(THIRD, DISK), NotPossible),
        (chain(1), Clone(THIRD, DISK, "s9"), SnapshotNotFound),
        (chain(1), Clone(THIRD, NEIGHBOUR, "s1"), VolumeNotFound),
        (chain(1, chain(1), NEIGHBOUR), Clone(NEIGHBOUR, DISK, "s1"), AlreadyExists),
        (chain(1), Clone(parse_volume_name("vm-300-disk-0"), DISK, "s1"), FormatMismatch),
        (chain(1), Clone(DISK, DISK, "s1"), AlreadyExists),
        (raw_volume(), Clone(THIRD, RAW), NotPossible),
        (run(chain(2), QcowRelink(DISK.text, S1)), Clone(THIRD, DISK, "s2"), Corrupt),
        (run(chain(1), LvCreate("else", chain(1).observe().free_bytes, ())), Clone(THIRD, DISK, "s1"), NoSpace),
        (raw_volume(), Template(RAW), NotPossible),
        (chain(1, name=NEIGHBOUR), Template(DISK), VolumeNotFound),
        (run(branched((2, 1)), LvRemove((S1,))), Template(DISK), Corrupt),
        (run(clone_of_a_snapshot(1), LvRemove((BASE,))), Flatten(DISK), Corrupt),
        (chain(1, name=NEIGHBOUR), Flatten(DISK), VolumeNotFound),
    ],
    ids=lambda value: value.vg if isinstance(value, SimHost) else str(value),
)
def test_impossible_clone_is_refused_before_any_change(
    host: SimHost, asked: Request, error: type[LvmqcowError]
) -> None:
    assert isinstance(refused(host, asked), error)


def test_flatten_is_refused_for_a_base_and_for_a_template() -> None:
    host = clone_of_a_snapshot(1)
    storage(host).volume(DISK.text).clone(THIRD.text, "s1")
    assert isinstance(refused(host, Flatten(DISK)), SnapshotHasChildren)
    host = clone_of_a_snapshot(0)
    storage(host).volume(DISK.text).template()
    assert isinstance(refused(host, Flatten(DISK)), NotPossible)


def test_check_names_the_missing_base_of_a_clone() -> None:
    for host in (run(clone_of_a_snapshot(2), LvRemove((BASE,))), run(clone_of_a_template(0), LvRemove((BASE,)))):
        found = storage(host).check(DISK.text)
        assert any(finding.lv == BASE and "not there" in finding.text for finding in found), found
        assert isinstance(refused(host, Snapshot(DISK, "new")), Corrupt)


def test_writable_template_is_unfinished_and_recovery_locks_it() -> None:
    host = run(chain(1), LvTag((DISK.text,), add=("lvmqcow.template",)))
    (finding,) = storage(host).check(DISK.text)
    assert "recover" in finding.advice
    (ran,) = storage(host).recover()
    assert commands(ran) == [f"lvchange --permission r sim/{DISK}"]


def test_damaged_flatten_intent_is_refused() -> None:
    host = run(chain(1), LvTag((S1,), add=(f"lvmqcow.intent=flatten/{BASE}",)))
    with pytest.raises(Corrupt):
        storage(host).recover(DISK.text)


@pytest.mark.parametrize("start", [clone_of_a_template, clone_of_a_snapshot])
@pytest.mark.parametrize("drop", ["lvmqcow.parent=", "lvmqcow."])
def test_clone_without_tags_protects_the_base_in_its_header(start: Callable[[int], SimHost], drop: str) -> None:
    host = start(0)
    lv = host.observe().lv(DISK.text)
    assert lv is not None
    host = run(host, LvTag((DISK.text,), drop=tuple(tag for tag in lv.tags if tag.startswith(drop))))
    requests: list[Request] = [Remove(NEIGHBOUR), Rename(NEIGHBOUR, parse_volume_name("vm-7-x.qcow2"))]
    for request in (*requests, *(DeleteSnapshot(NEIGHBOUR, "s1", merge) for merge in Merge)):
        assert isinstance(refused(host, request), NotPossible)


def test_template_is_kept_while_an_inactive_volume_may_use_it() -> None:
    host = inactive(foreign(clone_of_a_template(0)))
    assert f"lvchange -aey sim/{DISK}" in str(refused(host, Remove(NEIGHBOUR)))
    host.run(LvActivate((DISK.text,)))
    assert f"{DISK} read through it" in str(refused(host, Remove(NEIGHBOUR)))
    storage(host).volume(DISK.text).remove()
    storage(host).volume(NEIGHBOUR.text).remove()
