"""The lvm shell and plain processes: the same answers, the same errors, and the shell comes back when it died."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lvmqcow.errors import CommandFailed, VolumeGroupNotFound
from lvmqcow.lvm import Lvm, LvmProcesses, LvmShell, read_volume_group
from lvmqcow.testing.worlds import RealWorld

pytestmark = pytest.mark.real


@pytest.fixture
def vg(real_world: Callable[[], RealWorld]) -> Iterator[str]:
    """An empty volume group."""
    world = real_world()
    yield world.host.vg
    world.close()


@pytest.fixture(params=[LvmShell, LvmProcesses])
def lvm(request: pytest.FixtureRequest) -> Iterator[Lvm]:
    """LVM, in both ways to talk to it."""
    made: Lvm = request.param()
    yield made
    made.close()


@contextmanager
def both() -> Iterator[tuple[Lvm, Lvm]]:
    shell, processes = LvmShell(), LvmProcesses()
    yield shell, processes
    shell.close()


def create(lvm: Lvm, vg: str, name: str, *more: str) -> None:
    lvm.change(("lvcreate", "--yes", "--size", "4m", "--name", name, *more, vg))


def shell_processes() -> set[int]:
    """The lvm shells that are children of this process."""
    return {
        int(status.parent.name)
        for status in Path("/proc").glob("[0-9]*/status")
        if f"PPid:\t{os.getpid()}\n" in (text := status.read_text()) and text.startswith("Name:\tlvm\n")
    }


def test_both_give_the_same_picture(vg: str) -> None:
    with both() as (shell, processes):
        assert read_volume_group(shell, vg) == read_volume_group(processes, vg)
        create(shell, vg, "a", "--addtag", "lvmqcow.intent=push/x/y", "--addtag", "pve-vm-1")
        create(processes, vg, "b")
        seen = read_volume_group(shell, vg)
        assert seen == read_volume_group(processes, vg)
        assert {lv.name for lv in seen.logical_volumes} == {"a", "b"}
        assert {"lvmqcow.intent=push/x/y", "pve-vm-1"} == next(lv.tags for lv in seen.logical_volumes if lv.name == "a")


def test_both_raise_the_same_error_with_what_lvm_said(vg: str) -> None:
    with both() as (shell, processes):
        raised = []
        for lvm in (shell, processes):
            with pytest.raises(CommandFailed) as failed:
                lvm.change(("lvrename", vg, "no-such-lv", "other"))
            raised.append(failed.value)
        assert raised[0].argv == raised[1].argv == ("lvrename", vg, "no-such-lv", "other")
        assert raised[0].status == raised[1].status == 5
        assert "no-such-lv" in raised[0].stderr
        assert raised[0].stderr == raised[1].stderr


def test_a_volume_group_that_is_not_there_is_named(lvm: Lvm) -> None:
    with pytest.raises(VolumeGroupNotFound, match="no-such-vg"):
        read_volume_group(lvm, "no-such-vg")


def test_only_the_volume_groups_own_physical_volumes_are_seen(vg: str, lvm: Lvm) -> None:
    read_volume_group(lvm, vg)
    (own,) = lvm.physical_volumes
    assert [row["pv_name"] for row in lvm.report(("pvs", "-o", "pv_name"))["pv"]] == [own]


@contextmanager
def shell_and_process(vg: str) -> Iterator[tuple[LvmShell, int]]:
    """A shell that has answered, and the process id of its lvm."""
    known = shell_processes()
    shell = LvmShell()
    read_volume_group(shell, vg)
    (started,) = shell_processes() - known
    yield shell, started
    shell.close()


def test_many_commands_in_one_shell_leave_it_alive(vg: str) -> None:
    with shell_and_process(vg) as (shell, started):
        create(shell, vg, "a")
        for number in range(30):
            shell.change(("lvchange", "--addtag", f"t{number}", f"{vg}/a"))
            read_volume_group(shell, vg)
        assert started in shell_processes()
    assert started not in shell_processes()


def test_a_report_outlives_the_death_of_the_shell(vg: str) -> None:
    with shell_and_process(vg) as (shell, started):
        seen = read_volume_group(shell, vg)
        os.kill(started, signal.SIGKILL)
        assert read_volume_group(shell, vg) == seen


def test_a_change_is_not_repeated_when_the_shell_dies(vg: str) -> None:
    with shell_and_process(vg) as (shell, started):
        os.kill(started, signal.SIGKILL)
        with pytest.raises(CommandFailed, match="died"):
            create(shell, vg, "a")
        create(shell, vg, "b")
        assert {lv.name for lv in read_volume_group(shell, vg).logical_volumes} == {"b"}


def test_a_physical_volume_with_a_name_full_of_regular_expression_is_seen(lvm: Lvm, tmp_path: Path) -> None:
    """The shell is told of its physical volumes with a filter, whose patterns such a name could break."""
    name = "pv-1.a+b"
    file = tmp_path / "pv.img"
    file.touch()
    os.truncate(file, 64 * 1024**2)
    loop = run("losetup", "--find", "--show", str(file)).strip()
    run("dmsetup", "create", name, "--table", f"0 {64 * 2048} linear {loop} 0")
    path = f"/dev/mapper/{name}"
    try:
        LvmProcesses([path]).change(("vgcreate", "--yes", "odd", path))
        read_volume_group(lvm, "odd")
        assert lvm.physical_volumes == (path,)
        create(lvm, "odd", "a")
        assert [lv.name for lv in read_volume_group(lvm, "odd").logical_volumes] == ["a"]
        LvmProcesses([path]).change(("vgremove", "--yes", "--force", "odd"))
    finally:
        run("dmsetup", "remove", name)
        run("losetup", "--detach", loop)


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
