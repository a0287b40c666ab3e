"""A long step on a part of a device, done in pieces: so it can be watched, stopped soon, and slowed down."""

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
    """The same step on one chunk after the other: as much as a second may take, within bounds."""
    chunk_bytes = _CHUNK_BYTES
    if bytes_per_second is not None:
        a_second = bytes_per_second // SECTOR_BYTES * SECTOR_BYTES
        chunk_bytes = min(max(a_second, _SMALLEST_BYTES), _CHUNK_BYTES)
    end_bytes = step.offset_bytes + step.length_bytes
    for offset_bytes in range(step.offset_bytes, end_bytes, chunk_bytes):
        length_bytes = min(chunk_bytes, end_bytes - offset_bytes)
        yield replace(step, offset_bytes=offset_bytes, length_bytes=length_bytes)


def pause_seconds(done_bytes: int, elapsed_seconds: float, bytes_per_second: int | None) -> float:
    """How long to wait, so that no more than ``bytes_per_second`` were done until then."""
    if bytes_per_second is None:
        return 0.0
    return max(0.0, done_bytes / bytes_per_second - elapsed_seconds)
