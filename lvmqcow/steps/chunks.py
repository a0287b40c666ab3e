"""A long step on a part of a device, done in pieces: so it can be watched, stopped soon, and slowed down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from lvmqcow.core.sizing import SECTOR_BYTES
from lvmqcow.steps import RangeStep

__all__ = ["pause_seconds", "pieces"]

_PIECE_BYTES: Final = 128 * 1024**2
_SMALLEST_BYTES: Final = 1024**2


def pieces(step: RangeStep, bytes_per_second: int | None = None) -> Iterator[RangeStep]:
    """The same step on one piece after the other: as much as a second may take, within bounds."""
    piece_bytes = _PIECE_BYTES
    if bytes_per_second is not None:
        a_second = bytes_per_second // SECTOR_BYTES * SECTOR_BYTES
        piece_bytes = min(max(a_second, _SMALLEST_BYTES), _PIECE_BYTES)
    end_bytes = step.offset_bytes + step.length_bytes
    for offset_bytes in range(step.offset_bytes, end_bytes, piece_bytes):
        length_bytes = min(piece_bytes, end_bytes - offset_bytes)
        yield replace(step, offset_bytes=offset_bytes, length_bytes=length_bytes)


def pause_seconds(done_bytes: int, elapsed_seconds: float, bytes_per_second: int | None) -> float:
    """How long to wait, so that no more than ``bytes_per_second`` were done until then."""
    if bytes_per_second is None:
        return 0.0
    return max(0.0, done_bytes / bytes_per_second - elapsed_seconds)
