"""A file that no program may open. The canary reports every open, not only changes.

A read leaves no trace in a file. From the moment the canary is set, the kernel reports every open, read and write by
any
process on this machine (inotify(7)).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["Canary", "canary"]

_EVENTS: Final = {0x1: "read", 0x2: "written", 0x4: "changed", 0x20: "opened", 0x400: "removed", 0x800: "moved"}
_EVENT: Final = struct.Struct("iIII")
_SONG: Final = b"Whoever reads this has left the volume group.\n" * 1500  # a whole cluster of 64 KiB, and more


class Canary:
    """A watched file."""

    def __init__(self, path: Path, inotify: int) -> None:
        self.path = path
        self._inotify = inotify

    def touches(self) -> tuple[str, ...]:
        """Return what happened to the file since the last call, in words."""
        found: list[str] = []
        try:
            events = os.read(self._inotify, 1 << 16)
        except BlockingIOError:
            return ()
        while events:
            _, mask, _, length = _EVENT.unpack_from(events)
            found += [word for bit, word in _EVENTS.items() if mask & bit]
            events = events[_EVENT.size + length :]
        return tuple(found)


@contextmanager
def canary(path: Path) -> Iterator[Canary]:
    """Set a canary for the block; at the end the file must be unchanged and unopened.

    Raises:
        AssertionError: a program opened it.
    """
    path.write_bytes(_SONG)
    os.sync()
    libc = ctypes.CDLL(None, use_errno=True)
    inotify = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if inotify < 0 or libc.inotify_add_watch(inotify, os.fsencode(path), sum(_EVENTS)) < 0:
        raise OSError(ctypes.get_errno(), "inotify", str(path))
    watched = Canary(path, inotify)
    try:
        yield watched
        touches = watched.touches()
    finally:
        os.close(inotify)
    if touches:
        raise AssertionError(f"{path} was {', '.join(touches)}")
    if path.read_bytes() != _SONG:
        raise AssertionError(f"{path} has another content")
