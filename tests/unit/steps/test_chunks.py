"""Wipes run in pieces, with pauses that keep to a rate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvmqcow.steps import LvDiscardRange, LvZeroRange, RangeStep
from lvmqcow.steps.chunks import chunks, pause_seconds

MIB = 1024**2
sectors = st.integers(0, 64 * 1024).map(lambda count: count * 512 * 1024)
rates = st.none() | st.integers(1, 1 << 40)


@given(
    step=st.builds(LvZeroRange, st.just("a"), sectors, sectors)
    | st.builds(LvDiscardRange, st.just("a"), sectors, sectors),
    rate=rates,
)
def test_pieces_cover_the_range_in_order_without_gaps(step: RangeStep, rate: int | None) -> None:
    if rate is not None:
        rate = max(rate, step.length_bytes // 1000)  # else there would be very many
    made = list(chunks(step, rate))
    reached = step.offset_bytes
    for chunk in made:
        assert (type(chunk), chunk.lv, chunk.offset_bytes) == (type(step), step.lv, reached)
        assert 0 < chunk.length_bytes <= 128 * MIB
        assert chunk.length_bytes % 512 == 0
        reached += chunk.length_bytes
    assert reached == step.offset_bytes + step.length_bytes


@pytest.mark.parametrize(
    ("bytes_per_second", "largest"),
    [(None, 128 * MIB), (1024 * MIB, 128 * MIB), (10 * MIB, 10 * MIB), (10 * MIB + 1, 10 * MIB), (1, MIB)],
)
def test_piece_takes_about_one_second(bytes_per_second: int | None, largest: int) -> None:
    assert {chunk.length_bytes for chunk in chunks(LvZeroRange("a", 0, 1280 * MIB), bytes_per_second)} == {largest}


@given(done=st.integers(0, 1 << 50), elapsed=st.floats(0, 1e6), rate=st.integers(1, 1 << 40))
def test_pause_keeps_exactly_the_rate(done: int, elapsed: float, rate: int) -> None:
    pause = pause_seconds(done, elapsed, rate)
    assert pause >= 0
    assert (elapsed + pause) * rate >= done * (1 - 1e-9)
    if pause:
        assert (elapsed + pause) * rate <= done * (1 + 1e-9)


def test_no_rate_means_no_pause() -> None:
    assert pause_seconds(1 << 50, 0.0, None) == 0
