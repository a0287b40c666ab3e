"""The expected content of a disk."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvmqcow.testing.content import BLOCK_BYTES, Content, Write, runs
from lvmqcow.testing.strategies import writes

BLOCKS = 40
blocks = st.dictionaries(st.integers(0, BLOCKS - 1), st.sampled_from([0, 1, 2, 255]))
write_lists = st.lists(writes(BLOCKS), max_size=4).map(lambda lists: [write for found in lists for write in found])


@given(blocks=blocks)
def test_runs_round_trip_to_their_blocks(blocks: dict[int, int]) -> None:
    made = list(runs(blocks))
    assert {block: byte for run in made for block, byte in run.blocks.items()} == blocks
    assert all(run.count > 0 for run in made)


@given(blocks=blocks)
def test_runs_are_as_few_as_possible(blocks: dict[int, int]) -> None:
    made = list(runs(blocks))
    for run, following in pairwise(made):
        assert run.block + run.count < following.block or run.byte != following.byte


@given(writes=write_lists)
def test_content_equals_a_file_after_the_same_writes(
    writes: list[Write], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("golden") / "raw"
    Content(BLOCKS * BLOCK_BYTES).written(writes).save(path)
    disk = bytearray(BLOCKS * BLOCK_BYTES)
    for write in writes:
        start, length = write.block * BLOCK_BYTES, write.count * BLOCK_BYTES
        disk[start : start + length] = bytes([write.byte]) * length
    assert path.read_bytes() == bytes(disk)


@given(one=write_lists, other=write_lists)
def test_contents_are_equal_if_a_guest_reads_the_same(
    one: list[Write], other: list[Write], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("golden")
    contents = [Content(BLOCKS * BLOCK_BYTES).written(writes) for writes in (one, other)]
    for number, content in enumerate(contents):
        content.save(directory / str(number))
    same = (directory / "0").read_bytes() == (directory / "1").read_bytes()
    assert (contents[0] == contents[1]) == same
    assert not same or hash(contents[0]) == hash(contents[1])


def test_written_zeros_are_equal_but_sizes_must_match() -> None:
    assert Content(8192, {0: 0}) == Content(8192)
    assert Content(8192) != Content(4096)
    assert Content(8192, {1: 1}) != Content(8192, {0: 1})
    assert Content(8192) != "8192"


def test_write_beyond_the_end_is_truncated() -> None:
    assert Content(2 * BLOCK_BYTES + 512).written([Write(0, 9, 1)]) == Content(2 * BLOCK_BYTES + 512, {0: 1, 1: 1})


def test_content_is_immutable() -> None:
    before = Content(8192, {0: 1})
    before.written([Write(0, 1, 2)])
    assert before == Content(8192, {0: 1})


def test_saved_content_is_a_sparse_file(tmp_path: Path) -> None:
    Content(1024**4, {2**27: 1}).save(tmp_path / "raw")
    found = (tmp_path / "raw").stat()
    assert found.st_size == 1024**4
    assert found.st_blocks * 512 < 1024**2
