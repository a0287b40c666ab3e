"""Volume groups on sparse files: made completely, destroyed without a trace, and only ours are destroyed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lvmqcow.errors import AlreadyExists, CommandFailed, InvalidSize, NotPossible, VolumeGroupNotFound
from lvmqcow.lvm import loopvg
from lvmqcow.lvm.commands import LvmProcesses
from lvmqcow.storage import Storage

pytestmark = pytest.mark.lvmqcow_real

SIZE_BYTES = 64 * 1024**2


def loop_devices() -> list[str]:
    return [path.parts[3] for path in Path("/sys/block").glob("loop*/loop/backing_file")]


def test_create_list_and_destroy_leave_nothing(tmp_path: Path) -> None:
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


def test_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "precious"
    file.write_bytes(b"only copy")
    with pytest.raises(AlreadyExists):
        loopvg.create("lvtest", SIZE_BYTES, file)
    assert file.read_bytes() == b"only copy"


def test_create_under_a_taken_vg_name_is_refused(lvmqcow_vg: str, tmp_path: Path) -> None:
    with pytest.raises(AlreadyExists):
        loopvg.create(lvmqcow_vg, SIZE_BYTES, tmp_path / "pv.img")


def test_failed_create_leaves_no_file_and_no_device(tmp_path: Path) -> None:
    before = loop_devices()
    with pytest.raises(CommandFailed):
        loopvg.create("lvtest", 512 * 1024, tmp_path / "pv.img")  # too small for the metadata of LVM
    with pytest.raises(InvalidSize):
        loopvg.create("lvtest", 0, tmp_path / "pv.img")
    assert loop_devices() == before
    assert list(tmp_path.iterdir()) == []


def test_foreign_vg_is_not_destroyed(tmp_path: Path) -> None:
    loopvg.create("lvtest", SIZE_BYTES, tmp_path / "pv.img")
    lvm = LvmProcesses()
    lvm.change(("vgchange", "--deltag", "lvmqcow.loopvg", "lvtest"))
    with pytest.raises(VolumeGroupNotFound):
        loopvg.destroy("lvtest")
    lvm.change(("vgchange", "--addtag", "lvmqcow.loopvg", "lvtest"))
    loopvg.destroy("lvtest")


@pytest.fixture
def devices_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make LVM use a devices file, as on RHEL. It names one device, which does not exist."""
    told = subprocess.run(("lvm", "lvmconfig"), check=True, capture_output=True, text=True).stdout
    home = tmp_path / "lvm"
    (home / "devices").mkdir(parents=True)
    shutil.copytree(Path(os.environ.get("LVM_SYSTEM_DIR", "/etc/lvm"), "profile"), home / "profile")
    (home / "lvm.conf").write_text(told.replace("use_devicesfile=0", "") + "devices/use_devicesfile=1\n")
    listed = home / "devices" / "system.devices"
    listed.write_text("VERSION=1.1.1\nIDTYPE=devname IDNAME=/dev/gone DEVNAME=/dev/gone PVID=gone\n")
    monkeypatch.setenv("LVM_SYSTEM_DIR", str(home))
    return listed


def test_loop_vg_works_with_an_lvm_devices_file(devices_file: Path, tmp_path: Path) -> None:
    before = loop_devices()
    made = loopvg.create("lvtest", SIZE_BYTES, tmp_path / "pv.img")
    assert made == loopvg.find("lvtest")
    with pytest.raises(AlreadyExists):
        loopvg.create("lvtest", SIZE_BYTES, tmp_path / "other.img")
    for lvm in ("shell", "process"):
        with Storage.open("lvtest", lvm=lvm) as storage:
            assert storage.volumes() == ()
    loopvg.destroy("lvtest")
    assert loop_devices() == before
    assert "pv.img" not in devices_file.read_text()


def test_vg_in_use_is_not_destroyed(tmp_path: Path) -> None:
    loopvg.create("lvtest", SIZE_BYTES, tmp_path / "pv.img")
    LvmProcesses().change(("lvcreate", "--yes", "--size", "4m", "--name", "used", "lvtest"))
    with Path("/dev/lvtest/used").open("rb"), pytest.raises(NotPossible):
        loopvg.destroy("lvtest")
    assert subprocess.run(["lvs", "lvtest/used"], capture_output=True, check=False).returncode == 0
    loopvg.destroy("lvtest")
