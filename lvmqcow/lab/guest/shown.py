"""Shows entries of the machine's /tmp, /run and /dev/shm in the lab's own, which are empty.

    held = hold(entries)    before these places are covered
    show(held)              after

An entry is shown as every other file of the machine: what is written to it stays in the lab.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence

from . import kernel

__all__ = ["OWN_PLACES", "hold", "show"]

OWN_PLACES = ("/tmp", "/run", "/dev/shm")
"""What the lab covers with directories of its own."""


def hold(entries: Sequence[str]) -> dict[str, int]:
    """Keep hold of each path, by a descriptor; one that is not there any more is left out."""
    held = {}
    for path in entries:
        with contextlib.suppress(OSError):
            held[path] = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    return held


def show(held: dict[str, int]) -> None:
    """Put what is held where it was, unless the lab has something of its own there, and let go of it."""
    for path, descriptor in held.items():
        if not os.path.lexists(path):
            _put(path, descriptor)
        os.close(descriptor)


def _put(path: str, descriptor: int) -> None:
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISLNK(kind):
        os.symlink(os.readlink("", dir_fd=descriptor), path)
        return
    if stat.S_ISDIR(kind):
        os.mkdir(path)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    kernel.mount(f"/proc/self/fd/{descriptor}", path, flags=kernel.MS_BIND)
