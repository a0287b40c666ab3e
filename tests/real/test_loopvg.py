"""Volume groups on sparse files: made whole, gone without a trace, and nobody else's touched."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lvmqcow import loopvg
from lvmqcow.errors import AlreadyExists, CommandFailed, InvalidSize, NotPossible, VolumeGroupNotFound
from lvmqcow.lvm import LvmProcesses

pytestmark = pytest.mark.real

SIZE_BYTES = 64 * 1024**2


def loop_devices() -> list[str]:
    return [path.parts[3] for path in Path("/sys/block").glob("loop*/loop/backing_file")]


def test_create_list_destroy_leaves_nothing(tmp_path: Path) -> None:
    before = loop_devices()
    file = tmp_path / "pv.img"
    made = loopvg.create("lvtest", SIZE_BYTES, file)
    assert made in loopvg.existing()
    assert made.file == file
    assert file.stat().st_blocks * 512 < SIZE_BYTES / 4, "the file is sparse"
    loopvg.destroy("lvtest")
    assert loop_devices() == before
    assert not file.exists()
    assert "lvtest" not in [group.name for group in loopvg.existing()]


def test_a_file_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "precious"
    file.write_bytes(b"only copy")
    with pytest.raises(AlreadyExists):
        loopvg.create("lvtest", SIZE_BYTES, file)
    assert file.read_bytes() == b"only copy"


def test_a_volume_group_name_is_not_taken_twice(loop_vg: str, tmp_path: Path) -> None:
    with pytest.raises(AlreadyExists):
        loopvg.create(loop_vg, SIZE_BYTES, tmp_path / "pv.img")


def test_a_failed_create_leaves_no_file_and_no_device(tmp_path: Path) -> None:
    before = loop_devices()
    with pytest.raises(CommandFailed):
        loopvg.create("lvtest", 512 * 1024, tmp_path / "pv.img")  # too small for LVM's metadata
    with pytest.raises(InvalidSize):
        loopvg.create("lvtest", 0, tmp_path / "pv.img")
    assert loop_devices() == before
    assert list(tmp_path.iterdir()) == []


def test_a_volume_group_that_is_not_ours_is_not_destroyed(tmp_path: Path) -> None:
    loopvg.create("lvtest", SIZE_BYTES, tmp_path / "pv.img")
    lvm = LvmProcesses()
    lvm.change(("vgchange", "--deltag", "lvmqcow.loopvg", "lvtest"))
    with pytest.raises(VolumeGroupNotFound):
        loopvg.destroy("lvtest")
    lvm.change(("vgchange", "--addtag", "lvmqcow.loopvg", "lvtest"))
    loopvg.destroy("lvtest")


def test_a_volume_group_in_use_is_not_destroyed(tmp_path: Path) -> None:
    loopvg.create("lvtest", SIZE_BYTES, tmp_path / "pv.img")
    LvmProcesses().change(("lvcreate", "--yes", "--size", "4m", "--name", "used", "lvtest"))
    with Path("/dev/lvtest/used").open("rb"), pytest.raises(NotPossible):
        loopvg.destroy("lvtest")
    assert subprocess.run(["lvs", "lvtest/used"], capture_output=True, check=False).returncode == 0
    loopvg.destroy("lvtest")
