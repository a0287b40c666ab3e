"""The class Storage: requests, dry runs, locks, recovery and listings, on simulated volume groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from lvmqcow.core.holder import Holder, HolderKind
from lvmqcow.core.names import Format, VolumeName
from lvmqcow.core.qcow2 import Header
from lvmqcow.core.wiping import Wipe
from lvmqcow.engine.events import Events
from lvmqcow.engine.locks import NoLocks
from lvmqcow.errors import (
    AlreadyExists,
    CommandFailed,
    Corrupt,
    FormatMismatch,
    InUse,
    InvalidName,
    InvalidSize,
    Locked,
    NoSpace,
    NothingChanged,
    OperationCut,
    RecoveryNeeded,
    SnapshotNotFound,
    VolumeNotFound,
)
from lvmqcow.operations import (
    Activate,
    Convert,
    Copy,
    Deactivate,
    DeleteSnapshot,
    Export,
    ExportStream,
    Merge,
    Plan,
    Remove,
    Rename,
    Request,
    Resize,
    Rollback,
    Snapshot,
)
from lvmqcow.operations.resize import Resizing
from lvmqcow.operations.rollback import RollingBack
from lvmqcow.steps import LvCreate, LvmStep, LvRemove, LvTag, Step
from lvmqcow.storage import Storage
from lvmqcow.system.callbacks import Progress
from lvmqcow.testing.cases.expected import called, changed, expected
from lvmqcow.testing.cases.operation_table import ELSEWHERE, OPERATIONS
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    RAW,
    VARIANTS,
    active,
    chain,
    contents,
    foreign,
    grown,
    inactive,
    intents,
    planned,
    raw_volume,
    refused,
    run,
    state,
    storage,
)
from lvmqcow.testing.content import Content, Write
from lvmqcow.testing.crash.simulated_cuts import cuts
from lvmqcow.testing.hostile.qcow2_bytes import header_bytes, qcow2
from lvmqcow.testing.simulated.host import SimHost

EVERY_OPERATION = pytest.mark.parametrize("operation", OPERATIONS)


class BrokenOff(SimHost):
    """A volume group on which a step fails after ``steps_left`` steps."""

    steps_left = 10**6

    def run(self, step: Step, progress: Progress | None = None) -> None:
        if self.steps_left == 0:
            raise CommandFailed(step.argv(self.vg), 5, "the machine is on fire")
        self.steps_left -= 1
        super().run(step, progress)


class Recorded:
    """Locks of a library user. They record the names they are asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.held: set[str] = set()

    @contextmanager
    def hold(self, vg: str, volume: str) -> Iterator[None]:
        if volume in self.held:
            raise Locked(f"{vg}/{volume}", "this test", 0)
        self.asked.append((vg, volume))
        self.held.add(volume)
        try:
            yield
        finally:
            self.held.remove(volume)


def cut_snapshot(host: SimHost) -> SimHost:
    """Begin a snapshot s9 of the disk, and stop before its commit point."""
    return run(host, *planned(host, Snapshot(DISK, "s9")).steps[:2])


def test_volume_lifecycle_from_create_to_remove() -> None:
    host = SimHost()
    with storage(host) as opened:
        volume = opened.create(DISK.text, 4 * MIB)
        host.guest_write(DISK.text, [Write(0, 2, 7)])
        volume.snapshot("s1")
        host.guest_write(DISK.text, [Write(0, 1, 8)])
        assert [layer.snapshot for layer in volume.layers()] == [None, "s1"]
        volume.rollback("s1")
        assert host.read(DISK.text) == Content(4 * MIB, {0: 7, 1: 7})
        volume.delete_snapshot("s1")
        assert host.read(DISK.text) == Content(4 * MIB, {0: 7, 1: 7})
        assert volume.check() == ()
        assert volume.recover() == ()
        volume.remove()
    assert host.observe().logical_volumes == ()


@EVERY_OPERATION
def test_dry_run_changes_nothing_and_shows_the_real_plan(operation: str) -> None:
    start, request = OPERATIONS[operation]
    host = start()
    before = state(host)
    shown = storage(host).plan(request)
    assert state(host) == before
    assert storage(host).apply(request) == shown


def steps_run(start: SimHost, request: Request) -> int:
    """The number of steps of a request, including those that read the headers first."""
    host = BrokenOff()
    host.__dict__.update(start.__dict__)
    storage(host).apply(request)
    return BrokenOff.steps_left - host.steps_left


@EVERY_OPERATION
def test_error_names_the_failed_step_and_the_recovery(operation: str) -> None:
    start, request = OPERATIONS[operation]
    plan = planned(start(), request)
    looking = steps_run(start(), request) - len(plan.steps)  # steps that read the headers of an inactive volume
    for done, step in enumerate(plan.steps):
        host = BrokenOff()
        host.__dict__.update(start().__dict__, steps_left=looking + done)
        with pytest.raises(OperationCut) as cut:
            storage(host).apply(request)
        error = cut.value
        assert (error.operation, error.target, error.done, error.steps) == (
            plan.operation,
            plan.target,
            done,
            len(plan.steps),
        )
        began = done > 0 or not isinstance(step, LvmStep)  # the report does not show the data in an LV
        assert isinstance(error, NothingChanged) != began
        assert ("Nothing was changed" in str(error)) != began
        leaves_nothing = not began or isinstance(request, Activate | Deactivate | Export | ExportStream)
        assert error.outcome == ("" if leaves_nothing else "finishes" if done >= plan.commit_point else "undoes")
        assert ("lvmqcow recover" in str(error)) != leaves_nothing
        assert isinstance(error.cause, CommandFailed)
        assert error.cause.argv == step.argv("sim")
        assert "the machine is on fire" in str(error)


def test_error_does_not_affect_the_next_operation() -> None:
    host = BrokenOff()
    host.__dict__.update(chain(1).__dict__, steps_left=1)
    one = storage(host)
    with pytest.raises(SnapshotNotFound):
        one.volume(DISK.text).rollback("s9")
    with pytest.raises(OperationCut):
        one.volume(DISK.text).snapshot("s2")
    host.steps_left = 100
    one.volume(DISK.text).snapshot("s2")
    assert one.volume(DISK.text).info().snapshots == ("s1", "s2")


def test_next_operation_recovers_first_and_reports_it() -> None:
    heard: list[Plan] = []
    host = cut_snapshot(chain(1))
    Storage(host, NoLocks(), Events(recovered=heard.append)).volume(DISK.text).snapshot("s2")
    assert [plan.operation for plan in heard] == ["undo snapshot"]
    assert contents(host).keys() == {None, "s1", "s2"}
    assert storage(host).check() == ()


def test_dry_run_on_a_cut_volume_shows_the_recovery() -> None:
    host = cut_snapshot(chain(1))
    assert storage(host).plan(Snapshot(DISK, "s2")).operation == "undo snapshot"


def test_operation_asks_for_recovery_if_automatic_recovery_is_off() -> None:
    host = cut_snapshot(chain(1))
    before = state(host)
    careful = Storage(host, NoLocks(), recover_first=False)
    with pytest.raises(RecoveryNeeded, match="undo snapshot"):
        careful.volume(DISK.text).snapshot("s2")
    assert state(host) == before
    assert [plan.operation for plan in careful.recover()] == ["undo snapshot"]
    careful.volume(DISK.text).snapshot("s2")


def test_recover_handles_one_volume_or_all() -> None:
    host = chain(1, cut_snapshot(chain(1)), NEIGHBOUR)
    host = run(host, *planned(host, Snapshot(NEIGHBOUR, "s9")).steps[:1])
    assert [plan.volume for plan in storage(host.copy()).recover()] == [DISK, NEIGHBOUR]
    assert [plan.volume for plan in storage(host.copy()).recover(NEIGHBOUR.text)] == [NEIGHBOUR]


@pytest.mark.parametrize("merge", [Merge.PULL, Merge.PUSH])
def test_operation_can_follow_any_cut_at_once(merge: Merge) -> None:
    for cut in cuts(chain(3), planned(chain(3), DeleteSnapshot(DISK, "s2", merge))):
        before = contents(chain(3))
        storage(cut.host).volume(DISK.text).snapshot("next")
        found = contents(cut.host)
        assert found["next"] == found[None] == before[None], str(cut)
        assert (found["s1"], found["s3"]) == (before["s1"], before["s3"]), str(cut)
        assert intents(cut.host) == []


def test_custom_locks_are_held_for_changes_but_not_for_reads() -> None:
    locks = Recorded()
    opened = Storage(chain(1, raw_volume()), locks)
    volume = opened.volume(DISK.text)
    volume.info(), volume.layers(), volume.check(), volume.path(), opened.volumes(), opened.picture()
    opened.plan(Snapshot(DISK, "s2"))
    assert locks.asked == []
    volume.snapshot("s2")
    opened.recover()
    assert locks.asked == [("sim", DISK.text), ("sim", DISK.text), ("sim", RAW.text)]
    assert locks.held == set()


class Guarded(SimHost):
    """A volume group that accepts a step only while these locks are held."""

    locks: Recorded
    names: frozenset[str]

    def run(self, step: Step, progress: Progress | None = None) -> None:
        assert self.locks.held >= self.names, step
        super().run(step, progress)


@EVERY_OPERATION
def test_every_step_runs_under_the_locks_of_all_its_volumes(operation: str) -> None:
    start, request = OPERATIONS[operation]
    host, locks = Guarded(), Recorded()
    names = {request.volume.text, changed(request).text, called(request).text}
    host.__dict__.update(start().__dict__, locks=locks, names=names)
    Storage(host, locks).apply(request)
    assert locks.held == set()


def test_locked_volume_is_refused_but_its_neighbour_is_not() -> None:
    locks, host = Recorded(), chain(1, chain(1), NEIGHBOUR)
    opened = Storage(host, locks)
    with locks.hold("sim", DISK.text):
        before = state(host)
        with pytest.raises(Locked):
            opened.volume(DISK.text).remove()
        assert state(host) == before
        opened.volume(NEIGHBOUR.text).remove()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda opened: opened.create("disk", MIB), InvalidName),
        (lambda opened: opened.create("vm-1-x", MIB, Format.QCOW2), FormatMismatch),
        (lambda opened: opened.create("vm-1-x", 0), InvalidSize),
        (lambda opened: opened.create("vm-1-x", 65 * 1024**4), InvalidSize),
        (lambda opened: opened.create("vm-1-x", 4 * 1024**3), NoSpace),
        (lambda opened: opened.create(DISK.text, MIB), AlreadyExists),
        (lambda opened: opened.volume("disk"), InvalidName),
        (lambda opened: opened.volume("vm-1-x").info(), VolumeNotFound),
        (lambda opened: opened.volume("vm-1-x").layers(), VolumeNotFound),
        (lambda opened: opened.volume("vm-1-x").path(), VolumeNotFound),
        (lambda opened: opened.volume("vm-1-x").check(), VolumeNotFound),
        (lambda opened: opened.volume(DISK.text).path("s9"), SnapshotNotFound),
    ],
)
def test_invalid_request_is_refused_before_any_change(
    wrong: Callable[[Storage], object], error: type[Exception]
) -> None:
    host = chain(1)
    before = state(host)
    with pytest.raises(error):
        wrong(storage(host))
    assert state(host) == before


def test_create_rounds_sizes_up_to_sectors() -> None:
    host = SimHost()
    assert storage(host).create(DISK.text, 4 * MIB + 1).info().virtual_size_bytes == 4 * MIB + 512


def test_path_of_a_cut_volume_is_refused_until_recovery() -> None:
    """A guest could read half-done work, and recovery could undo its writes."""
    for left in (RollingBack(f"snap-s1-{DISK}"), Resizing(4 * MIB, 8 * MIB)):
        volume = storage(run(chain(1), LvTag((DISK.text,), add=(left.tag,)))).volume(DISK.text)
        with pytest.raises(RecoveryNeeded):
            volume.path()
        volume.recover()
        assert volume.path() == Path(f"/dev/sim/{DISK}")


def test_list_shows_volumes_by_name_with_snapshots_oldest_first() -> None:
    host = run(chain(2, raw_volume()), LvCreate("root", MIB, ()), LvCreate("swap", MIB, ("other",)))
    listed = storage(host).volumes()
    assert [
        (info.name, info.format, info.virtual_size_bytes, info.lv_size_bytes, info.snapshots) for info in listed
    ] == [
        (DISK.text, Format.QCOW2, 4 * MIB, 24 * MIB, ("s1", "s2")),
        (RAW.text, Format.RAW, 4 * MIB, 4 * MIB, ()),
    ]


@pytest.mark.parametrize("variant", VARIANTS)
def test_list_is_the_same_for_inactive_volumes_and_activates_nothing(variant: str) -> None:
    host = VARIANTS[variant](grown(2))
    before = state(host)
    assert storage(host).volumes() == storage(grown(2)).volumes()
    assert storage(host).volume(DISK.text).info() == storage(grown(2)).volume(DISK.text).info()
    assert state(host) == before


def test_layers_are_listed_from_the_current_one_down() -> None:
    layers = storage(grown(2)).volume(DISK.text).layers()
    s1, s2 = f"snap-s1-{DISK}", f"snap-s2-{DISK}"
    assert [(layer.lv, layer.snapshot, layer.parent, layer.virtual_size_bytes) for layer in layers] == [
        (DISK.text, None, s2, 64 * MIB),
        (s2, "s2", s1, 4 * MIB),
        (s1, "s1", None, 4 * MIB),
    ]
    assert all(layer.allocated_bytes for layer in layers)


def test_allocated_size_of_an_inactive_layer_is_unknown() -> None:
    assert {layer.allocated_bytes for layer in storage(inactive(chain(1))).volume(DISK.text).layers()} == {None}


def test_path_is_the_device_of_the_layer() -> None:
    volume = storage(chain(1)).volume(DISK.text)
    assert volume.path() == Path(f"/dev/sim/{DISK}")
    assert volume.path("s1") == Path(f"/dev/sim/snap-s1-{DISK}")


@pytest.mark.parametrize(("name", "size_bytes"), [(DISK.text, 5 * MIB), (RAW.text, 8 * MIB)])
def test_imported_file_keeps_its_content(tmp_path: Path, name: str, size_bytes: int) -> None:
    path = tmp_path / "disk.qcow2"
    qcow2(header_bytes(size_bytes=5 * MIB), cluster_bits=17).write(path)
    host = SimHost(files={str(path): Content(5 * MIB, {3: 9})})
    imported = storage(host).import_file(path, name)
    assert host.read(imported.name) == Content(size_bytes, {3: 9})
    assert imported.check() == ()


def test_import_is_refused_if_qemu_reads_another_size(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    qcow2(header_bytes(size_bytes=5 * MIB), cluster_bits=17).write(path)
    host = SimHost(files={str(path): Content(4 * MIB, {3: 9})})
    with pytest.raises(Corrupt, match="5 MiB, and qemu-img would read 4 MiB of it"):
        storage(host).import_file(path, DISK.text)
    assert storage(host).volumes() == ()


def test_auto_merge_chooses_the_smaller_transfer() -> None:
    def commands_of(host: SimHost) -> set[str]:
        return {argv[1] for argv in storage(host).plan(DeleteSnapshot(DISK, "s1")).commands if argv[0] == "qemu-img"}

    small_child, small_snapshot = chain(0), SimHost()
    small_child.guest_write(DISK.text, [Write(100, 500, 1)])
    storage(small_child).volume(DISK.text).snapshot("s1")
    small_child.guest_write(DISK.text, [Write(0, 1, 2)])
    storage(small_snapshot).create(DISK.text, 4 * MIB).snapshot("s1")
    small_snapshot.guest_write(DISK.text, [Write(100, 500, 1)])
    assert commands_of(small_child) == {"commit"}
    assert commands_of(small_snapshot) == {"rebase"}


def test_auto_merge_on_an_inactive_volume_follows_the_rfc_rule() -> None:
    host = inactive(chain(2))
    for snapshot in ("s1", "s2"):
        auto, seed = (storage(host).plan(DeleteSnapshot(DISK, snapshot, merge)) for merge in (Merge.AUTO, Merge.RFC))
        assert auto == seed


UNREAD = {
    name: request
    for name, (start, request) in OPERATIONS.items()
    if name.endswith(", inactive")
    and isinstance(request, Snapshot | Rollback | DeleteSnapshot | Resize | Rename | Copy)
    if request.volume == DISK and "grown" not in name and len(contents(start())) == 3
}


def unread() -> SimHost:
    return inactive(foreign(chain(2, chain(1, None, NEIGHBOUR))))


@pytest.mark.parametrize("request_", UNREAD.values(), ids=UNREAD)
def test_inactive_volume_of_proxmox_ve_is_activated_only_to_read_headers(request_: Request) -> None:
    host = unread()
    before, beside = contents(host), contents(host, NEIGHBOUR)
    shown = storage(host).plan(request_)
    assert state(host) == state(unread())
    assert storage(host).apply(request_) == shown
    assert contents(host, called(request_)) == expected(request_, before)
    assert contents(host, NEIGHBOUR) == beside
    assert [lv.name for lv in host.observe().logical_volumes if lv.active] == []
    assert storage(active(host)).check() == ()


def test_activation_to_read_headers_needs_the_lock() -> None:
    locks = Recorded()
    Storage(unread(), locks).plan(Snapshot(DISK, "s3"))
    assert locks.asked == [("sim", DISK.text)]
    with locks.hold("sim", DISK.text), pytest.raises(Locked):
        Storage(unread(), locks).plan(Snapshot(DISK, "s3"))


def test_deactivate_and_rename_of_a_volume_in_use_name_its_holders() -> None:
    host = chain(1)
    host.hold(f"snap-s1-{DISK}", Holder(HolderKind.PROCESS, "cat", 7), Holder(HolderKind.DEVICE, "dm-9"))
    for request in (Deactivate(DISK), Rename(DISK, ELSEWHERE)):
        error = refused(host, request)
        assert isinstance(error, InUse)
        assert error.holders == tuple(f"snap-s1-{DISK} by {holder}" for holder in ("process 7 (cat)", "device dm-9"))
    host.hold(f"snap-s1-{DISK}")
    storage(host).volume(DISK.text).deactivate()


@pytest.mark.parametrize(
    "request_",
    [
        Snapshot(DISK, "s3"),
        Rollback(DISK, "s2"),
        Resize(DISK, 64 * MIB),
        DeleteSnapshot(DISK, "s2", Merge.PULL),
        DeleteSnapshot(DISK, "s2", Merge.PUSH),
        Remove(DISK),
    ],
    ids=repr,
)
def test_operation_under_a_running_guest_is_refused(request_: Request) -> None:
    host = chain(2)
    host.hold(DISK.text, Holder(HolderKind.PROCESS, "qemu-system-x86", 7))
    assert isinstance(refused(host, request_), InUse)


def test_layer_that_an_operation_does_not_change_may_be_in_use() -> None:
    host = chain(2)
    host.hold(f"snap-s1-{DISK}", Holder(HolderKind.PROCESS, "backup", 7))
    storage(host).volume(DISK.text).snapshot("s3")
    storage(host).volume(DISK.text).rollback("s3")


def test_recovery_is_refused_while_a_guest_runs() -> None:
    host = run(chain(1), LvTag((DISK.text,), add=(RollingBack(f"snap-s1-{DISK}").tag,)))
    host.hold(DISK.text, Holder(HolderKind.PROCESS, "qemu-system-x86", 7))
    with pytest.raises(InUse):
        storage(host).recover(DISK.text)


class LeadingOut(SimHost):
    """A volume group where the header of the disk names an external data file, and the tags do not."""

    def headers(self, lv_names: Iterable[str]) -> Mapping[str, Header]:
        found = super().headers(lv_names)
        return {name: replace(header, external_data=name == DISK.text) for name, header in found.items()}


@pytest.mark.parametrize("start", [chain, lambda depth: inactive(chain(depth))], ids=["active", "inactive"])
@pytest.mark.parametrize("request_", [DeleteSnapshot(DISK, "s2"), Resize(DISK, 64 * MIB), Rename(DISK, ELSEWHERE)])
def test_external_data_file_is_refused_even_on_an_inactive_volume(
    start: Callable[[int], SimHost], request_: Request
) -> None:
    host = LeadingOut()
    host.__dict__.update(start(2).__dict__)
    error = refused(host, request_)
    assert isinstance(error, Corrupt)
    assert "its data is in another file" in str(error)


class OpenedLate(SimHost):
    """A volume group where another process opens the disk just before LVM deactivates it."""

    def run(self, step: Step, progress: Progress | None = None) -> None:
        self.hold(DISK.text, Holder(HolderKind.PROCESS, "cat", 7))
        super().run(step, progress)


def test_process_that_opens_a_volume_late_is_named() -> None:
    host = OpenedLate()
    host.__dict__.update(chain(1).__dict__)
    with pytest.raises(InUse, match=r"process 7 \(cat\)"):
        storage(host).volume(DISK.text).deactivate()


def test_rename_holds_the_locks_of_both_names() -> None:
    locks, host = Recorded(), chain(1)
    renamed = Storage(host, locks).volume(DISK.text).rename(ELSEWHERE.text)
    assert locks.asked == [("sim", DISK.text), ("sim", ELSEWHERE.text)]
    assert renamed.name == ELSEWHERE.text
    for name in (DISK, ELSEWHERE):
        with locks.hold("sim", name.text), pytest.raises(Locked):
            Storage(chain(1), locks).apply(Rename(DISK, ELSEWHERE))


@pytest.mark.parametrize("request_", [Copy(DISK, "s1", ELSEWHERE), Convert(RAW, ELSEWHERE)])
def test_copy_and_convert_hold_the_locks_of_both_names(request_: Copy | Convert) -> None:
    locks, host = Recorded(), chain(1, raw_volume())
    Storage(host, locks).apply(request_)
    assert locks.asked == [("sim", request_.volume.text), ("sim", request_.new.text)]
    for name in (request_.volume, request_.new):
        with locks.hold("sim", name.text), pytest.raises(Locked):
            Storage(chain(1, raw_volume()), locks).apply(request_)


@pytest.mark.parametrize("by", [RAW, ELSEWHERE])
@pytest.mark.parametrize("done", [1, 4, 7])
def test_recovery_of_a_convert_holds_the_locks_of_both_names(by: VolumeName, done: int) -> None:
    request = Convert(RAW, ELSEWHERE)
    cut, locks = run(raw_volume(), *planned(raw_volume(), request).steps[:done]), Recorded()
    other = ELSEWHERE if by == RAW else RAW
    with locks.hold("sim", other.text), pytest.raises(Locked):
        Storage(cut, locks).recover(by.text)
    Storage(cut, locks).recover(by.text)
    assert {volume for _, volume in locks.asked} == {RAW.text, ELSEWHERE.text}
    assert intents(cut) == []


@pytest.mark.parametrize("by", [DISK, ELSEWHERE])
def test_second_lock_is_taken_in_the_order_of_names(by: VolumeName) -> None:
    """Any other order can deadlock two processes."""
    cut = run(chain(1), *planned(chain(1), Rename(DISK, ELSEWHERE)).steps[:2])
    locks = InOrder()
    Storage(cut.copy(), locks).recover(by.text)
    assert locks.most == 2
    locks = InOrder()
    with suppress(VolumeNotFound):  # the volume already has the new name
        Storage(cut.copy(), locks).apply(Remove(by))
    assert locks.most == 2


class InOrder(Recorded):
    """Locks that can only be taken in the order of their names."""

    most = 0

    @contextmanager
    def hold(self, vg: str, volume: str) -> Iterator[None]:
        assert all(other < volume for other in self.held), f"{volume} is asked for, and {self.held} are held"
        with super().hold(vg, volume):
            self.most = max(self.most, len(self.held))
            yield


@pytest.mark.parametrize("by", [DISK, ELSEWHERE])
def test_recovery_of_a_rename_holds_the_locks_of_both_names(by: VolumeName) -> None:
    cut = run(chain(1), *planned(chain(1), Rename(DISK, ELSEWHERE)).steps[:2])
    locks = Recorded()
    (ran,) = Storage(cut.copy(), locks).recover(by.text)
    assert (ran.operation, ran.volume) == ("finish rename", DISK)
    assert {volume for _, volume in locks.asked} == {DISK.text, ELSEWHERE.text}
    other = ELSEWHERE if by == DISK else DISK
    with locks.hold("sim", other.text), pytest.raises(Locked):
        Storage(cut, locks).recover(by.text)


def test_new_name_of_a_cut_rename_is_taken() -> None:
    cut = run(chain(1), *planned(chain(1), Rename(DISK, ELSEWHERE)).steps[:2])
    with pytest.raises(AlreadyExists):
        storage(cut).create(ELSEWHERE.text, MIB)
    assert contents(cut, ELSEWHERE) == contents(chain(1))
    assert contents(cut) == {}


def test_damaged_volume_can_be_listed_and_checked_but_not_changed() -> None:
    host = run(chain(2), LvRemove((f"snap-s1-{DISK}",)))
    volume = storage(host).volume(DISK.text)
    assert volume.info().snapshots == ("s2",)
    assert volume.check() != ()
    for change in (volume.snapshot, volume.rollback, volume.delete_snapshot):
        with pytest.raises(Corrupt):
            change("s2" if change != volume.snapshot else "s3")


def test_damaged_volume_does_not_hide_the_others_from_the_list() -> None:
    host = chain(1, run(chain(1), LvTag((DISK.text,), add=("lvmqcow.intent=copy",))), NEIGHBOUR)
    assert [info.name for info in storage(host).volumes()] == [DISK.text, NEIGHBOUR.text]


@pytest.mark.parametrize("request_", [Remove(DISK), DeleteSnapshot(DISK, "s1", Merge.PUSH)])
def test_storage_wipe_mode_applies_unless_the_request_has_one(request_: Remove | DeleteSnapshot) -> None:
    def wiped_with(default: Wipe, asked: Wipe | None) -> set[str]:
        """The options of the blkdiscard commands."""
        plan = Storage(chain(1), NoLocks(), wipe=default).plan(replace(request_, wipe=asked))
        return {argv[1] for argv in plan.commands if argv[0] == "blkdiscard"}

    assert wiped_with(Wipe.ZERO, None) == {"--zeroout"}
    assert wiped_with(Wipe.DISCARD, None) == {"--step"}
    assert wiped_with(Wipe.ZERO, Wipe.DISCARD) == {"--step"}
    assert wiped_with(Wipe.ZERO, Wipe.NONE) == set()
    assert wiped_with(Wipe.NONE, None) == set()
    assert wiped_with(Wipe.NONE, Wipe.ZERO) == {"--zeroout"}


@pytest.mark.parametrize(
    "request_", [Remove(DISK), Snapshot(DISK, "s9"), Activate(DISK), Deactivate(DISK), Rename(DISK, ELSEWHERE)]
)
def test_volume_with_only_doomed_lvs_is_not_found(request_: Request) -> None:
    host = run(SimHost(), LvCreate(f"del-{DISK}", MIB, DISK.tags))  # of another tool: recovery removes ours first
    assert isinstance(refused(host, request_), VolumeNotFound)
    with pytest.raises(VolumeNotFound):
        storage(host).volume(DISK.text).info()
    assert storage(host).create(DISK.text, MIB).info().snapshots == ()
    assert f"del-{DISK}" in host.observe().lv_names


def test_begun_event_comes_before_every_step() -> None:
    host = chain(1)
    begun: list[Step] = []
    plan = Storage(host, NoLocks(), Events(begun=begun.append)).apply(Remove(DISK, Wipe.ZERO))
    assert tuple(begun) == plan.steps


def test_invalid_vg_name_is_refused_before_lvm_runs() -> None:
    with pytest.raises(InvalidName):
        Storage.open("-vg")


class NeighbourChanging(SimHost):
    """The devices of the neighbour disappear after the report and before the read of their headers."""

    def headers(self, lv_names: Iterable[str]) -> Mapping[str, Header]:
        wanted = tuple(lv_names)
        if any(NEIGHBOUR.text in name for name in wanted):
            raise CommandFailed(("read", *wanted), 6, "No such device or address")
        return super().headers(wanted)


def test_concurrent_change_of_a_neighbour_does_not_disturb() -> None:
    host = NeighbourChanging()
    host.__dict__.update(foreign(chain(1, chain(1, None, NEIGHBOUR))).__dict__)
    mine, other = storage(host).volume(DISK.text), storage(host).volume(NEIGHBOUR.text)
    assert mine.path() == Path(f"/dev/sim/{DISK}")
    assert {info.name: info.virtual_size_bytes for info in storage(host).volumes()} == {
        DISK.text: mine.info().virtual_size_bytes,
        NEIGHBOUR.text: None,
    }
    mine.delete_snapshot("s1")
    for look in (other.path, other.info):
        with pytest.raises(CommandFailed, match="No such device"):
            look()
