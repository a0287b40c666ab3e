"""The run directory of one lab: its job, its console, its kernel's sockets.

The runner and the supervisor both hold its lock while the lab lives, and the supervisor removes it.
If both were killed, the next lab removes it, because no process holds its lock. A directory with any
file that a lab does not make is never removed: it may be a user's, such as a checkout.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError

__all__ = ["RunDirectory", "leftover_run_directories", "new_run_directory"]

_PREFIX = "lvmqcow-lab-"
_OWN_FILES = re.compile(r"console|init|job\.json|disk\d+|lab|dev|lvm")
_PARENTS = ("/tmp", "/var/tmp", "/dev/shm")  # short names: they go on a kernel's command line


@dataclass(frozen=True)
class RunDirectory:
    """A locked directory; `lock` is the descriptor that holds the lock."""

    path: Path
    lock: int


@contextmanager
def new_run_directory() -> Iterator[RunDirectory]:
    """Make a run directory for the block, and remove it afterwards. Also remove leftovers of other labs."""
    for leftover in leftover_run_directories():
        with _leftover(leftover) as is_leftover:
            if is_leftover:
                shutil.rmtree(leftover, ignore_errors=True)
    run_directory = _create(_parent())
    try:
        yield run_directory
    finally:
        shutil.rmtree(run_directory.path, ignore_errors=True)
        os.close(run_directory.lock)


def leftover_run_directories() -> tuple[Path, ...]:
    """Return this user's run directories that no living lab holds."""
    leftovers = []
    for path in (path for parent in _PARENTS for path in Path(parent).glob(_PREFIX + "*")):
        with _leftover(path) as is_leftover:
            if is_leftover:
                leftovers.append(path)
    return tuple(leftovers)


@contextmanager
def _leftover(path: Path) -> Iterator[bool]:
    """Yield whether a directory is a leftover of ours. If so, its lock is held during the block."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # gone, or not ours to look at
        yield False
        return
    try:
        yield os.fstat(descriptor).st_uid == os.getuid() and _is_ours(descriptor) and _lock(descriptor)
    finally:
        os.close(descriptor)


def _is_ours(descriptor: int) -> bool:
    return all(map(_OWN_FILES.fullmatch, os.listdir(descriptor)))


def _create(parent: Path) -> RunDirectory:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        if _lock(descriptor) and path.exists():
            return RunDirectory(path, descriptor)
        os.close(descriptor)  # another lab came to sweep before it was locked
        shutil.rmtree(path, ignore_errors=True)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parent() -> Path:
    for parent in _PARENTS:
        if os.access(parent, os.W_OK | os.X_OK):
            return Path(parent)
    raise LabError(
        f"no directory of {', '.join(_PARENTS)} is writable",
        "Make one of them writable: the lab keeps its console and its sockets there.",
    )
