"""Two layouts of snapshot names in one volume group: which one a volume uses, and which names are ambiguous."""

from __future__ import annotations

import pytest

from lvmqcow.core.lv import index_tags
from lvmqcow.core.names import Layout, parse_volume_name, snapshot_lv_name
from lvmqcow.errors import AlreadyExists, Corrupt, InvalidName, SnapshotNotFound
from lvmqcow.operations import Create, DeleteSnapshot, Rename, Request, Rollback, Snapshot
from lvmqcow.steps import LvCreate, LvRename, QcowCreate
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    RAW,
    chain,
    contents,
    pve9,
    raw_volume,
    refused,
    run,
    storage,
)
from lvmqcow.testing.simulated.host import SimHost

A, A_B = (parse_volume_name(f"vm-100-{disk}.qcow2") for disk in ("a", "a_b"))
SHARED = "snap_vm-100-a_b_c.qcow2"


def snapshots(host: SimHost) -> set[str]:
    return {lv.name for lv in host.observe().logical_volumes if lv.name.startswith("snap")}


@pytest.mark.parametrize(
    ("given", "lv_name"),
    [(None, f"snap-s1-{DISK}"), (Layout.RFC, f"snap-s1-{DISK}"), (Layout.PVE9, "snap_vm-100-disk-0_s1.qcow2")],
)
def test_first_snapshot_uses_the_given_layout(given: Layout | None, lv_name: str) -> None:
    host = chain(0)
    storage(host, given).volume(DISK.text).snapshot("s1")
    assert snapshots(host) == {lv_name}


def test_first_snapshot_uses_the_pve_layout_found_in_the_vg() -> None:
    host = chain(0, pve9(chain(1, name=NEIGHBOUR)))
    storage(host).volume(DISK.text).snapshot("s1")
    assert snapshots(host) == {"snap_vm-100-disk-1_s1.qcow2", "snap_vm-100-disk-0_s1.qcow2"}


@pytest.mark.parametrize("given", [None, *Layout])
def test_volume_keeps_the_layout_of_its_snapshots(given: Layout | None) -> None:
    host = chain(0, pve9(chain(1, name=NEIGHBOUR)))
    storage(host, Layout.RFC).volume(DISK.text).snapshot("s1")
    for name in (DISK, NEIGHBOUR):
        storage(host, given).volume(name.text).snapshot("s2")
    own = {snapshot_lv_name(DISK, each, Layout.RFC) for each in ("s1", "s2")}
    assert snapshots(host) == own | {snapshot_lv_name(NEIGHBOUR, each, Layout.PVE9) for each in ("s1", "s2")}
    assert storage(host).volume(NEIGHBOUR.text).info().snapshots == ("s1", "s2")


def test_volume_with_both_layouts_continues_in_the_pve_layout() -> None:
    host = pve9(chain(1))
    host = run(host, LvRename(DISK.text, f"snap-s2-{DISK}"))
    made = (*DISK.tags, *index_tags(4 * MIB, f"snap-s2-{DISK}"))
    host = run(host, LvCreate(DISK.text, 8 * MIB, made), QcowCreate(DISK.text, 4 * MIB, f"snap-s2-{DISK}"))
    volume = storage(host, Layout.RFC).volume(DISK.text)
    volume.snapshot("s3")
    assert volume.info().snapshots == ("s1", "s2", "s3")
    assert snapshots(host) == {snapshot_lv_name(DISK, each, Layout.PVE9) for each in ("s1", "s3")} | {f"snap-s2-{DISK}"}
    for snapshot in ("s2", "s1", "s3"):
        volume.delete_snapshot(snapshot)
    assert storage(host).check() == ()


def test_untagged_lv_with_a_pve_name_does_not_set_the_layout() -> None:
    host = run(chain(0), LvCreate("snap_vm-100-disk-0_s1.qcow2", MIB, ()), LvCreate(SHARED, MIB, A.tags))
    assert storage(host).picture().volume(DISK).layout is Layout.PVE9  # the snapshot of A shows this layout
    host = run(chain(0), LvCreate("snap_vm-100-disk-0_s1.qcow2", MIB, ()))
    assert storage(host).picture().volume(DISK).layout is Layout.RFC
    assert storage(host).volume(DISK.text).info().snapshots == ()


def test_snapshot_belongs_to_the_volume_of_its_tag() -> None:
    host = pve9(chain(1, chain(1, name=A), A_B))
    host = run(host, LvRename("snap_vm-100-a_s1.qcow2", "snap_vm-100-a_b_x.qcow2"))
    picture = storage(host).picture()
    assert [layer.snapshot for layer in picture.volume(A).layers] == ["b_x", None]
    assert [layer.snapshot for layer in picture.volume(A_B).layers] == ["s1", None]
    assert picture.volume(A).snapshot("b_x").lv.name == "snap_vm-100-a_b_x.qcow2"
    with pytest.raises(SnapshotNotFound):
        picture.volume(A_B).snapshot("x")


@pytest.mark.parametrize(
    ("host", "request_", "error"),
    [
        (pve9(chain(1, chain(1, name=A), A_B)), Snapshot(A, "b_c"), InvalidName),
        (run(pve9(chain(1, name=A)), LvCreate(SHARED, MIB, ())), Snapshot(A, "b_c"), AlreadyExists),
        (run(pve9(chain(1, name=A_B)), LvCreate(SHARED, MIB, A.tags)), Snapshot(A_B, "c"), AlreadyExists),
        (run(pve9(chain(1, name=A)), LvRename("snap_vm-100-a_s1.qcow2", SHARED)), Create(A_B, MIB), InvalidName),
        (run(pve9(chain(1, name=A)), LvRename("snap_vm-100-a_s1.qcow2", SHARED)), Rename(A, A_B), InvalidName),
        (pve9(chain(1, name=A)), Rename(A, A_B), InvalidName),
        (pve9(chain(1, name=A_B)), Rename(A_B, A), InvalidName),
        (pve9(chain(1, chain(0, name=A), DISK)), Rename(DISK, A_B), InvalidName),
        (pve9(chain(1)), Snapshot(DISK, "tmeta"), InvalidName),
        (pve9(chain(1)), Snapshot(DISK, "s1"), AlreadyExists),
        (run(pve9(chain(1)), LvCreate(f"snap-s2-{DISK}", MIB, DISK.tags)), Snapshot(DISK, "s2"), AlreadyExists),
        (run(pve9(chain(1)), LvCreate(f"snap-s1-{DISK}", MIB, DISK.tags)), Rollback(DISK, "s1"), Corrupt),
        (run(pve9(chain(1)), LvCreate(f"snap-s1-{DISK}", MIB, DISK.tags)), DeleteSnapshot(DISK, "s1"), Corrupt),
    ],
    ids=[
        *(
            "another volume would read it as its own",
            "the very name is there",
            "another's snapshot has it",
        ),
        *("a new volume would read another's snapshot", "a renamed volume would read its own otherwise"),
        *("the old name would read the new ones", "the new name would read the old ones"),
        *("a third volume would read the new names", "a word of LVM's", "taken", "taken in the other layout"),
        *("two LVs are the snapshot, rollback", "two LVs are the snapshot, delete"),
    ],
)
def test_ambiguous_name_is_refused_at_creation(host: SimHost, request_: Request, error: type[Exception]) -> None:
    assert isinstance(refused(host, request_), error)


def test_raw_volume_is_not_mistaken_for_a_snapshot() -> None:
    host = pve9(chain(1, raw_volume()))
    raw = parse_volume_name("vm-100-disk-0_s1")
    storage(host).create(raw.text, MIB)
    storage(host).volume(DISK.text).snapshot("s1_x")
    assert [volume.name for volume in storage(host).volumes()] == [DISK.text, raw.text, RAW.text]
    assert storage(host).volume(DISK.text).info().snapshots == ("s1", "s1_x")


def test_refused_rename_succeeds_through_a_third_name() -> None:
    host = pve9(chain(2, name=A))
    before = contents(host, A)
    for old, new in ((A, DISK), (DISK, A_B)):
        storage(host).apply(Rename(old, new))
    assert contents(host, A_B) == before
    assert snapshots(host) == {"snap_vm-100-a_b_s1.qcow2", "snap_vm-100-a_b_s2.qcow2"}
