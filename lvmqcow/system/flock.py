"""Locks among the processes of one host.

A lock is a ``flock`` on a file in ``/run/lock/lvmqcow``. The kernel drops the lock when the last process that has the
file open ends. So a dead process blocks nobody. If a process is killed while its qemu-img still writes, the volume
stays locked until qemu-img ends.

lvm2 closes every descriptor that it does not know. So the lvm of a killed process holds no lock, but may still commit
a change. For this case the holder of a lock writes its name into the file, and empties the file when it drops the lock.
A process that takes the lock and finds a name knows that the holder was killed. It waits for the commands that the
holder left running: they all have the holder's name in their environment (`child_environment`).
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from lvmqcow.errors import Locked
from lvmqcow.system.requirements import command_environment, required

__all__ = ["FlockLocks", "child_environment"]


_POLL_SECONDS: Final = 0.05


_PARENT: Final = "LVMQCOW_PARENT"


_ADVICE: Final = "make the directory writable, on a file system with free space"


def child_environment() -> dict[str, str]:
    """Return the environment for commands that change something. It names the process that started them."""
    return {**command_environment(), _PARENT: _life(os.getpid())}


class FlockLocks:
    """Locks among the processes of this host. ``wait_seconds`` is how long to wait for another process."""

    def __init__(self, directory: Path = Path("/run/lock/lvmqcow"), wait_seconds: float = 0) -> None:
        self._directory = directory
        self._wait_seconds = wait_seconds

    @contextmanager
    def hold(self, vg: str, volume: str) -> Iterator[None]:
        holder = f"{_life(os.getpid())}\nprocess {os.getpid()} ({' '.join(sys.argv[:6])[:200]})"
        with ExitStack() as held:
            with required(f"no lock can be taken in {self._directory}", f"nothing was begun; {_ADVICE}"):
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                fd = os.open(self._directory / f"{vg}--{volume}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                held.callback(os.close, fd)
                self._acquire(fd, f"{vg}/{volume}")
                os.set_inheritable(fd, True)
                os.ftruncate(fd, 0)
                held.callback(_empty, fd)
                os.pwrite(fd, holder.encode(errors="replace"), 0)
            yield

    def _acquire(self, fd: int, target: str) -> None:
        deadline = time.monotonic() + self._wait_seconds
        while not _flocked(fd) or _left_running(_held_by(fd)[0]):
            if time.monotonic() >= deadline:
                raise Locked(target, _held_by(fd)[1] or "another process", self._wait_seconds)
            time.sleep(_POLL_SECONDS)


def _empty(fd: int) -> None:
    with suppress(OSError):  # harmless: the name of a process that has ended, with no commands left, blocks nobody
        os.ftruncate(fd, 0)


def _flocked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _held_by(fd: int) -> tuple[str, str]:
    """Return what the holder wrote into the file: its identity (`_life`), and its name for messages."""
    life, _, holder = os.pread(fd, 1000, 0).decode(errors="replace").partition("\n")
    return life, holder


def _left_running(life: str) -> bool:
    """Return whether commands of a process that was killed still run."""
    if not life:
        return False
    wanted = f"{_PARENT}={life}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # the process ended meanwhile
            if wanted in environment.read_bytes().split(b"\0"):
                return True
    return False


def _life(process: int) -> str:
    """Return the identity of a process: its ID, which the kernel may reuse, and its start time in clock ticks."""
    with required("/proc cannot be read", "nothing was begun; mount it: mount -t proc proc /proc"):
        stat = Path(f"/proc/{process}/stat").read_bytes()
    after_name = re.sub(rb".*\)", b"", stat, flags=re.DOTALL)
    return f"{process}-{int(after_name.split()[19])}"
