"""Locks between processes, one for each volume."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lvmqcow.engine.locks import NoLocks
from lvmqcow.errors import Locked
from lvmqcow.system.flock import FlockLocks, child_environment

HOLD = """
import subprocess, sys
from pathlib import Path
from lvmqcow.system.flock import FlockLocks, child_environment

with FlockLocks(Path(sys.argv[1])).hold("vg", "v"):
    {do}
"""
UNTIL_STDIN_ENDS = "print('held', flush=True); sys.stdin.read()"
# lvmqcow starts qemu-img like this: the child inherits the lock, and lives until we close its stdin
LEAVE_A_CHILD = "subprocess.Popen(['sh', '-c', 'echo held; cat'], close_fds=False); import os; os._exit(0)"

# lvmqcow starts lvm like this: lvm closes all descriptors that it does not know
LEAVE_LVM = """subprocess.Popen(['sh', '-c', 'echo held; cat'], env=child_environment()); import os; os._exit(0)"""

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "locks"


@pytest.fixture
def start(directory: Path) -> Iterator[Start]:
    """Start a process that takes the lock of vg/v and then runs the code. Return as soon as it has the lock."""
    started: list[subprocess.Popen[str]] = []

    def starter(do: str) -> subprocess.Popen[str]:
        argv = (sys.executable, "-c", HOLD.format(do=do), str(directory))
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield starter
    for process in started:
        process.kill()
        process.communicate()


def test_locked_error_names_the_holder(directory: Path, start: Start) -> None:
    holder = start(UNTIL_STDIN_ENDS)
    with pytest.raises(Locked, match=f"process {holder.pid} ") as refused, FlockLocks(directory).hold("vg", "v"):
        pytest.fail("two hold the same lock")
    assert refused.value.target == "vg/v"


def test_released_lock_can_be_taken(directory: Path, start: Start) -> None:
    start(UNTIL_STDIN_ENDS).communicate()
    with FlockLocks(directory).hold("vg", "v"):
        pass


def test_lock_of_a_killed_process_is_free(directory: Path, start: Start) -> None:
    holder = start(UNTIL_STDIN_ENDS)
    holder.kill()
    holder.wait()
    with FlockLocks(directory).hold("vg", "v"):
        pass


def test_child_that_outlives_its_parent_keeps_the_lock(directory: Path, start: Start) -> None:
    parent = start(LEAVE_A_CHILD)
    parent.wait()
    with pytest.raises(Locked, match=f"process {parent.pid} "), FlockLocks(directory).hold("vg", "v"):
        pytest.fail("the child may still write")
    parent.communicate()  # closes stdin of the child, and waits until the child closes stdout
    with FlockLocks(directory).hold("vg", "v"):
        pass


def test_lvm_left_running_by_a_killed_process_blocks_the_lock(directory: Path, start: Start) -> None:
    parent = start(LEAVE_LVM)
    parent.wait()
    with pytest.raises(Locked, match=f"process {parent.pid} "), FlockLocks(directory).hold("vg", "v"):
        pytest.fail("the child may still commit")
    with FlockLocks(directory).hold("vg", "w"):
        pass
    parent.communicate()  # closes stdin of the child, and waits until the child closes stdout
    with FlockLocks(directory, wait_seconds=600).hold("vg", "v"):
        pass


def test_child_started_under_a_released_lock_does_not_block(directory: Path) -> None:
    with FlockLocks(directory).hold("vg", "v"):
        child = subprocess.Popen(("cat",), env=child_environment(), stdin=subprocess.PIPE)
    with FlockLocks(directory).hold("vg", "v"):
        pass
    child.communicate()


@pytest.mark.parametrize(("vg", "volume"), [("vg", "w"), ("vg2", "v")])
def test_lock_does_not_cover_other_volumes(directory: Path, start: Start, vg: str, volume: str) -> None:
    start(UNTIL_STDIN_ENDS)
    with FlockLocks(directory).hold(vg, volume):
        pass


def test_same_process_cannot_take_one_lock_twice(directory: Path) -> None:
    locks = FlockLocks(directory)
    with locks.hold("vg", "v"), pytest.raises(Locked), locks.hold("vg", "v"):
        pytest.fail("two hold the same lock")


def test_waiting_process_gets_the_released_lock(directory: Path, start: Start) -> None:
    holder = start(UNTIL_STDIN_ENDS)
    waiter = subprocess.Popen(
        (sys.executable, "-c", WAIT, str(directory)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    holder.communicate()
    out, _ = waiter.communicate()
    assert out == "got it\n"


WAIT = """
import sys
from pathlib import Path
from lvmqcow.system.flock import FlockLocks

with FlockLocks(Path(sys.argv[1]), wait_seconds=600).hold("vg", "v"):
    print("got it")
"""


def test_error_inside_releases_the_lock(directory: Path) -> None:
    locks = FlockLocks(directory)
    with pytest.raises(KeyError), locks.hold("vg", "v"):
        raise KeyError
    with locks.hold("vg", "v"):
        pass


def test_lock_files_are_readable_by_root_only(directory: Path) -> None:
    with FlockLocks(directory).hold("vg", "v"):
        assert directory.stat().st_mode & 0o077 == 0
        assert all(path.stat().st_mode & 0o077 == 0 for path in directory.iterdir())


def test_no_locks_class_never_refuses() -> None:
    locks = NoLocks()
    with locks.hold("vg", "v"), locks.hold("vg", "v"):
        pass
