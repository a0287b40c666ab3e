"""Several processes on one volume group, some of them killed: the result is that of one sequence of operations."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Final

from lvmqcow.core.names import Layout, parse_volume_name, snapshot_lv_name
from lvmqcow.storage import Storage
from lvmqcow.system.flock import FlockLocks
from lvmqcow.testing.conformance.suite import Came, Place, Suite, Surroundings, Trial
from lvmqcow.testing.conformance.verdict import Outcome
from lvmqcow.testing.conformance.violation import require
from lvmqcow.testing.processes.log import Disk, Entry, possible
from lvmqcow.testing.real_group import needs_real_groups, real_group
from lvmqcow.testing.worlds import RealWorld

__all__ = ["PROCESSES", "WORKERS", "Crowd", "run_crowd", "run_crowd_with_kills"]

WORKERS: Final = 4
_OPERATIONS: Final = 20
_GROUP_BYTES: Final = 1024**3
_DISTURBANCE: Final = "others at the same time"


@dataclass
class Crowd:
    """The processes of one test."""

    vg: str
    directory: Path
    lvm: str
    operations: int
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def log_path(self) -> Path:
        return self.directory / "log"

    @property
    def locks(self) -> Path:
        return self.directory / "locks"

    def start(self, seed: int) -> None:
        """Start one more process."""
        errors = (self.directory / f"stderr-{len(self.started)}").open("w")
        arguments = (self.vg, str(self.locks), str(self.log_path), str(seed), str(self.operations), self.lvm)
        argv = (sys.executable, "-m", "lvmqcow.testing.processes.worker", *arguments)
        self.started.append(subprocess.Popen(argv, stderr=errors, text=True))

    def living(self) -> list[subprocess.Popen[str]]:
        """Return the processes that run."""
        return [process for process in self.started if process.poll() is None]

    def log(self) -> list[Entry]:
        """Return what all of them logged."""
        lines = self.log_path.read_text().splitlines() if self.log_path.exists() else []
        entries = [json.loads(line) for line in lines]
        return [Entry(entry["worker"], entry["event"], tuple(entry["operation"]), entry["error"]) for entry in entries]

    def stderr(self) -> str:
        """Return what all of them wrote to stderr."""
        return "".join(path.read_text() for path in sorted(self.directory.glob("stderr-*")))

    def wait(self) -> None:
        """Wait until all are done. A process that never ends prints its own stack traces."""
        for process in self.started:
            process.wait()

    def kill_all(self) -> None:
        """Kill those that run."""
        for process in self.living():
            process.kill()
            process.wait()


def run_crowd(world: RealWorld, crowd: Crowd, seed: int) -> Came:
    """Let several processes work at the same time. Raises Violation."""
    for number in range(WORKERS):
        crowd.start(seed + number)
    crowd.wait()
    statuses = [process.returncode for process in crowd.started]
    require(statuses == [0] * WORKERS, "a process failed", "status 0", (statuses, crowd.stderr()))
    return _require_as_the_log_says(world, crowd)


def run_crowd_with_kills(world: RealWorld, crowd: Crowd, seed: int) -> Came:
    """Let several processes work at the same time, and kill some: others recover what those began. Raises Violation."""
    draw = Random(seed)
    for number in range(WORKERS):
        crowd.start(seed + number)
    for number in range(WORKERS, 3 * WORKERS):
        seen = len(crowd.log())
        while crowd.living() and len(crowd.log()) < seen + 12:
            time.sleep(draw.random() / 20)
        for victim in draw.sample(crowd.living(), min(1, len(crowd.living()))):
            victim.kill()
            victim.wait()
        crowd.start(seed + number)
    crowd.wait()
    statuses = {process.returncode for process in crowd.started}
    right = statuses <= {0, -signal.SIGKILL}
    require(right, "a process failed that was not killed", "status 0", (statuses, crowd.stderr()))
    return _require_as_the_log_says(world, crowd)


def _require_as_the_log_says(world: RealWorld, crowd: Crowd) -> Came:
    """Require that the real state is one of the possible states, and that nothing is wrong or left over."""
    log = crowd.log()
    unexpected = [entry for entry in log if entry.event == "refused" and entry.error.startswith(_WRONG)]
    require(unexpected == [], "a process got an error that none may get", "none", unexpected)
    storage = Storage(world.host, FlockLocks(crowd.locks, wait_seconds=200))
    storage.recover()
    infos = {info.name: info for info in storage.volumes()}
    allocated = {entry.operation[1] for entry in log if entry.event == "done" and entry.operation[0] == "allocate"}
    made = [entry for entry in log if entry.event == "done" and entry.operation[0] == "allocate"]
    require(len(allocated) == len(made), "one name was given out twice", len(made), len(allocated))
    require(allocated <= set(infos), "a volume is missing", sorted(allocated), sorted(infos))
    found = {name: info.snapshots for name, info in infos.items() if not name.startswith("vm-300-")}
    ways = [
        dict(way)
        for way in possible(log)
        if {name: tuple(snapshot for snapshot, _ in disk.snapshots) for name, disk in way} == found
    ]
    require(bool(ways), "the snapshots are in none of the possible states", possible(log), found)
    differences = [_difference(world, way) for way in ways]
    require(None in differences, "a volume holds something else", "one of the possible contents", differences)
    findings, left = storage.check(), world.leftovers()
    require(findings == (), "check finds something wrong", "nothing", findings)
    require(left == (), "something is left over", "nothing", left)
    subprocess.run(("vgck", world.host.vg), check=True, capture_output=True)
    came = Came()
    came.counts.update(
        {
            "processes": len(crowd.started),
            "processes killed": sum(process.returncode == -signal.SIGKILL for process in crowd.started),
            "operations": sum(entry.event == "done" for entry in log),
        }
    )
    for entry in log:
        if entry.event in ("done", "failed"):
            came.add(entry.operation[0], _DISTURBANCE, Outcome.HELD if entry.event == "done" else Outcome.REFUSED)
    return came


_WRONG: Final = ("OperationCut", "CommandFailed", "Corrupt", "Locked", "NoSpace", "InUse", "RecoveryNeeded", "NotFound")
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


def _trials(random: Random) -> Iterator[str]:
    for number in count():
        for lvm in ("shell", "process"):
            yield f"{lvm} {number}"
            yield f"{lvm} {number} killed"


@contextmanager
def _opened(surroundings: Surroundings) -> Iterator[Trial]:
    with real_group("processes", surroundings.directory, _GROUP_BYTES) as group:

        def trial(name: str) -> Came:
            lvm, number, *killed = name.split()
            seed = 1000 * surroundings.seed + 100 * int(number)
            with (
                tempfile.TemporaryDirectory(dir=surroundings.directory) as directory,
                closing(RealWorld(group.host, group.directory)) as world,
            ):
                crowd = Crowd(group.host.vg, Path(directory), lvm, _OPERATIONS)
                try:
                    return (run_crowd_with_kills if killed else run_crowd)(world, crowd, seed)
                finally:
                    crowd.kill_all()

        yield trial


PROCESSES: Final = Suite(
    "processes",
    "several processes work on the same volumes, and some are killed",
    Place.REAL,
    _DISTURBANCE,
    needs_real_groups,
    _trials,
    _opened,
    lambda trial: "several",
)
