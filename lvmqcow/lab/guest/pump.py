"""Copy one descriptor to another, one chunk at a time, for a loop around poll(2).

A pump waits for one event at a time: its source becomes readable, or its sink becomes writable.
Sinks may be blocking, because a chunk is no longer than what a writable pipe takes at once.
"""

from __future__ import annotations

import os
import select

from .wire import CHUNK_BYTES

__all__ = ["Pump"]


class Pump:
    """Copies `source` to `sink` until the source ends or the sink refuses data."""

    def __init__(self, source: int, sink: int) -> None:
        self.source = source
        self.sink = sink
        self.ended = False  # the source has ended and all of it is delivered
        self.refused = False  # nobody reads the sink: the rest is thrown away
        self._held = b""

    @property
    def holds(self) -> bool:
        """Whether the pump has data that its sink has not taken yet."""
        return bool(self._held)

    def interest(self) -> tuple[int, int] | None:
        """The descriptor and the poll event to wait for; None if there is nothing to do."""
        if self.ended:
            return None
        return (self.sink, select.POLLOUT) if self._held else (self.source, select.POLLIN)

    def step(self) -> None:
        """Read from the source or write to the sink, after the event came."""
        if self._held:
            self._deliver()
        else:
            self._fetch()

    def close(self) -> None:
        """Stop, and close the source, so that its writer gets an error."""
        if not self.ended:
            self.ended = True
            self._held = b""
            os.close(self.source)

    def _fetch(self) -> None:
        try:
            data = os.read(self.source, CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last process has left this terminal
            data = b""
        if not data:
            self.ended = True
        elif not self.refused:
            self._held = data

    def _deliver(self) -> None:
        try:
            sent = os.write(self.sink, self._held)
        except BlockingIOError:
            return
        except OSError:  # EPIPE, EIO: the reader is gone
            self.refused = True
            self._held = b""
            return
        self._held = self._held[sent:]
