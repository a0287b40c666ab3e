"""Split a long step on a part of a device into chunks, to report progress, to stop soon and to limit the rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from lvmqcow.core.sizing import SECTOR_BYTES
from lvmqcow.steps import RangeStep

__all__ = ["chunks", "pause_seconds"]

_CHUNK_BYTES: Final = 128 * 1024**2
_SMALLEST_BYTES: Final = 1024**2


def chunks(step: RangeStep, bytes_per_second: int | None = None) -> Iterator[RangeStep]:
    """Split a step into the same step on consecutive chunks.

    A chunk is what ``bytes_per_second`` allows in one second, but at least 1 MiB and at most 128 MiB.
    """
    chunk_bytes = _CHUNK_BYTES
    if bytes_per_second is not None:
        a_second = bytes_per_second // SECTOR_BYTES * SECTOR_BYTES
        chunk_bytes = min(max(a_second, _SMALLEST_BYTES), _CHUNK_BYTES)
    end_bytes = step.offset_bytes + step.length_bytes
    for offset_bytes in range(step.offset_bytes, end_bytes, chunk_bytes):
        length_bytes = min(chunk_bytes, end_bytes - offset_bytes)
        yield replace(step, offset_bytes=offset_bytes, length_bytes=length_bytes)


def pause_seconds(done_bytes: int, elapsed_seconds: float, bytes_per_second: int | None) -> float:
    """Return how long to wait so that the average stays at ``bytes_per_second``; None is no limit."""
    if bytes_per_second is None:
        return 0.0
    return max(0.0, done_bytes / bytes_per_second - elapsed_seconds)
