"""One operation at a time per volume, across processes; different volumes run side by side.

The lock is a ``flock`` on a file in ``/run/lock/lvmqcow``. The kernel drops it when the last process that has it
open ends, so a dead process blocks nobody, and a killed one whose qemu-img still writes keeps the volume locked
until that ends.

lvm2 closes every descriptor that it does not know, so the lvm of a killed process keeps no lock, and may yet commit
what it was told. Whoever lets go of a lock empties the file. Who finds a name in it knows that its holder was killed,
and waits for what that left running: all its children carry its name in their environment (`child_environment`).

A library consumer with a lock manager of its own passes its own `Locks`.
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from lvmqcow.errors import Locked

__all__ = ["FlockLocks", "Locks", "NoLocks", "child_environment"]

_POLL_SECONDS: Final = 0.05
_PARENT: Final = "LVMQCOW_PARENT"


def child_environment() -> dict[str, str]:
    """The environment for commands that change something: it says whose they are."""
    return {**os.environ, "LC_ALL": "C", _PARENT: _life(os.getpid())}


class Locks(Protocol):
    """Gives out locks on volumes."""

    def hold(self, vg: str, volume: str) -> AbstractContextManager[None]:
        """Hold the lock of one volume. Raises Locked when somebody else keeps it."""


class NoLocks:
    """For a volume group that nobody else can reach."""

    @contextmanager
    def hold(self, vg: str, volume: str) -> Iterator[None]:
        yield


class FlockLocks:
    """Locks among the processes of this host. ``wait_seconds`` is how long to wait for another to finish."""

    def __init__(self, directory: Path = Path("/run/lock/lvmqcow"), wait_seconds: float = 0) -> None:
        self._directory = directory
        self._wait_seconds = wait_seconds

    @contextmanager
    def hold(self, vg: str, volume: str) -> Iterator[None]:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / f"{vg}--{volume}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(fd, f"{vg}/{volume}")
            os.set_inheritable(fd, True)
            os.ftruncate(fd, 0)
            holder = f"process {os.getpid()} ({' '.join(sys.argv[:6])[:200]})"
            os.pwrite(fd, f"{_life(os.getpid())}\n{holder}".encode(errors="replace"), 0)
            try:
                yield
            finally:
                os.ftruncate(fd, 0)
        finally:
            os.close(fd)

    def _acquire(self, fd: int, target: str) -> None:
        deadline = time.monotonic() + self._wait_seconds
        while not _flocked(fd) or _left_running(_held_by(fd)[0]):
            if time.monotonic() >= deadline:
                raise Locked(target, _held_by(fd)[1] or "another process", self._wait_seconds)
            time.sleep(_POLL_SECONDS)


def _flocked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _held_by(fd: int) -> tuple[str, str]:
    """The life of the process that holds the lock, or was killed holding it, and how to call it; empty for neither."""
    life, _, holder = os.pread(fd, 1000, 0).decode(errors="replace").partition("\n")
    return life, holder


def _left_running(life: str) -> bool:
    """Whether commands of a process that was killed are still there."""
    if not life:
        return False
    wanted = f"{_PARENT}={life}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it ended while we looked
            if wanted in environment.read_bytes().split(b"\0"):
                return True
    return False


def _life(process: int) -> str:
    """One life of a process: its number, which another gets one day, and the tick of the machine it began at."""
    after_name = re.sub(rb".*\)", b"", Path(f"/proc/{process}/stat").read_bytes(), flags=re.DOTALL)
    return f"{process}-{int(after_name.split()[19])}"
