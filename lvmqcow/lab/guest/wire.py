"""The control line between the host and process 1: small frames in both directions.

    host -> lab    STDIN (a chunk, empty at the end), SIGNAL, WINDOW, CLOSED
    lab -> host    READY, WANT_STDIN, EXIT

stdout and stderr do not travel here: each has a line of its own, so that a reader who is slow on
one holds up neither the other nor a signal. stdin is pulled, one chunk per WANT_STDIN, so that it
can never fill the line in front of a signal.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["CHUNK_BYTES", "STDIN_BYTES", "Decoder", "Frame", "Kind", "encode", "pair", "unpair"]

CHUNK_BYTES = 4096  # PIPE_BUF: what a pipe that polls as writable takes without blocking
# A serial line of User-mode Linux that is throttled (from 3968 unread bytes on) never sends again.
STDIN_BYTES = 2048
_HEADER = struct.Struct("!BI")
_PAIR = struct.Struct("!HH")


class Kind(IntEnum):
    """The kind of a frame."""

    READY = 1  # the world is built; the command starts now
    WANT_STDIN = 2  # the last chunk has been delivered: send the next
    EXIT = 3  # the command's exit status
    STDIN = 4
    SIGNAL = 5  # for the command's process group
    WINDOW = 6  # the terminal has a new size
    CLOSED = 7  # nobody reads this output line (0: stdout, 1: stderr) any more


@dataclass(frozen=True)
class Frame:
    """One message."""

    kind: Kind
    payload: bytes = b""


def encode(frame: Frame) -> bytes:
    """The frame as bytes on the line."""
    return _HEADER.pack(frame.kind, len(frame.payload)) + frame.payload


class Decoder:
    """Assembles frames from the chunks of bytes that the line delivers."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that `data` completes."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._buffer)
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            payload, self._buffer = self._buffer[_HEADER.size : end], self._buffer[end:]
            yield Frame(Kind(kind), payload)


def pair(rows: int, columns: int) -> bytes:
    """The payload of WINDOW."""
    return _PAIR.pack(rows, columns)


def unpair(payload: bytes) -> tuple[int, int]:
    """The inverse of `pair`."""
    rows, columns = _PAIR.unpack(payload)
    return rows, columns
