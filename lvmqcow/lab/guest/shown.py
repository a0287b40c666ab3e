"""Show entries of the machine's /tmp, /run and /dev/shm in the lab, where these directories are empty.

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
"""The directories that the lab covers with its own."""


def hold(entries: Sequence[str]) -> dict[str, int]:
    """Open a descriptor for each path. A path that no longer exists is left out."""
    held = {}
    for path in entries:
        with contextlib.suppress(OSError):
            held[path] = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    return held


def show(held: dict[str, int]) -> None:
    """Mount what is held at its old place, unless the lab has something there, and close the descriptors."""
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
