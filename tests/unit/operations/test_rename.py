"""Renaming of volumes with all their layers."""

from __future__ import annotations

import pytest

from lvmqcow.core.lv import index_tags
from lvmqcow.core.names import VolumeName, parse_volume_name
from lvmqcow.errors import AlreadyExists, Corrupt, FormatMismatch, InvalidName, LvmqcowError, VolumeNotFound
from lvmqcow.operations import Rename
from lvmqcow.steps import LvCreate, LvRemove, LvTag, QcowCreate, QcowRelink
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    RAW,
    beside,
    chain,
    commands,
    contents,
    foreign,
    inactive,
    planned,
    raw_volume,
    refused,
    run,
)
from lvmqcow.testing.simulated.host import SimHost

NEW = parse_volume_name("vm-200-x.qcow2")
S1, S2 = f"snap-s1-{DISK}", f"snap-s2-{DISK}"
TO_NEW = Rename(DISK, NEW)
INTENT = f"lvmqcow.intent=rename/{DISK}/{NEW}"
DROP = f"--deltag {INTENT} --deltag pve-vm-100 --deltag pve-{DISK}"
ADD = f"--addtag pve-vm-200 --addtag pve-{NEW}"
RELINK = "qemu-img rebase -u -t directsync -f qcow2 -b"
USUAL = [
    f"lvchange --addtag {INTENT} sim/{S1} sim/{DISK}",
    f"lvrename sim {S1} snap-s1-{NEW}",
    f"lvrename sim {DISK} {NEW}",
    f"{RELINK} snap-s1-{NEW} -F qcow2 /dev/sim/{NEW}",
    f"lvchange {DROP} {ADD} sim/snap-s1-{NEW}",
    f"lvchange {DROP} --deltag lvmqcow.parent={S1} {ADD} --addtag lvmqcow.parent=snap-s1-{NEW} sim/{NEW}",
]


def test_rename_tags_every_lv_before_it_renames_any() -> None:
    plan = planned(chain(1), TO_NEW)
    assert commands(plan) == USUAL
    assert (plan.operation, plan.commit_point, plan.other_names) == ("rename", 1, (NEW,))


def test_rename_activates_only_overlays() -> None:
    plan = planned(inactive(chain(1)), TO_NEW)
    assert commands(plan) == [f"lvchange --activate ey sim/{DISK}", *USUAL, f"lvchange --activate n sim/{NEW}"]
    assert plan.commit_point == 2


def test_rename_first_indexes_layers_written_by_proxmox_ve() -> None:
    made = commands(planned(foreign(chain(1)), TO_NEW))
    assert sorted(made[:2]) == sorted(
        [
            f"lvchange --addtag lvmqcow.size={4 * MIB} sim/{S1}",
            f"lvchange --addtag lvmqcow.size={4 * MIB} --addtag lvmqcow.parent={S1} sim/{DISK}",
        ]
    )
    assert made[2:] == USUAL


def test_rename_within_a_guest_keeps_the_guest_tag() -> None:
    plan = planned(chain(0), Rename(DISK, parse_volume_name("vm-100-x.qcow2")))
    assert not [command for command in commands(plan) if "pve-vm-100 " in command.replace("pve-vm-100-", "")]


def test_rename_of_a_raw_volume_renames_one_lv() -> None:
    intent = "lvmqcow.intent=rename/vm-100-disk-2/vm-7-x"
    assert commands(planned(raw_volume(), Rename(RAW, parse_volume_name("vm-7-x")))) == [
        f"lvchange --addtag {intent} sim/vm-100-disk-2",
        "lvrename sim vm-100-disk-2 vm-7-x",
        f"lvchange --deltag {intent} --deltag pve-vm-100 --addtag pve-vm-7 sim/vm-7-x",
    ]


def test_rename_keeps_foreign_tags() -> None:
    host = run(chain(2), LvTag((DISK.text, S1), add=("backup", "pve-vm-100-other")))
    after = run(host, *planned(host, TO_NEW).steps)
    for name in (NEW.text, f"snap-s1-{NEW}"):
        lv = after.observe().lv(name)
        assert lv is not None
        assert lv.tags >= {"backup", "pve-vm-100-other"}


def test_rename_includes_snapshots_on_side_branches() -> None:
    host = beside(chain(2), "branch", S1)
    after = run(host, *planned(host, TO_NEW).steps)
    assert contents(after, NEW) == contents(host)
    assert contents(after) == {}


@pytest.mark.parametrize("name", [DISK, NEW])
def test_rename_ignores_doomed_lvs_of_another_tool(name: VolumeName) -> None:
    host = run(chain(1), LvCreate(f"del-{name}", MIB, name.tags))
    assert commands(planned(host, TO_NEW)) == USUAL


def with_snapshot(snapshot: str) -> SimHost:
    """A disk with a snapshot name that is not validated, as another tool might make it."""
    lv = f"snap-{snapshot}-{DISK}"
    host = run(SimHost(), LvCreate(lv, 8 * MIB, (*DISK.tags, *index_tags(4 * MIB, None))), QcowCreate(lv, 4 * MIB))
    made = LvCreate(DISK.text, 8 * MIB, (*DISK.tags, *index_tags(4 * MIB, lv)))
    return run(host, made, QcowCreate(DISK.text, 4 * MIB, lv))


@pytest.mark.parametrize(
    ("host", "name", "new", "error"),
    [
        (chain(1, name=NEIGHBOUR), DISK, NEW, VolumeNotFound),
        (chain(1), DISK, DISK, AlreadyExists),
        (chain(1, chain(0), NEIGHBOUR), DISK, NEIGHBOUR, AlreadyExists),
        (chain(1), DISK, parse_volume_name("vm-100-x"), FormatMismatch),
        (raw_volume(), RAW, NEW, FormatMismatch),
        (run(chain(1), LvCreate(NEW.text, MIB, ())), DISK, NEW, AlreadyExists),
        (run(chain(1), LvCreate(f"snap-s1-{NEW}", MIB, ())), DISK, NEW, AlreadyExists),
        (run(chain(1), LvCreate(f"snap-s9-{NEW}", MIB, NEW.tags)), DISK, NEW, AlreadyExists),
        (chain(0), DISK, parse_volume_name(f"vm-1-{'x' * 120}.qcow2"), InvalidName),
        (with_snapshot("s" * 40), DISK, parse_volume_name(f"vm-1-{'x' * 60}.qcow2"), InvalidName),
        (with_snapshot("s-vm-100"), DISK, NEW, InvalidName),
        (run(chain(2), QcowRelink(DISK.text, S1)), DISK, NEW, Corrupt),
        (run(chain(2), LvRemove((S1,))), DISK, NEW, Corrupt),
        (run(beside(chain(1), "branch", S1), QcowRelink(f"snap-branch-{DISK}", DISK.text)), DISK, NEW, Corrupt),
        (beside(chain(1), "branch", "nothing"), DISK, NEW, Corrupt),
    ],
    ids=[
        *("no volume", "its own name", "a volume's name", "raw", "qcow2", "an LV's name", "an LV's, for a snapshot"),
        *("a lost snapshot's", "too long", "too long with a snapshot", "ambiguous"),
        *("header and tags differ", "a layer is missing", "beside: header and tags differ", "beside: a layer missing"),
    ],
)
def test_impossible_rename_is_refused_before_any_change(
    host: SimHost, name: VolumeName, new: VolumeName, error: type[LvmqcowError]
) -> None:
    assert isinstance(refused(host, Rename(name, new)), error)
