"""Several processes on one volume group, some of them killed: the result is that of one sequence of operations."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest

from lvmqcow.core.names import Format, Layout, parse_volume_name, snapshot_lv_name
from lvmqcow.engine.locks import NoLocks
from lvmqcow.errors import Locked, LvmqcowError
from lvmqcow.lvm.commands import LvmProcesses, LvmShell
from lvmqcow.lvm.look import read_volume_group
from lvmqcow.storage import Storage
from lvmqcow.system.flock import FlockLocks
from lvmqcow.testing.content import Content, Write
from lvmqcow.testing.worlds import RealWorld
from tests.support.worker import MIB, Operation

pytestmark = pytest.mark.lvmqcow_real

WORKERS: Final = 4
OPERATIONS: Final = int(os.environ.get("LVMQCOW_EXAMPLES", "8")) * 5
DISK: Final = "vm-100-disk-0.qcow2"


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    made = lvmqcow_world()
    yield made
    made.close()


@dataclass(frozen=True)
class Disk:
    """The content of a volume according to the log, with snapshots oldest first."""

    content: Content
    snapshots: tuple[tuple[str, Content], ...] = ()


Disks = frozenset[tuple[str, Disk]]
"""All volumes by name: one possible state."""


@dataclass(frozen=True)
class Entry:
    """A line of the log."""

    worker: int
    event: str
    operation: Operation
    error: str


def after(disks: Disks, wanted: Operation) -> tuple[Disks | None, frozenset[str]]:
    """The state after an operation, or the errors that are correct instead."""
    there = dict(disks)
    verb, name, *rest = wanted
    disk = there.get(name)
    raw = parse_volume_name(name).format is Format.RAW
    if verb == "create":
        if disk:
            return None, frozenset({"AlreadyExists"})
        return frozenset({**there, name: Disk(Content(int(rest[0])))}.items()), frozenset()
    if disk is None:
        return None, frozenset({"VolumeNotFound", *(["AlreadyExists"] if rest and rest[0] in there else [])})
    snapshots = dict(disk.snapshots)
    match verb, *rest:
        case "write", block, count, byte:
            disk = replace(disk, content=disk.content.written([Write(int(block), int(count), int(byte))]))
        case "snapshot", snapshot:
            if raw or snapshot in snapshots:
                return None, frozenset({"NotPossible" if raw else "AlreadyExists"})
            disk = replace(disk, snapshots=(*disk.snapshots, (snapshot, disk.content)))
        case "rollback", snapshot:
            if raw or snapshot not in snapshots:
                return None, frozenset({"NotPossible" if raw else "SnapshotNotFound"})
            if disk.snapshots[-1][0] != snapshot:
                return None, frozenset({"NewerSnapshots"})
            disk = replace(disk, content=snapshots[snapshot])
        case "delete", snapshot, _:
            if raw or snapshot not in snapshots:
                return None, frozenset({"NotPossible" if raw else "SnapshotNotFound"})
            disk = replace(disk, snapshots=tuple(pair for pair in disk.snapshots if pair[0] != snapshot))
        case "resize", size:
            if int(size) < disk.content.size_bytes:
                return None, frozenset({"NotPossible"})
            disk = replace(disk, content=replace(disk.content, size_bytes=int(size)))
        case "rename", new:
            if new in there:
                return None, frozenset({"AlreadyExists"})
            del there[name]
            name = new
        case "remove", *_:
            return frozenset((other, held) for other, held in disks if other != name), frozenset()
        case _:
            raise AssertionError(f"nothing says what {wanted} does")
    return frozenset({**there, name: disk}.items()), frozenset()


def possible(log: list[Entry]) -> frozenset[Disks]:
    """All possible states at the end of the log. A killed operation may be done or not."""
    ways: frozenset[Disks] = frozenset({frozenset()})
    for position, entry in enumerate(log):
        if entry.event == "begin" and not any(_ends(entry, later) for later in log[position + 1 :]):
            ways |= {done for way in ways if (done := after(way, entry.operation)[0]) is not None}
        elif entry.event == "done" and entry.operation[0] != "allocate":
            ways = frozenset(done for way in ways if (done := after(way, entry.operation)[0]) is not None)
        elif entry.event == "failed" and entry.error not in ("_MoreNames", "LvmqcowError"):
            ways = frozenset(way for way in ways if entry.error in after(way, entry.operation)[1])
        assert ways, f"{entry} cannot be, after {log[max(0, position - 30) : position]}"
    return ways


def _ends(begin: Entry, later: Entry) -> bool:
    return later.worker == begin.worker and later.event in ("done", "failed", "end", "begin")


@dataclass
class Crowd:
    """The processes of one test."""

    vg: str
    directory: Path
    lvm: str
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def log_path(self) -> Path:
        return self.directory / "log"

    @property
    def locks(self) -> Path:
        return self.directory / "locks"

    def start(self, seed: int) -> None:
        errors = (self.directory / f"stderr-{len(self.started)}").open("w")
        arguments = (self.vg, str(self.locks), str(self.log_path), str(seed), str(OPERATIONS), self.lvm)
        argv = (sys.executable, "-m", "tests.support.worker", *arguments)
        self.started.append(subprocess.Popen(argv, stderr=errors, text=True))

    def living(self) -> list[subprocess.Popen[str]]:
        return [process for process in self.started if process.poll() is None]

    def log(self) -> list[Entry]:
        lines = self.log_path.read_text().splitlines() if self.log_path.exists() else []
        entries = [json.loads(line) for line in lines]
        return [Entry(entry["worker"], entry["event"], tuple(entry["operation"]), entry["error"]) for entry in entries]

    def stderr_pipe(self) -> str:
        return "".join(path.read_text() for path in sorted(self.directory.glob("stderr-*")))

    def wait(self) -> None:
        """Wait until all are done. A process that never ends prints its own stack traces."""
        for process in self.started:
            process.wait()


@pytest.fixture
def crowd(world: RealWorld, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Crowd]:
    made = Crowd(world.host.vg, tmp_path, request.param)
    yield made
    for process in made.living():
        process.kill()
        process.wait()


def require_as_the_log_says(world: RealWorld, crowd: Crowd, capsys: pytest.CaptureFixture[str]) -> None:
    """The real state is one of the possible states, and nothing is wrong or left over."""
    log = crowd.log()
    unexpected = [entry for entry in log if entry.event == "refused" and entry.error.startswith(WRONG)]
    assert unexpected == []
    storage = Storage(world.host, FlockLocks(crowd.locks, wait_seconds=200))
    storage.recover()
    infos = {info.name: info for info in storage.volumes()}
    allocated = {entry.operation[1] for entry in log if entry.event == "done" and entry.operation[0] == "allocate"}
    made = [entry for entry in log if entry.event == "done" and entry.operation[0] == "allocate"]
    assert len(allocated) == len(made), "one name was given out twice"
    assert allocated <= set(infos)
    found = {name: info.snapshots for name, info in infos.items() if not name.startswith("vm-300-")}
    ways = [
        dict(way)
        for way in possible(log)
        if {name: tuple(snapshot for snapshot, _ in disk.snapshots) for name, disk in way} == found
    ]
    assert ways, f"{found} is none of the {len(possible(log))} ways in which things may stand"
    differences = [_difference(world, way) for way in ways]
    assert None in differences, differences
    assert storage.check() == ()
    assert world.leftovers() == ()
    subprocess.run(("vgck", world.host.vg), check=True, capture_output=True)
    with capsys.disabled():
        done = [entry for entry in log if entry.event == "done"]
        killed = sum(process.returncode == -signal.SIGKILL for process in crowd.started)
        cut = [
            entry.operation[0]
            for position, entry in enumerate(log)
            if entry.event == "begin" and not any(_ends(entry, later) for later in log[position + 1 :])
        ]
        refused = sum(entry.event == "refused" for entry in log)
        print(
            f"\n{len(crowd.started)} processes, {killed} of them killed (in {', '.join(cut) or 'no operation'}): "
            f"{len(done)} operations done, {refused} refused, {len(ways)} ways it may have gone"
        )


WRONG: Final = ("OperationCut", "CommandFailed", "Corrupt", "Locked", "NoSpace", "InUse", "RecoveryNeeded", "NotFound")
"""Errors that no process may get: after it has the lock, no other process interferes."""


def _difference(world: RealWorld, disks: dict[str, Disk]) -> str | None:
    for name, disk in disks.items():
        volume = parse_volume_name(name)
        for snapshot, content in (*disk.snapshots, ("", disk.content)):
            lv = snapshot_lv_name(volume, snapshot, Layout.RFC) if snapshot else name
            difference = world.difference(lv, volume.format, content)
            if difference:
                return difference
    return None


@pytest.mark.parametrize("crowd", ["shell", "process"], indirect=True)
def test_concurrent_processes_act_like_one_sequence(
    world: RealWorld, crowd: Crowd, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(WORKERS):
        crowd.start(seed)
    crowd.wait()
    assert [process.returncode for process in crowd.started] == [0] * WORKERS, crowd.stderr_pipe()
    require_as_the_log_says(world, crowd, capsys)


@pytest.mark.parametrize("crowd", ["shell", "process"], indirect=True)
def test_other_processes_recover_the_work_of_killed_ones(
    world: RealWorld, crowd: Crowd, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(7)
    for seed in range(10, 10 + WORKERS):
        crowd.start(seed)
    for seed in range(20, 20 + 2 * WORKERS):
        seen = len(crowd.log())
        while crowd.living() and len(crowd.log()) < seen + 12:
            time.sleep(draw.random() / 20)
        for victim in draw.sample(crowd.living(), min(1, len(crowd.living()))):
            victim.kill()
            victim.wait()
        crowd.start(seed)
    crowd.wait()
    assert {process.returncode for process in crowd.started} <= {0, -signal.SIGKILL}, crowd.stderr_pipe()
    require_as_the_log_says(world, crowd, capsys)


STOPPED_AT_LVCREATE = """
import os, signal, sys
from pathlib import Path
from lvmqcow.system.flock import FlockLocks
from lvmqcow.storage import Storage

def stop(argv):
    if argv[0] == "lvcreate":
        shell = int(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()[0])
        os.kill(shell, signal.SIGSTOP)
        print(shell, flush=True)

with Storage.open(sys.argv[1], locks=FlockLocks(Path(sys.argv[2])), trace=stop) as storage:
    storage.volumes()  # starts the shell
    storage.create("vm-100-disk-0.qcow2", 4 * 1024**2)
"""


def test_volume_stays_locked_until_the_lvm_of_a_killed_process_ends(world: RealWorld, tmp_path: Path) -> None:
    """Otherwise the next process could read the metadata before the old command commits."""
    argv = (sys.executable, "-c", STOPPED_AT_LVCREATE, world.host.vg, str(tmp_path))
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    shell = int(process.stdout.readline())
    process.kill()
    process.communicate()
    with pytest.raises(Locked, match=f"process {process.pid} "):
        Storage(world.host, FlockLocks(tmp_path)).create(DISK, 4 * MIB)
    other = Storage(world.host, FlockLocks(tmp_path)).create("vm-101-disk-0.qcow2", 4 * MIB)
    assert other.info().virtual_size_bytes == 4 * MIB
    os.kill(shell, signal.SIGCONT)
    Storage(world.host, FlockLocks(tmp_path, wait_seconds=200)).create(DISK, 4 * MIB)
    assert {lv.name for lv in world.host.observe().logical_volumes} == {DISK, "vm-101-disk-0.qcow2"}
    assert world.storage.check() == ()


def test_lvm_shell_never_overwrites_newer_metadata(world: RealWorld) -> None:
    """All add tags to one LV at once. A change based on an old report would lose tags of the others."""
    vg = world.host.vg
    world.storage.create(DISK, MIB)
    each = 30
    failures: list[str] = []

    def tag(number: int) -> None:
        lvm = LvmShell() if number % 2 else LvmProcesses()
        try:
            for count in range(each):
                read_volume_group(lvm, vg)  # it has seen everything that it could cache
                lvm.change(("lvchange", "--addtag", f"by.{number}.{count}", f"{vg}/{DISK}"))
        except LvmqcowError as error:
            failures.append(str(error))
        finally:
            lvm.close()

    threads = [threading.Thread(target=tag, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    (lv,) = world.host.observe().logical_volumes
    assert {tag for tag in lv.tags if tag.startswith("by.")} == {
        f"by.{number}.{count}" for number in range(4) for count in range(each)
    }
    subprocess.run(("vgck", vg), check=True, capture_output=True)


def test_idle_lvm_shell_sees_the_changes_of_others(world: RealWorld) -> None:
    one, two = (Storage.open(world.host.vg, lvm="shell", locks=NoLocks()) for _ in range(2))
    one.create(DISK, MIB)
    assert [info.name for info in two.volumes()] == [DISK]
    two.volume(DISK).snapshot("s1")
    one.volume(DISK).snapshot("s2")
    two.volume(DISK).rename("vm-200-disk-0.qcow2")
    one.volume("vm-200-disk-0.qcow2").delete_snapshot("s1")
    two.volume("vm-200-disk-0.qcow2").resize(8 * MIB)
    assert one.volume("vm-200-disk-0.qcow2").info().virtual_size_bytes == 8 * MIB
    assert one.check() == ()
    for storage in (one, two):
        storage.close()
