"""Conversion of a volume between raw and qcow2."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lvmqcow.core.holder import Holder, HolderKind
from lvmqcow.core.names import VolumeName, in_other_format, parse_volume_name
from lvmqcow.errors import (
    AlreadyExists,
    Corrupt,
    FormatMismatch,
    InUse,
    LvmqcowError,
    NoSpace,
    NotPossible,
    OperationCut,
    VolumeNotFound,
)
from lvmqcow.operations import Convert, Copy, Create, Remove, Rename, Request, Resize, Snapshot
from lvmqcow.steps import ImageCopy, LvCreate, LvRemove, LvRename, LvTag, Step
from lvmqcow.system.callbacks import Progress
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    RAW,
    chain,
    commands,
    contents,
    inactive,
    intents,
    planned,
    raw_volume,
    refused,
    run,
    state,
    storage,
)
from lvmqcow.testing.content import Write
from lvmqcow.testing.crash.simulated_cuts import cuts
from lvmqcow.testing.simulated.host import SimHost

QCOW2, PLAIN = in_other_format(RAW), in_other_format(DISK)
TO_QCOW2, TO_RAW = Convert(RAW, QCOW2), Convert(DISK, PLAIN)
BOTH = pytest.mark.parametrize(("host", "request_"), [(raw_volume(), TO_QCOW2), (chain(0), TO_RAW)])


def test_convert_completes_the_new_volume_before_renaming_the_old() -> None:
    plan = planned(chain(0), TO_RAW)
    assert commands(plan) == [
        f"lvchange --addtag lvmqcow.intent=convert/{PLAIN} sim/{DISK}",
        "lvcreate --yes --wipesignatures y --zero y --setautoactivation n --addtag pve-vm-100 "
        f"--addtag lvmqcow.intent=create --size {4 * MIB}b --name {PLAIN} sim",
        f"blkdiscard --zeroout --step 33554432 /dev/sim/{PLAIN}",
        f"qemu-img convert -p -n --target-is-zero -f qcow2 -O raw /dev/sim/{DISK} /dev/sim/{PLAIN}",
        f"lvchange --activate n sim/{DISK}",
        f"lvrename sim {DISK} del-{DISK}",
        f"lvchange --deltag lvmqcow.intent=create sim/{PLAIN}",
        f"lvremove --yes sim/del-{DISK}",
    ]
    assert (plan.operation, plan.volume, plan.other_names, plan.commit_point) == ("convert", DISK, (PLAIN,), 6)


def test_inactive_volume_is_activated_to_convert_and_ends_inactive() -> None:
    made = commands(planned(inactive(raw_volume()), TO_QCOW2))
    assert made[1] == f"lvchange --activate ey sim/{RAW}"
    assert f"lvchange --activate n sim/{RAW} sim/{QCOW2}" in made


def test_converting_there_and_back_restores_the_volume() -> None:
    host = chain(0)
    before, content = host.observe(), host.read(DISK.text)
    there = storage(host).volume(DISK.text).convert()
    assert (there.name, host.read(PLAIN.text)) == (PLAIN.text, content)
    assert host.observe().lv_names == {PLAIN.text}
    back = there.convert()
    after = host.observe()
    assert (back.name, host.read(DISK.text)) == (DISK.text, content)
    assert [(lv.name, lv.size_bytes, lv.tags) for lv in after.logical_volumes] == [
        (lv.name, lv.size_bytes, lv.tags) for lv in before.logical_volumes
    ]


def test_convert_with_snapshots_is_refused_and_suggests_a_copy() -> None:
    host = chain(2)
    error = refused(host, TO_RAW)
    assert isinstance(error, NotPossible)
    assert "s1, s2" in str(error)
    assert f"lvmqcow copy sim/{DISK} {PLAIN}" in str(error)
    storage(host).volume(DISK.text).copy(PLAIN.text)
    assert host.read(PLAIN.text) == host.read(DISK.text)


def test_refused_raw_snapshot_suggests_convert() -> None:
    host = raw_volume()
    error = refused(host, Snapshot(RAW, "s1"))
    assert f"`lvmqcow convert sim/{RAW}`" in str(error)
    storage(host).volume(RAW.text).convert().snapshot("s1")


@pytest.mark.parametrize(
    ("host", "request_", "error"),
    [
        (chain(0), TO_QCOW2, VolumeNotFound),
        (chain(0), Convert(DISK, parse_volume_name("vm-100-x.qcow2")), FormatMismatch),
        (raw_volume(), Convert(RAW, PLAIN), FormatMismatch),
        (raw_volume(chain(0)), Convert(RAW, DISK), AlreadyExists),
        (run(chain(0), LvCreate(PLAIN.text, MIB, ())), TO_RAW, AlreadyExists),
        (chain(0, SimHost(size_bytes=8 * MIB)), TO_RAW, NoSpace),
    ],
)
def test_impossible_convert_is_refused_before_any_change(
    host: SimHost, request_: Convert, error: type[LvmqcowError]
) -> None:
    assert type(refused(host, request_)) is error


@BOTH
def test_convert_of_a_volume_in_use_is_refused(host: SimHost, request_: Convert) -> None:
    used = host.copy()
    used.hold(request_.volume.text, Holder(HolderKind.PROCESS, "kvm", 7))
    assert isinstance(refused(used, request_), InUse)


class Opened(SimHost):
    """A guest opens the volume and writes to it during the copy."""

    def run(self, step: Step, progress: Progress | None = None) -> None:
        super().run(step, progress)
        if isinstance(step, ImageCopy):
            self.guest_write(RAW.text, [Write(9, 1, 0x99)])
            self.hold(RAW.text, Holder(HolderKind.PROCESS, "kvm", 7))


def test_guest_writes_during_convert_are_not_lost() -> None:
    host = Opened()
    raw_volume(host)
    with pytest.raises(OperationCut, match="undoes the convert"):
        storage(host).apply(TO_QCOW2)
    content = host.read(RAW.text)
    assert content.blocks[9] == 0x99
    storage(host).recover()
    assert host.read(RAW.text) == content
    assert host.observe().lv_names == {RAW.text}
    assert intents(host) == []


NEXT: dict[str, Callable[[VolumeName, VolumeName], Request]] = {
    "remove the old": lambda old, new: Remove(old),
    "remove the new": lambda old, new: Remove(new),
    "create the old": lambda old, new: Create(old, 4 * MIB),
    "create the new": lambda old, new: Create(new, 4 * MIB),
    "resize the old": lambda old, new: Resize(old, 8 * MIB),
    "resize the new": lambda old, new: Resize(new, 8 * MIB),
    "rename another to the new": lambda old, new: Rename(another(new), new),
    "rename the new": lambda old, new: Rename(new, parse_volume_name(new.text.replace("vm-100", "vm-300"))),
    "copy the new": lambda old, new: Copy(new, None, parse_volume_name("vm-300-y.qcow2")),
    "convert the old again": lambda old, new: Convert(old, new),
    "convert the new back": lambda old, new: Convert(new, old),
}


def another(name: VolumeName) -> VolumeName:
    """The name of another volume of the same format."""
    return parse_volume_name("vm-400-z.qcow2" if name.text.endswith(".qcow2") else "vm-400-z")


@BOTH
@pytest.mark.parametrize("following", NEXT)
def test_next_request_after_a_cut_convert_sees_old_or_new_volume(
    host: SimHost, request_: Convert, following: str
) -> None:
    """Both names and all content are as before the conversion or as after it."""
    old, new = request_.volume, request_.new
    begun = host.copy()
    storage(begun).create(another(new).text, 4 * MIB)
    plan = planned(begun, request_)
    next_request = NEXT[following](old, new)
    for cut in cuts(begun, plan):
        whole = run(begun, *plan.steps) if cut.done >= plan.commit_point else begun.copy()
        assert outcome(cut.host, next_request) == outcome(whole, next_request), str(cut)
        assert intents(cut.host) == [], str(cut)
        for name in {volume.name for host in (cut.host, whole) for volume in host.observe().volumes}:
            assert contents(cut.host, name) == contents(whole, name), f"{cut}: {name}"
        assert cut.host.observe().lv_names == whole.observe().lv_names, str(cut)


def outcome(host: SimHost, request: Request) -> object:
    try:
        return storage(host).apply(request).operation
    except LvmqcowError as error:
        return type(error)


@BOTH
def test_recovery_of_convert_never_removes_the_only_copy(host: SimHost, request_: Convert) -> None:
    """Another tool removed the new volume after the commit point."""
    plan = planned(host, request_)
    cut = run(host, *plan.steps[: plan.commit_point], LvRemove((request_.new.text,)))
    before = state(cut)
    for name in (request_.volume, request_.new):
        with pytest.raises(Corrupt, match=f"del-{request_.volume}"):
            storage(cut).recover(name.text)
    assert state(cut) == before
    assert storage(cut).check()


@BOTH
def test_foreign_volume_with_the_new_name_survives_recovery(host: SimHost, request_: Convert) -> None:
    plan = planned(host, request_)
    cut = run(host, plan.steps[0], LvCreate(request_.new.text, 4 * MIB, request_.new.tags))
    storage(cut).recover()
    assert cut.observe().lv_names == {request_.volume.text, request_.new.text}
    assert intents(cut) == []


@BOTH
def test_convert_numbers_the_doomed_lv_if_one_exists(host: SimHost, request_: Convert) -> None:
    earlier = run(host, LvCreate(f"del-{request_.volume}", 4 * MIB, request_.volume.tags))
    plan = planned(earlier, request_)
    assert LvRename(request_.volume.text, f"del-2-{request_.volume}") in plan.steps
    after = run(earlier, *plan.steps)
    assert after.observe().lv_names == {request_.new.text, f"del-{request_.volume}"}


def test_convert_sets_its_intent_first() -> None:
    for host in (raw_volume(), inactive(raw_volume())):
        assert isinstance(planned(host, TO_QCOW2).steps[0], LvTag)
