"""A sick machine: what it refuses is an error with a name, a reason and an advice, wherever it happens."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lvmqcow.engine.exports import free_path, whole_file
from lvmqcow.engine.imports import read_size, spooled
from lvmqcow.errors import AlreadyExists, CommandFailed, InvalidSize, NotPossible, SourceNotFound, UnfitMachine
from lvmqcow.lvm import devices, loopvg
from lvmqcow.qemu.img import QemuImg
from lvmqcow.qemu.nbd import QemuNbd
from lvmqcow.system import flock, holders, requirements
from lvmqcow.system.flock import FlockLocks, child_environment
from lvmqcow.system.requirements import command_environment, find_tool, require_temporary_directory, require_tools
from lvmqcow.system.stderr_pipe import stderr_pipe

MIB = 1024**2
COMPLAINS = ("sh", "-c", "echo 50.00/100%; echo no luck >&2; exit 3")


@contextmanager
def limited(kind: int, most: int) -> Iterator[None]:
    """This process may have no more of something."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


@contextmanager
def no_more_files() -> Iterator[None]:
    """No file descriptor is free."""
    with limited(resource.RLIMIT_NOFILE, max(map(int, os.listdir("/proc/self/fd")))):
        taken = []
        try:
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        try:
            yield
        finally:
            for each in taken:
                os.close(each)


@pytest.fixture
def no_temporary_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])


STARTS: dict[str, Callable[[tuple[str, ...]], object]] = {
    "a step": lambda argv: QemuImg().run(argv),
    "a question": lambda argv: QemuImg()._json(argv),
    "a map": lambda argv: list(QemuImg()._extents(argv)),
}


@pytest.mark.parametrize("start", STARTS)
def test_a_command_that_cannot_be_started_is_named(start: str, tmp_path: Path) -> None:
    with pytest.raises(UnfitMachine, match="qemu-no is missing"):
        STARTS[start](("qemu-no",))
    (tmp_path / "qemu-no").touch(0o600)
    with pytest.raises(UnfitMachine, match="qemu-no cannot be started: Permission denied"):
        STARTS[start]((str(tmp_path / "qemu-no"),))
    with pytest.raises(UnfitMachine, match="Argument list too long"):
        STARTS[start](("true", "x" * MIB))


@pytest.mark.parametrize("start", STARTS)
def test_a_process_that_may_open_no_more_files_says_so(start: str) -> None:
    with pytest.raises(UnfitMachine, match=r"[Tt]oo many .*files"), no_more_files():
        STARTS[start](("true",))


def test_a_step_needs_no_temporary_directory(no_temporary_directory: None) -> None:
    heard: list[float] = []
    QemuImg().run(("sh", "-c", "echo '(50.00/100%)'"), heard.append)
    assert heard == [50.0]
    with pytest.raises(CommandFailed, match="no luck"):
        QemuImg().run(COMPLAINS)
    with pytest.raises(CommandFailed, match="no luck"):
        list(QemuImg()._extents(("sh", "-c", "echo no luck >&2; exit 3")))


def test_a_command_that_complains_without_end_ends_all_the_same() -> None:
    with pytest.raises(CommandFailed, match="complaint 1\n") as failed:
        QemuImg().run(("sh", "-c", "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo complaint $i; done >&2; exit 3"))
    assert failed.value.status == 3


def test_what_was_complained_is_told_once() -> None:
    with stderr_pipe() as heard:
        assert heard.text() == ""
        os.write(heard.fileno(), b"one")
        assert (heard.text(), heard.text()) == ("one", "")


def test_a_stream_needs_a_temporary_directory_and_says_so(no_temporary_directory: None, tmp_path: Path) -> None:
    with pytest.raises(UnfitMachine, match="TMPDIR"):
        require_temporary_directory()
    with pytest.raises(CommandFailed, match="temporary directory"):
        QemuNbd().send(("qemu-nbd", str(tmp_path / "image")), 1, b"", MIB)


def test_a_tool_that_a_later_step_needs_is_missed_before_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    require_tools([("sh", "-c", "true")])
    monkeypatch.setattr(requirements, "_ROOT_DIRECTORIES", ())
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnfitMachine, match="apt-get install util-linux"):
        require_tools([("blkdiscard", "--zeroout", "/dev/x")])


@pytest.mark.parametrize("path", [None, "", "/usr/bin:/bin", "/nowhere"])
def test_the_tools_of_root_are_found_whatever_path_lvmqcow_is_started_with(
    path: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cron, su and ``env -i`` leave out the directory of losetup, dmsetup and blkdiscard."""
    if path is None:
        monkeypatch.delenv("PATH")
    else:
        monkeypatch.setenv("PATH", path)
    require_tools([("losetup",), ("blkdiscard",), ("sh",)])
    loopvg._loop_files()
    for environment in (command_environment(), child_environment(), QemuImg()._environment, QemuNbd()._environment):
        subprocess.run(("blkdiscard", "--version"), env=environment, check=True, capture_output=True)
    QemuImg().run(("blkdiscard", "--version"))


def test_a_tool_that_the_caller_puts_first_is_the_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "losetup").write_text("#!/bin/sh\necho mine\n")
    (tmp_path / "losetup").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_tool("losetup") == str(tmp_path / "losetup")
    assert loopvg._run(("losetup",)) == "mine\n"


@pytest.mark.parametrize("under", ["file", "file/below"])
def test_no_lock_is_taken_where_the_directory_is_none(under: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnfitMachine, match="nothing was begun"), FlockLocks(tmp_path / under).hold("vg", "v"):
        pytest.fail("it has no lock")


def test_a_lock_whose_holder_cannot_be_written_down_is_not_held(tmp_path: Path) -> None:
    """As on a full file system: whoever comes after a kill would not know whose commands may still run."""
    taking = FlockLocks(tmp_path).hold("vg", "v")
    with pytest.raises(UnfitMachine, match="nothing was begun"), limited(resource.RLIMIT_FSIZE, 0), taking:
        pytest.fail("it has no lock")
    with FlockLocks(tmp_path).hold("vg", "v"):
        pass


def test_a_lock_of_a_process_with_no_more_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnfitMachine), no_more_files(), FlockLocks(tmp_path).hold("vg", "v"):
        pytest.fail("it has no lock")


def test_without_proc_there_is_no_lock_and_no_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flock, "Path", lambda path: tmp_path / "not-mounted" / path[1:])
    with pytest.raises(UnfitMachine, match="mount -t proc"):
        child_environment()
    with pytest.raises(UnfitMachine, match="mount -t proc"), FlockLocks(tmp_path).hold("vg", "v"):
        pytest.fail("it has no lock")


def test_where_nobody_can_tell_who_uses_a_device_nobody_says_nothing_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holders, "_BLOCK_DEVICES", tmp_path / "not-mounted")
    with pytest.raises(UnfitMachine, match="mount -t sysfs"):
        holders.holders("/dev/null")
    assert holders.holders("/dev/not-there") == ()


def test_a_file_in_place_of_a_directory_of_devices_is_named(tmp_path: Path) -> None:
    (tmp_path / "mapper").touch()
    with pytest.raises(CommandFailed, match="Not a directory"):
        devices.device_names("vg-not-there", tmp_path)


@pytest.mark.parametrize("name", ["file/out", "x" * 300, "missing/out", "loop"])
def test_a_file_to_export_to_that_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop/out")
    before = sorted(tmp_path.iterdir())
    with pytest.raises((NotPossible, AlreadyExists)), whole_file(tmp_path / name, replace=False):
        pytest.fail("it cannot be written")
    assert sorted(tmp_path.iterdir()) == before


def test_a_directory_that_went_meanwhile_is_named(tmp_path: Path) -> None:
    (tmp_path / "goes").mkdir()
    written = whole_file(tmp_path / "goes" / "out", replace=False)
    shutil.rmtree(written.__enter__().parent)
    with pytest.raises(NotPossible, match="cannot be written"):
        written.__exit__(None, None, None)


def test_a_working_directory_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    with pytest.raises(NotPossible):
        free_path(Path("out"), replace=False)
    with pytest.raises(NotPossible):
        loopvg._make_file(Path("pv.img"), MIB)
    tmp_path.mkdir()


@pytest.mark.parametrize("name", ["file/pv.img", "x" * 300])
def test_a_file_for_a_volume_group_that_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((NotPossible, AlreadyExists)):
        loopvg._make_file(tmp_path / name, MIB)


def test_a_file_for_a_volume_group_that_finds_no_room_is_not_left(tmp_path: Path) -> None:
    with pytest.raises(InvalidSize, match="cannot hold a file that large"), limited(resource.RLIMIT_FSIZE, 4096):
        loopvg._make_file(tmp_path / "pv.img", MIB)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_for_loop_devices_that_cannot_be_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(loopvg, "_LOCK", tmp_path / "file" / "lock")
    with pytest.raises(UnfitMachine, match="Not a directory"), loopvg._attaching():
        pytest.fail("it has no lock")


def test_a_stream_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(SourceNotFound, match="Is a directory"):
            read_size(directory)
        with pytest.raises(SourceNotFound), spooled(directory, tmp_path):
            pytest.fail("it holds nothing")
    finally:
        os.close(directory)


def test_a_message_that_nobody_can_be_told_ends_nothing() -> None:
    script = "from lvmqcow.cli.output import Output; o = Output(False, True); o.say('x'); o.trace(['x']); print('on')"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=full, text=True)
    assert (done.returncode, done.stdout) == (0, "on\n")
