"""The public API, used as a program uses it. mypy checks this file; nothing runs it.

``assert_type`` says which type a result has. Each ``type: ignore`` in `mistakes` marks a mistake that mypy must find:
if mypy stops finding it, mypy --strict reports the comment as unused.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import assert_never, assert_type

from lvmqcow import (
    Activate,
    Clone,
    Condition,
    Convert,
    Copy,
    Create,
    Deactivate,
    DeleteSnapshot,
    Events,
    Export,
    ExportStream,
    Finding,
    Flatten,
    Format,
    GroupInfo,
    Grow,
    Import,
    ImportStream,
    LayerInfo,
    Layout,
    LvmqcowError,
    Merge,
    Newer,
    Plan,
    Remove,
    Rename,
    Resize,
    Rollback,
    Severity,
    Snapshot,
    SourceFormat,
    State,
    Storage,
    StreamFormat,
    Template,
    Volume,
    VolumeInfo,
    VolumeName,
    Wipe,
    parse_size,
    parse_volume_name,
)
from lvmqcow.errors import (
    CommandFailed,
    Corrupt,
    InUse,
    Locked,
    NewerSnapshots,
    NoSpace,
    NotPossible,
    OperationCut,
    SnapshotHasChildren,
    SnapshotNotFound,
    Unchangeable,
    VolumeNotFound,
)
from lvmqcow.seams import FlockLocks, Locks, NoLocks
from lvmqcow.testing.machine import StorageMachine, machine
from lvmqcow.testing.simulated.host import SimHost
from lvmqcow.testing.worlds import RealWorld, SimWorld, World


class ThreadLocks:
    """A program's own locks. The class inherits nothing from lvmqcow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, vg: str, volume: str) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise Locked(f"{vg}/{volume}", "another thread", 0)
        try:
            yield
        finally:
            self._lock.release()


class Told:
    """A program's own callbacks."""

    def recovered(self, plan: Plan) -> None:
        assert_type(plan.operation, str)

    def postponed(self, error: LvmqcowError) -> None:
        assert_type(error.exit_status, int)

    def progress(self, percent: float) -> None: ...

    def waiting(self, argv: Sequence[str]) -> None: ...

    def warned(self, text: str) -> None: ...

    def trace(self, argv: Sequence[str]) -> None: ...


def opened() -> Storage:
    told = Told()
    locks: Locks = ThreadLocks()
    events = Events(
        recovered=told.recovered,
        postponed=told.postponed,
        progress=told.progress,
        waiting=told.waiting,
        warned=told.warned,
    )
    return Storage.open(
        "vg0",
        lvm="process",
        locks=locks,
        events=events,
        trace=told.trace,
        recover_first=False,
        layout=Layout.PVE9,
        wipe=Wipe.DISCARD,
        wipe_bytes_per_second=parse_size("100M"),
    )


def storage_verbs() -> None:
    with Storage.open("vg0", locks=FlockLocks(Path("/run/lock/mine"), wait_seconds=10)) as storage:
        assert_type(storage, Storage)
        assert_type(storage.vg, str)
        assert_type(storage.volumes(), tuple[VolumeInfo, ...])
        assert_type(storage.listing(), tuple[GroupInfo, tuple[VolumeInfo, ...]])
        assert_type(storage.volume("vm-100-disk-0.qcow2"), Volume)
        assert_type(storage.create("vm-100-disk-0.qcow2", parse_size("10G")), Volume)
        assert_type(storage.create("vm-100-disk-1", 1024**3, Format.RAW), Volume)
        assert_type(storage.create_disk(100, 1024**3), Volume)
        assert_type(storage.allocate(100, 1024**3, Format.RAW), Plan)
        assert_type(storage.free_name(100), VolumeName)
        assert_type(storage.import_file(Path("disk.vmdk"), "vm-100-disk-2.qcow2", SourceFormat.VMDK), Volume)
        assert_type(storage.import_stream(0, "vm-100-disk-3", 1024**3), Volume)
        assert_type(storage.plan_recovery("vm-100-disk-0.qcow2"), Plan)
        assert_type(storage.recover(), tuple[Plan, ...])
        assert_type(storage.recover("vm-100-disk-0.qcow2"), tuple[Plan, ...])
        assert_type(storage.check(), tuple[Finding, ...])
        assert_type(storage.check_activating("vm-100-disk-0.qcow2"), tuple[Finding, ...])
        assert_type(storage.accepting(State.OLD_METADATA).create("vm-100-disk-4", 1024**3), Volume)


def volume_verbs(volume: Volume) -> None:
    assert_type(volume.name, str)
    assert_type(volume.info(), VolumeInfo)
    assert_type(volume.layers(), tuple[LayerInfo, ...])
    assert_type(volume.path(), Path)
    assert_type(volume.path("before-upgrade"), Path)
    assert_type(volume.snapshot("before-upgrade"), Plan)
    assert_type(volume.rollback("before-upgrade", Newer.DISCARD, Wipe.ZERO), Plan)
    assert_type(volume.delete_snapshot("before-upgrade", Merge.PULL), Plan)
    assert_type(volume.template(), Plan)
    assert_type(volume.clone("vm-101-disk-0.qcow2", snapshot="before-upgrade"), Volume)
    assert_type(volume.flatten(), Plan)
    assert_type(volume.resize(parse_size("20G")), Plan)
    assert_type(volume.grow(parse_size("1G")), Plan)
    assert_type(volume.rename("vm-101-disk-0.qcow2"), Volume)
    assert_type(volume.copy("vm-102-disk-0"), Volume)
    assert_type(volume.export_file(Path("backup.qcow2"), Format.QCOW2, replace=True), Plan)
    assert_type(volume.export_stream(1, StreamFormat.RAW_SIZE), Plan)
    assert_type(volume.convert(), Volume)
    assert_type(volume.activate(), Plan)
    assert_type(volume.deactivate(), Plan)
    assert_type(volume.check(), tuple[Finding, ...])
    assert_type(volume.check_activating(), tuple[Finding, ...])
    assert_type(volume.recover(), tuple[Plan, ...])
    assert_type(volume.remove(), Plan)
    assert_type(volume.remove(wipe=Wipe.NONE), Plan)


def every_request(storage: Storage) -> None:
    name = parse_volume_name("vm-100-disk-0.qcow2")
    assert_type(name, VolumeName)
    new = VolumeName("vm-200-disk-0.qcow2", 200)
    for request in (
        Create(name, 1024**3),
        Import(name, 1024**3, "disk.vdi", SourceFormat.VDI),
        ImportStream(name, 1024**3, stream=0),
        Export(name, None, "disk.raw", Format.RAW),
        ExportStream(name, "s1", 1, StreamFormat.RAW),
        Snapshot(name, "s1"),
        Rollback(name, "s1", Newer.KEEP),
        DeleteSnapshot(name, "s1", Merge.AUTO, Wipe.ZERO),
        Template(name),
        Clone(new, name, "s1"),
        Flatten(new),
        Resize(name, 2 * 1024**3),
        Grow(name, 1024**3),
        Rename(name, new),
        Copy(name, None, new),
        Convert(name, VolumeName("vm-100-disk-0", 100)),
        Activate(name),
        Deactivate(name),
        Remove(name),
    ):
        plan = storage.plan(request)
        assert_type(plan, Plan)
        assert_type(plan.operation, str)
        assert_type(plan.target, str)
        assert_type(plan.commands, tuple[tuple[str, ...], ...])
        assert_type(storage.apply(request), Plan)


def every_error(volume: Volume) -> str:
    try:
        volume.rollback("s1")
    except OperationCut as cut:
        assert_type(cut.cause, LvmqcowError)
        assert_type(cut.done, int)
        return f"{cut.target}: {cut.cause}"
    except NewerSnapshots as newer:
        assert_type(newer.blockers, tuple[str, ...])
        return ", ".join(newer.blockers)
    except SnapshotHasChildren as read:
        assert_type(read.children, tuple[str, ...])
        return ", ".join(read.children)
    except InUse as used:
        assert_type(used.holders, tuple[str, ...])
        return ", ".join(used.holders)
    except Unchangeable as group:
        assert_type(group.states, dict[str, str])
        return ", ".join(group.states)
    except NotPossible as refused:
        return f"{refused.target}: {refused.reason}; {refused.advice}"
    except NoSpace as full:
        assert_type(full.needed_bytes, int)
        return f"{full.needed_bytes - full.free_bytes} bytes are missing"
    except (VolumeNotFound, SnapshotNotFound, Locked) as error:
        return str(error)
    except Corrupt as corrupt:
        return "; ".join(corrupt.findings)
    except CommandFailed as failed:
        assert_type(failed.argv, tuple[str, ...])
        return failed.stderr
    except LvmqcowError as error:
        return f"{error} ({error.exit_status})"
    return ""


def what_is_shown(storage: Storage) -> None:
    group, volumes = storage.listing()
    assert_type(group.free_bytes, int)
    assert_type(group.conditions, tuple[Condition, ...])
    for info in volumes:
        assert_type(info.format, Format)
        assert_type(info.virtual_size_bytes, int | None)
        assert_type(info.snapshots, tuple[str, ...])
        assert_type(info.base, str | None)
    for layer in storage.volume("vm-100-disk-0.qcow2").layers():
        assert_type(layer.snapshot, str | None)
        assert_type(layer.allocated_bytes, int | None)
    for finding in storage.check():
        assert_type(finding.severity, Severity)
        assert_type(finding.advice, str)


def every_format(chosen: Format) -> str:
    match chosen:
        case Format.RAW:
            return "raw"
        case Format.QCOW2:
            return "qcow2"
        case _:
            assert_never(chosen)


def mistakes(storage: Storage, volume: Volume) -> None:
    storage.create("vm-100-disk-0", "10G")  # type: ignore[arg-type]
    storage.apply("snapshot")  # type: ignore[arg-type]
    volume.rollback("s1", "discard")  # type: ignore[arg-type]
    volume.snapshot(None)  # type: ignore[arg-type]
    Storage.open("vg0", lvm="none")  # type: ignore[arg-type]
    Storage.open("vg0", locks=threading.Lock())  # type: ignore[arg-type]
    Storage.open("vg0", None)  # type: ignore[call-arg, arg-type]
    Events(progress=lambda: None)  # type: ignore[misc, arg-type]
    Snapshot(VolumeName("vm-100-disk-0", 100), "s1").snapshot = "s2"  # type: ignore[misc]


def simulated() -> Storage:
    """A storage for a consumer's own tests."""
    return Storage(SimHost(), NoLocks(), Events(progress=Told().progress), wipe=Wipe.ZERO)


def worlds(world: SimWorld | RealWorld) -> World:
    assert_type(world.storage, Storage)
    assert_type(machine(SimWorld), type[StorageMachine])
    return world


TestMachine = machine(lambda: SimWorld(layout=Layout.PVE9)).TestCase
