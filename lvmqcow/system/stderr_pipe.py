"""A pipe for the stderr of a command, which is read after the command has ended.

With a pipe no directory has to hold a file. The pipe does not block, so no thread has to read it: if a command fills
the pipe, the command goes on, and the rest of its stderr is lost.
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
    """The pipe for the stderr of one command. The command gets ``fileno()`` as its stderr."""

    def __init__(self, said: int, heard: int) -> None:
        self._said = said
        self._heard = heard

    def fileno(self) -> int:
        """Return the file descriptor to which the command writes."""
        return self._said

    def text(self) -> str:
        """Return what the command has written since the last call."""
        found = bytearray()
        try:
            while part := os.read(self._heard, _CHUNK_BYTES):
                found += part
        except BlockingIOError:  # the pipe is empty; it has no end, because our own write end is still open
            pass
        return found.decode(errors="replace")


@contextmanager
def stderr_pipe() -> Iterator[StderrPipe]:
    """Make a pipe for the stderr of one command. Raises UnfitMachine: the process has too many open files."""
    with required("no pipe can be made", "raise the limit of open files (`ulimit -n`)"):
        heard, said = os.pipe()
    try:
        os.set_blocking(heard, False)
        os.set_blocking(said, False)
        yield StderrPipe(said, heard)
    finally:
        os.close(heard)
        os.close(said)
