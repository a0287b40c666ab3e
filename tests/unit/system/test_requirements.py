"""A machine that lacks something: each refusal is an error with a name, a reason and advice."""

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
    """Set a resource limit for this process."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


@contextmanager
def no_more_files() -> Iterator[None]:
    """Use up all file descriptors."""
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
def test_command_that_cannot_be_started_is_named(start: str, tmp_path: Path) -> None:
    with pytest.raises(UnfitMachine, match="qemu-no is missing"):
        STARTS[start](("qemu-no",))
    (tmp_path / "qemu-no").touch(0o600)
    with pytest.raises(UnfitMachine, match="qemu-no cannot be started: Permission denied"):
        STARTS[start]((str(tmp_path / "qemu-no"),))
    with pytest.raises(UnfitMachine, match="Argument list too long"):
        STARTS[start](("true", "x" * MIB))


@pytest.mark.parametrize("start", STARTS)
def test_lack_of_file_descriptors_is_reported(start: str) -> None:
    with pytest.raises(UnfitMachine, match=r"[Tt]oo many .*files"), no_more_files():
        STARTS[start](("true",))


def test_qemu_img_step_needs_no_temporary_directory(no_temporary_directory: None) -> None:
    heard: list[float] = []
    QemuImg().run(("sh", "-c", "echo '(50.00/100%)'"), heard.append)
    assert heard == [50.0]
    with pytest.raises(CommandFailed, match="no luck"):
        QemuImg().run(COMPLAINS)
    with pytest.raises(CommandFailed, match="no luck"):
        list(QemuImg()._extents(("sh", "-c", "echo no luck >&2; exit 3")))


def test_command_with_very_long_stderr_ends() -> None:
    with pytest.raises(CommandFailed, match="complaint 1\n") as failed:
        QemuImg().run(("sh", "-c", "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo complaint $i; done >&2; exit 3"))
    assert failed.value.status == 3


def test_stderr_text_is_returned_once() -> None:
    with stderr_pipe() as heard:
        assert heard.text() == ""
        os.write(heard.fileno(), b"one")
        assert (heard.text(), heard.text()) == ("one", "")


def test_stream_without_a_temporary_directory_is_refused(no_temporary_directory: None, tmp_path: Path) -> None:
    with pytest.raises(UnfitMachine, match="TMPDIR"):
        require_temporary_directory()
    with pytest.raises(CommandFailed, match="temporary directory"):
        QemuNbd().send(("qemu-nbd", str(tmp_path / "image")), 1, b"", MIB)


def test_tool_missing_for_a_later_step_is_reported_first(monkeypatch: pytest.MonkeyPatch) -> None:
    require_tools([("sh", "-c", "true")])
    monkeypatch.setattr(requirements, "_ROOT_DIRECTORIES", ())
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnfitMachine, match="apt-get install util-linux"):
        require_tools([("blkdiscard", "--zeroout", "/dev/x")])


@pytest.mark.parametrize("path", [None, "", "/usr/bin:/bin", "/nowhere"])
def test_tools_in_sbin_are_found_with_any_path(path: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cron, su and ``env -i`` set a PATH without the directory of losetup, dmsetup and blkdiscard."""
    if path is None:
        monkeypatch.delenv("PATH")
    else:
        monkeypatch.setenv("PATH", path)
    require_tools([("losetup",), ("blkdiscard",), ("sh",)])
    loopvg._loop_files()
    for environment in (command_environment(), child_environment(), QemuImg()._environment, QemuNbd()._environment):
        subprocess.run(("blkdiscard", "--version"), env=environment, check=True, capture_output=True)
    QemuImg().run(("blkdiscard", "--version"))


def test_tool_first_in_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "losetup").write_text("#!/bin/sh\necho mine\n")
    (tmp_path / "losetup").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_tool("losetup") == str(tmp_path / "losetup")
    assert loopvg._run(("losetup",)) == "mine\n"


@pytest.mark.parametrize("under", ["file", "file/below"])
def test_lock_below_a_file_is_refused(under: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnfitMachine, match="nothing was begun"), FlockLocks(tmp_path / under).hold("vg", "v"):
        pytest.fail("it has no lock")


def test_lock_is_refused_if_its_holder_cannot_be_recorded(tmp_path: Path) -> None:
    """On a full file system, for example. After a kill, nobody could find the commands that still run."""
    taking = FlockLocks(tmp_path).hold("vg", "v")
    with pytest.raises(UnfitMachine, match="nothing was begun"), limited(resource.RLIMIT_FSIZE, 0), taking:
        pytest.fail("it has no lock")
    with FlockLocks(tmp_path).hold("vg", "v"):
        pass


def test_lock_without_a_file_descriptor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnfitMachine), no_more_files(), FlockLocks(tmp_path).hold("vg", "v"):
        pytest.fail("it has no lock")


def test_missing_proc_stops_locks_and_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flock, "Path", lambda path: tmp_path / "not-mounted" / path[1:])
    with pytest.raises(UnfitMachine, match="mount -t proc"):
        child_environment()
    with pytest.raises(UnfitMachine, match="mount -t proc"), FlockLocks(tmp_path).hold("vg", "v"):
        pytest.fail("it has no lock")


def test_missing_sysfs_is_an_error_not_an_unused_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "_BLOCK_DEVICES", tmp_path / "not-mounted")
    with pytest.raises(UnfitMachine, match="mount -t sysfs"):
        holders.holders("/dev/null")
    assert holders.holders("/dev/not-there") == ()


def test_file_instead_of_a_device_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "mapper").touch()
    with pytest.raises(CommandFailed, match="Not a directory"):
        devices.device_names("vg-not-there", tmp_path)


@pytest.mark.parametrize("name", ["file/out", "x" * 300, "missing/out", "loop"])
def test_impossible_export_path_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop/out")
    before = sorted(tmp_path.iterdir())
    with pytest.raises((NotPossible, AlreadyExists)), whole_file(tmp_path / name, replace=False):
        pytest.fail("it cannot be written")
    assert sorted(tmp_path.iterdir()) == before


def test_directory_removed_during_the_export_is_named(tmp_path: Path) -> None:
    (tmp_path / "goes").mkdir()
    written = whole_file(tmp_path / "goes" / "out", replace=False)
    shutil.rmtree(written.__enter__().parent)
    with pytest.raises(NotPossible, match="cannot be written"):
        written.__exit__(None, None, None)


def test_removed_working_directory_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    with pytest.raises(NotPossible):
        free_path(Path("out"), replace=False)
    with pytest.raises(NotPossible):
        loopvg._make_file(Path("pv.img"), MIB)
    tmp_path.mkdir()


@pytest.mark.parametrize("name", ["file/pv.img", "x" * 300])
def test_impossible_loop_file_path_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((NotPossible, AlreadyExists)):
        loopvg._make_file(tmp_path / name, MIB)


def test_loop_file_without_space_is_not_left_behind(tmp_path: Path) -> None:
    with pytest.raises(InvalidSize, match="cannot hold a file that large"), limited(resource.RLIMIT_FSIZE, 4096):
        loopvg._make_file(tmp_path / "pv.img", MIB)
    assert list(tmp_path.iterdir()) == []


def test_impossible_loop_device_lock_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(loopvg, "_LOCK", tmp_path / "file" / "lock")
    with pytest.raises(UnfitMachine, match="Not a directory"), loopvg._attaching():
        pytest.fail("it has no lock")


def test_unreadable_stream_is_named(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(SourceNotFound, match="Is a directory"):
            read_size(directory)
        with pytest.raises(SourceNotFound), spooled(directory, tmp_path):
            pytest.fail("it holds nothing")
    finally:
        os.close(directory)


def test_message_that_cannot_be_written_does_not_end_lvmqcow() -> None:
    script = "from lvmqcow.cli.output import Output; o = Output(False, True); o.say('x'); o.trace(['x']); print('on')"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=full, text=True)
    assert (done.returncode, done.stdout) == (0, "on\n")
