"""What Hypothesis draws: names, sizes, guest writes; and choices for the rules of actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import strategies as st

from lvmqcow.testing.conformance.actions.base import SIZES_BYTES, SNAPSHOTS, VOLUMES, draw_writes
from lvmqcow.testing.content import Write

__all__ = ["Drawn", "snapshot_names", "volume_names", "volume_sizes", "writes"]

_Option = TypeVar("_Option")

volume_names = st.sampled_from(VOLUMES)
snapshot_names = st.sampled_from(SNAPSHOTS)
volume_sizes = st.sampled_from(SIZES_BYTES)


class Drawn:
    """A chooser that lets Hypothesis choose."""

    def __init__(self, draw: Callable[[st.SearchStrategy[object], str], object]) -> None:
        """``draw`` draws from a strategy; the text says what for."""
        self._draw = draw

    def pick(self, options: Sequence[_Option], label: str) -> _Option:
        return options[self.number(0, len(options) - 1, label)]

    def number(self, low: int, high: int, label: str) -> int:
        drawn = self._draw(st.integers(low, high), label)
        assert isinstance(drawn, int)
        return drawn


@st.composite
def writes(draw: st.DrawFn, blocks: int) -> list[Write]:
    """Up to four writes to a disk of that many blocks."""
    return list(draw_writes(blocks, Drawn(lambda strategy, label: draw(strategy))))
