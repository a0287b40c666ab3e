"""The file below a loop volume group: made whole, or refused by name and not there."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from lvmqcow.errors import AlreadyExists, InvalidSize, NotPossible
from lvmqcow.lvm.loopvg import _make_file

MIB = 1024**2


@pytest.fixture
def _small_files() -> Iterator[None]:
    """As on a file system that takes no larger ones."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * MIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_it_is_sparse_and_of_the_size_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "new" / "vg0.img"
    _make_file(path, 64 * MIB)
    assert path.stat().st_size == 64 * MIB
    assert path.stat().st_blocks == 0


@pytest.mark.usefixtures("_small_files")
def test_a_size_that_the_file_system_does_not_take_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidSize, match=f"'65 MiB' is not possible: the file system of {tmp_path}"):
        _make_file(tmp_path / "vg0.img", 65 * MIB)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_stays(tmp_path: Path) -> None:
    path = tmp_path / "vg0.img"
    path.write_bytes(b"mine")
    with pytest.raises(AlreadyExists):
        _make_file(path, MIB)
    with pytest.raises(NotPossible, match="the file cannot be made: Not a directory; nothing was begun"):
        _make_file(path / "below" / "vg1.img", MIB)
    assert path.read_bytes() == b"mine"
