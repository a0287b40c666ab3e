"""Export files appear under their name only when they are complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from lvmqcow.engine.exports import whole_file
from lvmqcow.errors import AlreadyExists, NotPossible


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_export_file_gets_its_name_when_complete(tmp_path: Path) -> None:
    with whole_file(tmp_path / "disk.raw", replace=False) as partial:
        partial.write_bytes(b"whole")
        assert not (tmp_path / "disk.raw").exists()
        assert partial.parent == tmp_path
    assert names(tmp_path) == ["disk.raw"]
    assert (tmp_path / "disk.raw").read_bytes() == b"whole"


def test_failed_export_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "disk.raw", replace=False) as partial:
        partial.with_name("nowhere").read_bytes()
    assert names(tmp_path) == []


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "disk.raw").write_bytes(b"old")
    with pytest.raises(AlreadyExists, match=r"disk\.raw"), whole_file(tmp_path / "disk.raw", replace=False):
        pytest.fail("this block must not run")
    assert (tmp_path / "disk.raw").read_bytes() == b"old"


def test_file_created_during_the_export_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(AlreadyExists), whole_file(tmp_path / "disk.raw", replace=False):
        (tmp_path / "disk.raw").write_bytes(b"somebody else's")
    assert names(tmp_path) == ["disk.raw"]
    assert (tmp_path / "disk.raw").read_bytes() == b"somebody else's"


def test_replaced_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    (tmp_path / "disk.raw").write_bytes(b"old")
    (tmp_path / "link").symlink_to("disk.raw")
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "link", replace=True):
        assert 1 / 0
    assert (tmp_path / "disk.raw").read_bytes() == b"old"
    with whole_file(tmp_path / "link", replace=True) as partial:
        partial.write_bytes(b"new")
        assert (tmp_path / "disk.raw").read_bytes() == b"old"
    assert names(tmp_path) == ["disk.raw", "link"]
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk.raw").read_bytes() == b"new"


@pytest.mark.parametrize("path", [Path("/dev/null"), Path("/tmp"), Path("/nowhere/disk.raw")])
def test_device_or_directory_is_never_replaced(path: Path) -> None:
    with pytest.raises(NotPossible, match=str(path)), whole_file(path, replace=True):
        pytest.fail("this block must not run")
