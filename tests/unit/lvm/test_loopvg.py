"""The file of a loop volume group: it is made completely, or refused by name and not left behind."""

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
    """Limit the size of files, like a file system with a small maximum."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * MIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_loop_file_is_sparse_and_has_the_requested_size(tmp_path: Path) -> None:
    path = tmp_path / "new" / "vg0.img"
    _make_file(path, 64 * MIB)
    assert path.stat().st_size == 64 * MIB
    assert path.stat().st_blocks == 0


@pytest.mark.usefixtures("_small_files")
def test_size_too_large_for_the_file_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSize, match=f"'65 MiB' is not possible: the file system of {tmp_path}"):
        _make_file(tmp_path / "vg0.img", 65 * MIB)
    assert list(tmp_path.iterdir()) == []


def test_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "vg0.img"
    path.write_bytes(b"mine")
    with pytest.raises(AlreadyExists):
        _make_file(path, MIB)
    with pytest.raises(NotPossible, match="the file cannot be made: Not a directory; nothing was begun"):
        _make_file(path / "below" / "vg1.img", MIB)
    assert path.read_bytes() == b"mine"
