"""One operation at a time per volume, across processes; different volumes run side by side.

The lock is a ``flock`` on a file in ``/run/lock/lvmqcow``. The kernel drops it when the last process that has it
open ends, so a dead process blocks nobody, and a killed one whose qemu-img still writes keeps the volume locked
until that ends. A library consumer with a lock manager of its own passes its own `Locks`.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, Protocol

from lvmqcow.errors import Locked

__all__ = ["FlockLocks", "Locks", "NoLocks"]

_POLL_SECONDS: Final = 0.05


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
            os.pwrite(fd, f"process {os.getpid()} ({' '.join(sys.argv[:6])})".encode(), 0)
            yield
        finally:
            os.close(fd)

    def _acquire(self, fd: int, target: str) -> None:
        deadline = time.monotonic() + self._wait_seconds
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    holder = os.pread(fd, 200, 0).decode(errors="replace") or "another process"
                    raise Locked(target, holder, self._wait_seconds) from None
                time.sleep(_POLL_SECONDS)
            else:
                return
