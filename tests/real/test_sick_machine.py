"""A machine with read-only or full directories: every verb works or is refused by name, and the volume is safe.

strace shows which directories lvmqcow, lvm and qemu-img write to. Each verb runs in a process with its own mount
namespace, where one of these directories is read-only or full.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO, TextIOWrapper
from pathlib import Path
from typing import Final

import pytest

import lvmqcow
from lvmqcow.checks.structure import Severity
from lvmqcow.cli import main
from lvmqcow.core.names import Format, parse_volume_name
from lvmqcow.errors import NotFound, UnfitMachine
from lvmqcow.operations import Snapshot
from lvmqcow.testing.content import Content, Write
from lvmqcow.testing.worlds import RealWorld

pytestmark = pytest.mark.lvmqcow_real

MIB: Final = 1024**2
CLONE_NEWNS: Final = 0x20000  # unshare(2)
DISK: Final = "vm-100-disk-0.qcow2"
WRITTEN: Final = Write(3, 5, 7)
PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "exit-statuses.md"
STATUSES: Final = {int(status) for status in re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)}

LOOKING: Final = (
    "list {vg}",
    "info {vg}/vm-100-disk-0.qcow2",
    "path {vg}/vm-100-disk-0.qcow2",
    "check {vg}",
    "recover {vg} --dry-run",
    "snapshot {vg}/vm-100-disk-0.qcow2 s9 --dry-run",
)
CHANGING: Final = (
    "snapshot {vg}/vm-100-disk-0.qcow2 s2",
    "delete-snapshot {vg}/vm-100-disk-0.qcow2 s2",
    "rollback {vg}/vm-100-disk-0.qcow2 s1",
    "resize {vg}/vm-100-disk-0.qcow2 --size 16M",
    "copy {vg}/vm-100-disk-0.qcow2@s1 vm-301-disk-0",
    "clone {vg}/vm-100-disk-0.qcow2@s1 vm-302-disk-0.qcow2",
    "flatten {vg}/vm-302-disk-0.qcow2",
    "rename {vg}/vm-302-disk-0.qcow2 vm-312-disk-0.qcow2",
    "create {vg}/vm-300-disk-0.qcow2 --size 8M",
    "template {vg}/vm-300-disk-0.qcow2",
    "convert {vg}/vm-301-disk-0",
    "import /dev/{vg}/vm-200-disk-0 {vg}/vm-303-disk-0.qcow2 --source-format raw",
    "deactivate {vg}/vm-100-disk-0.qcow2",
    "activate {vg}/vm-100-disk-0.qcow2",
    "remove {vg}/vm-200-disk-0 --wipe zero",
    "delete-snapshot {vg}/vm-100-disk-0.qcow2 s1",
)
STREAMING: Final = (
    "import - {vg}/vm-304-disk-0 --size 8M --source-format raw",
    "export {vg}/vm-100-disk-0.qcow2 - --format raw",
)
SPOOLING: Final = ("export {vg}/vm-100-disk-0.qcow2 - --format qcow2",)
TO_A_FILE: Final = ("export {vg}/vm-100-disk-0.qcow2 {file}",)
ALL: Final = (*LOOKING, *CHANGING[:-2], *STREAMING, *SPOOLING, *TO_A_FILE, *CHANGING[-2:])


@dataclass(frozen=True)
class Sick:
    """Directories that are read-only or full, and the verbs that still work."""

    directories: tuple[str, ...]
    full: bool
    work: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.directories)} {'full' if self.full else 'read-only'}"

    def mount(self) -> None:
        """Make the directories read-only or full in the namespace of this process."""
        for directory in self.directories:
            if self.full:
                program = {path: os.open(path, os.O_PATH) for path in program_below(directory)}
                _run("mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", directory)
                for path, held in program.items():
                    path.mkdir()
                    _run("mount", "--no-canonicalize", "--bind", f"/proc/{os.getpid()}/fd/{held}", str(path))
                Path(directory, "full").write_bytes(bytes(4096))
            else:
                _run("mount", "--rbind", directory, directory)
                _run("mount", "-o", "remount,ro,bind", directory)


def program_below(directory: str) -> set[Path]:
    """The parts of a directory that contain the program itself, which stay as they are."""
    program = (Path(sys.prefix), Path(lvmqcow.__file__), Path.cwd())
    return {
        Path(directory, path.relative_to(directory).parts[0])
        for path in program
        if path.is_relative_to(directory) and path != Path(directory)
    }


LVM_LOCKS: Final = "LVM's locks"
NOT_TEMPORARY: Final = (*LOOKING, *CHANGING)
SICKNESSES: Final = [
    *(Sick(("/run/lock/lvmqcow",), full, LOOKING) for full in (False, True)),
    Sick(("/run/lock",), False, LOOKING),
    *(Sick(("/tmp", "/var/tmp"), full, NOT_TEMPORARY) for full in (False, True)),
    Sick((LVM_LOCKS,), False, ()),
    Sick((LVM_LOCKS,), True, NOT_TEMPORARY),  # a lock of LVM is an empty file: it needs no space
    Sick(("/dev",), False, LOOKING),
]


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    """A raw volume, and a volume with a snapshot and data written before it."""
    made = lvmqcow_world()
    made.storage.create(DISK, 8 * MIB)
    made.storage.create("vm-200-disk-0", 8 * MIB)
    made.write(DISK, Format.QCOW2, [WRITTEN])
    made.storage.volume(DISK).snapshot("s1")
    Path("/run/lock/lvmqcow").mkdir(mode=0o700, parents=True, exist_ok=True)
    yield made
    made.close()


def test_cut_on_a_sick_machine_is_recovered_on_a_healthy_one(world: RealWorld) -> None:
    """The lock cannot be taken any more, so recovery is refused too, with the reason."""
    storage = world.storage
    plan = storage.plan(Snapshot(parse_volume_name(DISK), "s2"))
    for step in plan.steps[:2]:
        world.host.run(step)
    sick = Sick(("/run/lock/lvmqcow",), False, ())
    status, stderr = in_a_process(["recover", f"{world.host.vg}/{DISK}"], sick.mount)
    assert status == UnfitMachine.exit_status, stderr
    assert "nothing was begun" in stderr
    assert [plan.operation for plan in storage.recover()] == ["undo snapshot"]
    require_whole(world, "recovered")


def test_change_without_device_mapper_is_refused_before_any_step(world: RealWorld, tmp_path: Path) -> None:
    """Like in a container without the driver. Here lvm still has it, so a started step would succeed."""
    (tmp_path / "misc").write_text("237 loop-control\n")
    (tmp_path / "dmsetup").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "dmsetup").chmod(0o755)

    def hide() -> None:
        _run("mount", "--bind", str(tmp_path / "misc"), "/proc/misc")
        os.environ["PATH"] = f"{tmp_path}:{os.environ['PATH']}"

    before, refused = world.host.observe(), set[str]()
    for verb in (*LOOKING, *CHANGING):
        argv = verb.format(vg=world.host.vg).split(" ")
        status, stderr = in_a_process(argv, hide)
        if verb in LOOKING:
            assert status == 0, f"{verb}: {stderr}"
        elif status not in (0, NotFound.exit_status):  # nothing to do, or the means are missing
            assert (status, "lvmqcow lab run" in stderr) == (UnfitMachine.exit_status, True), f"{verb}: {stderr}"
            refused.add(argv[0])
        assert world.host.observe() == before, verb
    assert {"snapshot", "rollback", "resize", "copy", "clone", "create", "import", "deactivate", "remove"} <= refused


@pytest.mark.parametrize("sick", SICKNESSES, ids=str)
def test_unwritable_directory_is_named_and_harms_no_volume(
    sick: Sick, world: RealWorld, record_property: Callable[[str, object], None]
) -> None:
    directories = tuple(lvm_locks() if each == LVM_LOCKS else each for each in sick.directories)
    here = Sick(directories, sick.full, sick.work)
    refused = 0
    for verb in ALL:
        argv = verb.format(vg=world.host.vg, file=world.free_file()).split(" ")
        before = world.host.observe()
        status, stderr = in_a_process(argv, here.mount)
        said = f"{verb}, {here}: status {status}\n{stderr}"
        assert "Traceback" not in stderr, said
        assert "Exception ignored" not in stderr, said
        assert status in STATUSES, said
        if verb in here.work:
            assert status == 0, said
        if status:
            refused += 1
            assert stderr.strip(), said
            if world.host.observe() != before:
                world.storage.recover()
                require_whole(world, said)
    require_whole(world, str(here))
    record_property("verbs refused on a sick machine", refused)


def require_whole(world: RealWorld, said: str) -> None:
    """Nothing is unfinished or damaged, and the volume has its content."""
    wrong = [
        finding for finding in world.storage.check() if finding.severity in (Severity.DAMAGED, Severity.UNFINISHED)
    ]
    assert wrong == [], said
    with world.readable():
        size_bytes = world.storage.volume(DISK).info().virtual_size_bytes
        assert size_bytes is not None, said
        assert world.difference(DISK, Format.QCOW2, Content(size_bytes).written([WRITTEN])) is None, said


def in_a_process(argv: list[str], make_sick: Callable[[], None]) -> tuple[int, str]:
    """Exit status and stderr of ``lvmqcow ARGV`` in a mount namespace that ``make_sick`` changes first."""
    with tempfile.TemporaryFile() as stderr, tempfile.TemporaryFile() as stdin:
        os.ftruncate(stdin.fileno(), 8 * MIB)
        child = os.fork()
        if child == 0:
            status = 70
            try:
                os.dup2(stdin.fileno(), 0)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                os.dup2(stderr.fileno(), 2)
                sys.stdout, sys.stderr = _text(1), _text(2)
                if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
                    raise OSError(ctypes.get_errno(), "unshare")
                _run("mount", "--make-rprivate", "/")
                make_sick()
                tempfile.tempdir = None
                status = main(argv)
            finally:  # a child of pytest must never continue as pytest
                if sys.exc_info()[0]:
                    traceback.print_exc()
                sys.stderr.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        stderr.seek(0)
        return status, stderr.read().decode(errors="replace")


def lvm_locks() -> str:
    """The directory of the locks of LVM."""
    argv = ("lvm", "lvmconfig", "--type", "full", "global/locking_dir")
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    directory = said.strip().partition("=")[2].strip('"')
    Path(directory).mkdir(parents=True, exist_ok=True)
    return directory


def _text(stream: int) -> TextIOWrapper:
    return TextIOWrapper(FileIO(stream, "w", closefd=False), write_through=True)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)
