"""Sizes: parsing, rounding and formatting."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lvmqcow.core.sizing import SECTOR_BYTES, extents, format_size, parse_size, whole_extents, whole_sectors
from lvmqcow.errors import InvalidSize

LARGEST = 64 * 1024**4
UNITS = {"": 1, "b": 1, "K": 1024, "MiB": 1024**2, "m": 1024**2, "GB": 1024**3, "g": 1024**3, "T": 1024**4}

sizes = st.integers(1, LARGEST)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "G", "ten", "0x10", "1e9", "inf", "nan", "10 G", "1,5G", "10P", ".5G", "5.G", "10GG", "1G2M", "+1G"),
        *("0", "0G", "0.0001", "-1", "-10G", "64.1T", "65T", "99999999999999999999", "1" * 5000, "0." + "1" * 5000),
        "\u0661\u0660G",  # digits, but not ASCII
    ],
)
def test_invalid_size_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidSize):
        parse_size(text)


@pytest.mark.parametrize("size_bytes", [0, -1, -SECTOR_BYTES, LARGEST + 1, 10**30])
def test_impossible_number_of_bytes_is_refused(size_bytes: int) -> None:
    with pytest.raises(InvalidSize):
        whole_sectors(size_bytes)


@given(text=st.text("0123456789.kKmMgGtTiIbB+-e _", max_size=12))
def test_accepted_size_text_gives_whole_sectors(text: str) -> None:
    with contextlib.suppress(InvalidSize):
        size_bytes = parse_size(text)
        assert 0 < size_bytes <= LARGEST
        assert size_bytes % SECTOR_BYTES == 0


@given(number=st.integers(1, 64), unit=st.sampled_from(sorted(UNITS)))
def test_units_are_powers_of_1024(number: int, unit: str) -> None:
    assert parse_size(f"{number}{unit}") == whole_sectors(number * UNITS[unit])


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("10G", 10 * 1024**3), ("1.5T", 1536 * 1024**3), ("1", 512), ("513", 1024), (" 2k ", 2048), ("64T", LARGEST)],
)
def test_sizes_are_parsed_as_lvm_and_qemu_img_do(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@given(size_bytes=sizes)
@example(LARGEST)
@example(1)
def test_size_is_rounded_up_to_the_next_sector(size_bytes: int) -> None:
    rounded = whole_sectors(size_bytes)
    assert 0 <= rounded - size_bytes < SECTOR_BYTES
    assert rounded % SECTOR_BYTES == 0
    assert whole_sectors(rounded) == rounded


@given(
    size_bytes=st.integers(0, LARGEST), extent_size_bytes=st.integers(0, 24).map(lambda power: SECTOR_BYTES << power)
)
def test_extent_count_is_the_smallest_that_fits(size_bytes: int, extent_size_bytes: int) -> None:
    count = extents(size_bytes, extent_size_bytes)
    assert (count - 1) * extent_size_bytes < size_bytes <= count * extent_size_bytes or size_bytes == count == 0
    assert whole_extents(size_bytes, extent_size_bytes) == count * extent_size_bytes


@given(size_bytes=st.integers(0, LARGEST))
@example(1024**2 - 1)
@example(1024**4 - 1)
def test_formatted_size_is_accurate_to_half_a_percent(size_bytes: int) -> None:
    number, unit = format_size(size_bytes).split(" ")
    powers = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
    assert abs(float(number) * powers[unit] - size_bytes) <= size_bytes / 200
    assert float(number) < 1024


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (512, "512 B"), (1536, "1.5 KiB"), (10 * 1024**3, "10 GiB"), (LARGEST, "64 TiB")],
)
def test_formatted_size_has_no_trailing_zeros(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text
