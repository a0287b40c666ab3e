"""One of several processes on one volume group: random operations from a seed, each logged while its locks are held.

Run it as ``python -m lvmqcow.testing.processes.worker VG LOCKS LOG SEED OPERATIONS LVM``. All processes share one log.
Each line is a JSON document, and the lines are in the order in which the locks were taken: ``begin`` when the locks are
held, ``done`` or ``failed`` before they are released.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lvmqcow.core.names import device_path
from lvmqcow.errors import LvmqcowError
from lvmqcow.operations import Merge
from lvmqcow.storage import Storage
from lvmqcow.system.flock import FlockLocks

MIB: Final = 1024**2
SHARED: Final = ("vm-100-disk-0.qcow2", "vm-100-disk-1.qcow2", "vm-1000-disk-0.qcow2")
RAW: Final = "vm-100-disk-2"
SNAPSHOTS: Final = ("s1", "s2", "s3")
ALLOCATED_VMID: Final = 300
_STUCK_SECONDS: Final = 400
LOCK_WAIT_SECONDS: Final = 200

Operation = tuple[str, ...]


class Log:
    """Appends whole lines; what is written is there, whoever is killed next."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)

    def write(self, event: str, operation: Operation, error: str = "") -> None:
        line = {"worker": os.getpid(), "event": event, "operation": operation, "error": error}
        os.write(self._fd, (json.dumps(line) + "\n").encode())


class LoggedLocks:
    """The real locks; what is done under them is logged under them."""

    def __init__(self, locks: FlockLocks, log: Log) -> None:
        self._locks = locks
        self._log = log
        self.operation: Operation = ()
        self._begun = False

    @contextmanager
    def hold(self, vg: str, volume: str) -> Iterator[None]:
        with self._locks.hold(vg, volume):
            if not self._begun and self.operation:
                self._log.write("begin", self.operation)
            self._begun = True
            try:
                yield
            except BaseException as error:
                self._end("failed", type(error).__name__)
                raise
            self._end("done", "")

    def _end(self, event: str, error: str) -> None:
        if self._begun and self.operation:
            self._log.write(event, self.operation, error)
        self._begun = False


def operation(draw: random.Random, own: str) -> Operation:
    """What to do next: mostly to volumes that others work on too."""
    name = draw.choice((*SHARED, *SHARED, own, RAW))
    sizes = [str(4 * MIB * count) for count in (1, 2, 3)]
    verb = draw.choices(
        ("create", "write", "snapshot", "rollback", "delete", "resize", "rename", "remove", "allocate", "list"),
        weights=(4, 6, 6, 3, 5, 3, 3, 1, 1, 1),
    )[0]
    match verb:
        case "create" | "resize":
            return verb, name, draw.choice(sizes)
        case "write":
            return verb, name, str(draw.randrange(200)), str(draw.randint(1, 40)), str(draw.randrange(1, 256))
        case "snapshot" | "rollback":
            return verb, name, draw.choice(SNAPSHOTS)
        case "delete":
            return verb, name, draw.choice(SNAPSHOTS), draw.choice([merge.value for merge in Merge])
        case "rename":
            return verb, *draw.sample(SHARED, 2)
        case "remove":
            return verb, name
        case _:
            return (verb,)


def carry_out(storage: Storage, locks: LoggedLocks, log: Log, wanted: Operation) -> None:
    """Do it; a refusal is logged and forgotten."""
    locks.operation = wanted if wanted[0] not in ("list", "allocate", "write") else ()
    match wanted:
        case ("create", name, size):
            storage.create(name, int(size))
        case ("write", name, *_):
            storage.recover(name)  # nobody starts a guest on a volume that is half merged
            locks.operation = wanted
            _write(storage, locks, wanted)
        case ("snapshot", name, snapshot):
            storage.volume(name).snapshot(snapshot)
        case ("rollback", name, snapshot):
            storage.volume(name).rollback(snapshot)
        case ("delete", name, snapshot, merge):
            storage.volume(name).delete_snapshot(snapshot, Merge(merge))
        case ("resize", name, size):
            storage.volume(name).resize(int(size))
        case ("rename", name, new):
            storage.volume(name).rename(new)
        case ("remove", name):
            storage.volume(name).remove()
        case ("allocate",):
            made = storage.create_disk(ALLOCATED_VMID, MIB)
            log.write("done", ("allocate", made.name))
        case _:
            storage.volumes()


def _write(storage: Storage, locks: LoggedLocks, wanted: Operation) -> None:
    """As a guest: the process that writes holds the lock too, so that it is over before anybody else begins."""
    _, name, block, count, byte = wanted
    with locks.hold(storage.vg, name):
        if storage.plan_recovery(name).steps:
            raise LvmqcowError("somebody was killed here since")
        volume = storage.volume(name)
        image_format = volume.info().format
        path = device_path(storage.vg, name)
        command = f"write -P {byte} {int(block) * 4096} {int(count) * 4096}"
        argv = ("qemu-io", "-f", image_format.value, "-c", command, path)
        done = subprocess.run(argv, close_fds=False, capture_output=True, text=True, check=False)
        if done.returncode or "failed" in done.stdout + done.stderr:
            raise AssertionError(f"{argv}: {done.stdout}{done.stderr}")


def main(vg: str, locks_directory: str, log_path: str, seed: str, operations: str, lvm: str) -> None:
    """Run ``operations`` of them."""
    draw, log = random.Random(int(seed)), Log(Path(log_path))
    locks = LoggedLocks(FlockLocks(Path(locks_directory), wait_seconds=LOCK_WAIT_SECONDS), log)
    with Storage.open(vg, lvm="process" if lvm == "process" else "shell", locks=locks) as storage:
        for _ in range(int(operations)):
            faulthandler.dump_traceback_later(
                _STUCK_SECONDS, exit=True
            )  # that one operation takes so long is a deadlock
            wanted = operation(draw, f"vm-{2000 + int(seed)}-disk-0.qcow2")
            try:
                carry_out(storage, locks, log, wanted)
            except LvmqcowError as error:
                log.write("refused", wanted, f"{type(error).__name__}: {error}")
    log.write("end", ())


if __name__ == "__main__":
    main(*sys.argv[1:])
