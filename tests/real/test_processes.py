"""Several processes on one volume group, some of them killed: the result is that of one sequence of operations."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from lvmqcow.engine.locks import NoLocks
from lvmqcow.errors import Locked, LvmqcowError
from lvmqcow.lvm.commands import LvmProcesses, LvmShell
from lvmqcow.lvm.look import read_volume_group
from lvmqcow.storage import Storage
from lvmqcow.system.flock import FlockLocks
from lvmqcow.testing.processes.worker import MIB
from lvmqcow.testing.suites.processes import Crowd, run_crowd, run_crowd_with_kills
from lvmqcow.testing.worlds import RealWorld

pytestmark = pytest.mark.lvmqcow_real

OPERATIONS: Final = int(os.environ.get("LVMQCOW_EXAMPLES", "8")) * 5
DISK: Final = "vm-100-disk-0.qcow2"


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    made = lvmqcow_world()
    yield made
    made.close()


@pytest.fixture
def crowd(world: RealWorld, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Crowd]:
    made = Crowd(world.host.vg, tmp_path, request.param, OPERATIONS)
    yield made
    made.kill_all()


@pytest.mark.parametrize("crowd", ["shell", "process"], indirect=True)
def test_concurrent_processes_act_like_one_sequence(
    world: RealWorld, crowd: Crowd, record_property: Callable[[str, object], None]
) -> None:
    for what, number in run_crowd(world, crowd, seed=0).counts.items():
        record_property(f"side by side: {what}", number)


@pytest.mark.parametrize("crowd", ["shell", "process"], indirect=True)
def test_other_processes_recover_the_work_of_killed_ones(
    world: RealWorld, crowd: Crowd, record_property: Callable[[str, object], None]
) -> None:
    for what, number in run_crowd_with_kills(world, crowd, seed=10).counts.items():
        record_property(f"side by side: {what}", number)


STOPPED_AT_LVCREATE = """
import os, signal, sys
from pathlib import Path
from lvmqcow.system.flock import FlockLocks
from lvmqcow.storage import Storage

def stop(argv):
    if argv[0] == "lvcreate":
        shell = int(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()[0])
        os.kill(shell, signal.SIGSTOP)
        print(shell, flush=True)

with Storage.open(sys.argv[1], locks=FlockLocks(Path(sys.argv[2])), trace=stop) as storage:
    storage.volumes()  # starts the shell
    storage.create("vm-100-disk-0.qcow2", 4 * 1024**2)
"""


def test_volume_stays_locked_until_the_lvm_of_a_killed_process_ends(world: RealWorld, tmp_path: Path) -> None:
    """Otherwise the next process could read the metadata before the old command commits."""
    argv = (sys.executable, "-c", STOPPED_AT_LVCREATE, world.host.vg, str(tmp_path))
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    shell = int(process.stdout.readline())
    process.kill()
    process.communicate()
    with pytest.raises(Locked, match=f"process {process.pid} "):
        Storage(world.host, FlockLocks(tmp_path)).create(DISK, 4 * MIB)
    other = Storage(world.host, FlockLocks(tmp_path)).create("vm-101-disk-0.qcow2", 4 * MIB)
    assert other.info().virtual_size_bytes == 4 * MIB
    os.kill(shell, signal.SIGCONT)
    Storage(world.host, FlockLocks(tmp_path, wait_seconds=200)).create(DISK, 4 * MIB)
    assert {lv.name for lv in world.host.observe().logical_volumes} == {DISK, "vm-101-disk-0.qcow2"}
    assert world.storage.check() == ()


def test_lvm_shell_never_overwrites_newer_metadata(world: RealWorld) -> None:
    """All add tags to one LV at once. A change based on an old report would lose tags of the others."""
    vg = world.host.vg
    world.storage.create(DISK, MIB)
    each = 30
    failures: list[str] = []

    def tag(number: int) -> None:
        lvm = LvmShell() if number % 2 else LvmProcesses()
        try:
            for count in range(each):
                read_volume_group(lvm, vg)  # it has seen everything that it could cache
                lvm.change(("lvchange", "--addtag", f"by.{number}.{count}", f"{vg}/{DISK}"))
        except LvmqcowError as error:
            failures.append(str(error))
        finally:
            lvm.close()

    threads = [threading.Thread(target=tag, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    (lv,) = world.host.observe().logical_volumes
    assert {tag for tag in lv.tags if tag.startswith("by.")} == {
        f"by.{number}.{count}" for number in range(4) for count in range(each)
    }
    subprocess.run(("vgck", vg), check=True, capture_output=True)


def test_idle_lvm_shell_sees_the_changes_of_others(world: RealWorld) -> None:
    one, two = (Storage.open(world.host.vg, lvm="shell", locks=NoLocks()) for _ in range(2))
    one.create(DISK, MIB)
    assert [info.name for info in two.volumes()] == [DISK]
    two.volume(DISK).snapshot("s1")
    one.volume(DISK).snapshot("s2")
    two.volume(DISK).rename("vm-200-disk-0.qcow2")
    one.volume("vm-200-disk-0.qcow2").delete_snapshot("s1")
    two.volume("vm-200-disk-0.qcow2").resize(8 * MIB)
    assert one.volume("vm-200-disk-0.qcow2").info().virtual_size_bytes == 8 * MIB
    assert one.check() == ()
    for storage in (one, two):
        storage.close()
