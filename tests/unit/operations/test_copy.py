"""Full copies of a volume or of one of its snapshots."""

from __future__ import annotations

import pytest

from lvmqcow.core.holder import Holder, HolderKind
from lvmqcow.core.names import VolumeName, parse_volume_name
from lvmqcow.errors import (
    AlreadyExists,
    Corrupt,
    InUse,
    InvalidName,
    LvmqcowError,
    NoSpace,
    SnapshotNotFound,
    VolumeNotFound,
)
from lvmqcow.operations import Copy
from lvmqcow.steps import LvRemove
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    RAW,
    beside,
    chain,
    commands,
    contents,
    grown,
    inactive,
    planned,
    raw_volume,
    refused,
    run,
    state,
    storage,
)
from lvmqcow.testing.content import Content
from lvmqcow.testing.simulated.host import SimHost

NEW, RAW_NEW = parse_volume_name("vm-200-x.qcow2"), parse_volume_name("vm-200-x")
S1, S2 = f"snap-s1-{DISK}", f"snap-s2-{DISK}"
OPTIONS = "cluster_size=128k,extended_l2=on"


def test_copy_becomes_visible_only_after_it_is_filled() -> None:
    plan = planned(chain(1), Copy(DISK, None, NEW))
    assert commands(plan) == [
        "lvcreate --yes --wipesignatures y --zero y --setautoactivation n --addtag pve-vm-200 "
        f"--addtag pve-{NEW} --addtag lvmqcow.size={4 * MIB} --addtag lvmqcow.intent=create "
        f"--size {8 * MIB}b --name {NEW} sim",
        f"qemu-img create -q -f qcow2 -o {OPTIONS} /dev/sim/{NEW} {4 * MIB}",
        f"qemu-img convert -p -n --target-is-zero -f qcow2 -O qcow2 /dev/sim/{DISK} /dev/sim/{NEW}",
        f"lvchange --deltag lvmqcow.intent=create sim/{NEW}",
    ]
    assert (plan.operation, plan.volume, plan.commit_point) == ("copy", NEW, 4)


def test_inactive_source_is_activated_to_copy_and_copy_ends_inactive() -> None:
    plan = planned(inactive(chain(3)), Copy(DISK, "s2", RAW_NEW))
    first, *rest, last, new = commands(plan)
    assert first == f"lvchange --activate ey sim/{S2} sim/{S1}"
    assert [last, new] == [f"lvchange --activate n sim/{S2} sim/{S1}", f"lvchange --activate n sim/{RAW_NEW}"]
    assert rest[-1] == f"lvchange --deltag lvmqcow.intent=create sim/{RAW_NEW}"
    assert plan.commit_point == len(plan.steps) - 2


@pytest.mark.parametrize("new", [NEW, RAW_NEW])
def test_copy_has_the_size_of_its_source(new: VolumeName) -> None:
    host = grown(1)
    storage(host).volume(DISK.text).copy(new.text, "s1")
    assert contents(host, new) == {None: contents(host)["s1"]}
    assert contents(host, new)[None].size_bytes == 4 * MIB
    storage(host).volume(DISK.text).copy(f"vm-300-{new.text.removeprefix('vm-200-')}")
    assert contents(host, parse_volume_name(f"vm-300-{new.text.removeprefix('vm-200-')}"))[None].size_bytes == 64 * MIB


def test_raw_copy_is_rounded_up_to_an_extent_and_padded_with_zeros() -> None:
    host = SimHost()
    volume = storage(host).create(DISK.text, 5 * MIB + 512)
    copy = volume.copy(RAW_NEW.text)
    assert host.read(RAW_NEW.text) == Content(8 * MIB)
    assert copy.copy(NEW.text).info().virtual_size_bytes == 8 * MIB


def test_snapshot_on_a_side_branch_can_be_copied() -> None:
    host = beside(chain(2), "branch", S1)
    copy = storage(host).volume(DISK.text).copy(NEW.text, "branch")
    assert host.read(copy.name) == host.read(f"snap-branch-{DISK}") == host.read(S1)


def test_copy_of_a_volume_in_use_is_refused() -> None:
    host = chain(2)
    host.hold(DISK.text, Holder(HolderKind.PROCESS, "kvm", 7))
    error = refused(host, Copy(DISK, None, NEW))
    assert isinstance(error, InUse)
    assert "process 7 (kvm)" in str(error)


def test_snapshot_of_a_running_guest_can_be_copied() -> None:
    host = chain(2)
    host.hold(DISK.text, Holder(HolderKind.PROCESS, "kvm", 7))
    host.hold(S2, Holder(HolderKind.PROCESS, "kvm", 7))
    before = contents(host)
    storage(host).volume(DISK.text).copy(NEW.text, "s2")
    assert contents(host, NEW) == {None: before["s2"]}
    assert contents(host) == before


@pytest.mark.parametrize(
    ("host", "request_", "error"),
    [
        (chain(1), Copy(RAW, None, NEW), VolumeNotFound),
        (chain(1), Copy(DISK, "s2", NEW), SnapshotNotFound),
        (raw_volume(), Copy(RAW, "s1", NEW), SnapshotNotFound),
        (chain(1), Copy(DISK, None, DISK), AlreadyExists),
        (raw_volume(chain(1)), Copy(DISK, None, RAW), AlreadyExists),
        (chain(1, SimHost(size_bytes=20 * MIB)), Copy(DISK, None, NEW), NoSpace),
        (chain(1), Copy(DISK, None, parse_volume_name(f"vm-200-{'x' * 110}")), InvalidName),
        (run(chain(2), LvRemove((S1,))), Copy(DISK, "s2", NEW), Corrupt),
        (beside(chain(1), "branch", "snap-gone-vm-100-disk-0.qcow2"), Copy(DISK, "branch", NEW), Corrupt),
    ],
)
def test_impossible_copy_is_refused_before_any_change(host: SimHost, request_: Copy, error: type[LvmqcowError]) -> None:
    assert type(refused(host, request_)) is error


def test_copy_does_not_change_its_source() -> None:
    host = chain(2)
    before = state(host)
    after = run(host, *planned(host, Copy(DISK, None, NEW)).steps, LvRemove((NEW.text,)))
    assert state(after) == before
