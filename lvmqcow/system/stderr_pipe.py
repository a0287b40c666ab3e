"""What a command writes to its stderr, where that is read only once the command has ended.

It goes into a pipe. So no directory has to take a file, and no thread has to read meanwhile: a command that fills the
pipe goes on, and what it says from then on is lost.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from lvmqcow.system.requirements import required

__all__ = ["StderrPipe", "stderr_pipe"]

_CHUNK_BYTES: Final = 1 << 16  # as much as a pipe of Linux holds


class StderrPipe:
    """Give ``fileno()`` to the command as its stderr."""

    def __init__(self, said: int, heard: int) -> None:
        self._said = said
        self._heard = heard

    def fileno(self) -> int:
        """Where the command is to write."""
        return self._said

    def text(self) -> str:
        """What it has written since this was asked last."""
        found = bytearray()
        try:
            while part := os.read(self._heard, _CHUNK_BYTES):
                found += part
        except BlockingIOError:  # our own end of it is still open, so this is all
            pass
        return found.decode(errors="replace")


@contextmanager
def stderr_pipe() -> Iterator[StderrPipe]:
    """A pipe for the stderr of one command. Raises UnfitMachine: this process may have no more open files."""
    with required("no pipe can be made", "too many files are open (`ulimit -n`)"):
        heard, said = os.pipe()
    try:
        os.set_blocking(heard, False)
        os.set_blocking(said, False)
        yield StderrPipe(said, heard)
    finally:
        os.close(heard)
        os.close(said)
