"""The lvm shell and single lvm processes: same answers, same errors, and the shell restarts after its death."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Literal

import pytest

from lvmqcow.engine.events import Events
from lvmqcow.engine.locks import NoLocks
from lvmqcow.errors import CommandFailed, Interrupted, OperationCut, VolumeGroupNotFound
from lvmqcow.lvm.commands import Lvm, LvmProcesses, LvmShell
from lvmqcow.lvm.look import read_volume_group
from lvmqcow.steps import LvRename, Step
from lvmqcow.storage import Storage
from lvmqcow.testing.worlds import RealWorld

pytestmark = pytest.mark.lvmqcow_real


@pytest.fixture
def vg(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[str]:
    """An empty volume group."""
    world = lvmqcow_world()
    yield world.host.vg
    world.close()


@pytest.fixture(params=[LvmShell, LvmProcesses])
def lvm(request: pytest.FixtureRequest) -> Iterator[Lvm]:
    """LVM as a shell and as single processes."""
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
    """The process ids of the lvm shells of this process."""
    return {
        int(status.parent.name)
        for status in Path("/proc").glob("[0-9]*/status")
        if f"PPid:\t{os.getpid()}\n" in (text := status.read_text()) and text.startswith("Name:\tlvm\n")
    }


def test_shell_and_processes_give_the_same_report(vg: str) -> None:
    with both() as (shell, processes):
        assert read_volume_group(shell, vg) == read_volume_group(processes, vg)
        create(shell, vg, "a", "--addtag", "lvmqcow.intent=push/x/y", "--addtag", "pve-vm-1")
        create(processes, vg, "b")
        seen = read_volume_group(shell, vg)
        assert seen == read_volume_group(processes, vg)
        assert {lv.name for lv in seen.logical_volumes} == {"a", "b"}
        assert {"lvmqcow.intent=push/x/y", "pve-vm-1"} == next(lv.tags for lv in seen.logical_volumes if lv.name == "a")


def test_shell_and_processes_raise_the_same_error(vg: str) -> None:
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


def test_missing_vg_is_named(lvm: Lvm) -> None:
    with pytest.raises(VolumeGroupNotFound, match="no-such-vg"):
        read_volume_group(lvm, "no-such-vg")


def test_lvm_sees_only_the_pvs_of_the_vg(vg: str, lvm: Lvm) -> None:
    read_volume_group(lvm, vg)
    (own,) = lvm.physical_volumes
    assert [row["pv_name"] for row in lvm.report(("pvs", "-o", "pv_name"))["pv"]] == [own]


@contextmanager
def shell_and_process(vg: str) -> Iterator[tuple[LvmShell, int]]:
    """A shell that has answered a command, and the process id of its lvm."""
    known = shell_processes()
    shell = LvmShell()
    read_volume_group(shell, vg)
    (started,) = shell_processes() - known
    yield shell, started
    shell.close()


def test_one_shell_runs_many_commands(vg: str) -> None:
    with shell_and_process(vg) as (shell, started):
        create(shell, vg, "a")
        for number in range(30):
            shell.change(("lvchange", "--addtag", f"t{number}", f"{vg}/a"))
            read_volume_group(shell, vg)
        assert started in shell_processes()
    assert started not in shell_processes()


def test_report_is_repeated_after_the_death_of_the_shell(vg: str) -> None:
    with shell_and_process(vg) as (shell, started):
        seen = read_volume_group(shell, vg)
        os.kill(started, signal.SIGKILL)
        assert read_volume_group(shell, vg) == seen


def test_change_is_not_repeated_after_the_death_of_the_shell(vg: str) -> None:
    with shell_and_process(vg) as (shell, started):
        os.kill(started, signal.SIGKILL)
        with pytest.raises(CommandFailed, match="died"):
            create(shell, vg, "a")
        create(shell, vg, "b")
        assert {lv.name for lv in read_volume_group(shell, vg).logical_volumes} == {"b"}


def test_pv_name_with_regular_expression_characters_is_seen(lvm: Lvm, tmp_path: Path) -> None:
    """The shell selects its physical volumes with a filter, and such a name could break the patterns.

    The device starts after the start of the loop device. Otherwise both would be the same physical volume.
    """
    name = "pv-1.a+b"
    file = tmp_path / "pv.img"
    file.touch()
    os.truncate(file, 64 * 1024**2)
    loop = run("losetup", "--find", "--show", str(file)).strip()
    run("dmsetup", "create", name, "--table", f"0 {63 * 2048} linear {loop} 2048")
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


SPOILED = """#!{python}
import json, os, subprocess, sys
report = os.environ.get("LVM_REPORT_FD")
if len(sys.argv) == 1:  # the shell: it ends after one command
    out, told = os.pipe()
    os.set_inheritable(told, True)
    environment = {{**os.environ, "LVM_REPORT_FD": str(told)}}
    subprocess.run(["{lvm}"], input=sys.stdin.readline(), text=True, env=environment, close_fds=False)
    os.close(told)
    said = json.dumps(json.JSONDecoder().raw_decode(os.fdopen(out).read().strip())[0])  # then the report of its end
else:
    said = subprocess.run(["{lvm}", *sys.argv[1:]], capture_output=True, text=True, check=True).stdout
said = {spoiled}
os.write(int(report or 1), said.encode())
"""
"""An lvm that succeeds, but with a spoiled report."""


NOT_WHOLE = (
    "said[: len(said) // 2]",
    "said[: said.rindex('}')]",
    "''",
    "'Segmentation fault'",
    "'{}'",
    "'null'",
    "'[1]'",
    """'{"report": 7, "log": 7}'""",
    """'{"report": [7], "log": [7]}'""",
    """'{"report": [{"vg": [7]}], "log": [{"log_ret_code": "?"}]}'""",
    """'{"report": [{"vg": [], "lv": [], "pv": []}], "log": [{"log_ret_code": "1"}]}'""",
    """'{"report": [{"vg": [{}], "pv": []}], "log": [{"log_ret_code": "1"}]}'""",
    "said.replace('lv_tags', 'lv_tag')",
    "said.replace('vg_extent_size', 'x')",
    "said.replace('4194304', '4M')",
)


@pytest.mark.parametrize("kind", [LvmShell, LvmProcesses])
def test_incomplete_report_is_an_error_not_an_empty_vg(
    vg: str, kind: type[LvmShell | LvmProcesses], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(LvmProcesses()) as lvm:
        create(lvm, vg, "a")
    real, script = shutil.which("lvm"), tmp_path / "lvm"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for spoiled in ("said", *NOT_WHOLE):
        script.write_text(SPOILED.format(python=sys.executable, lvm=real, spoiled=spoiled))
        script.chmod(0o755)
        with closing(kind()) as lvm:
            if spoiled == "said":
                assert read_volume_group(lvm, vg).lv_names == {"a"}
            else:
                with pytest.raises(CommandFailed, match=r"is incomplete|reported nothing|command succeeded|shell died"):
                    read_volume_group(lvm, vg)


@pytest.fixture
def lvms_lock(vg: str) -> Callable[[], AbstractContextManager[None]]:
    """Hold the lock of LVM on the volume group, like an LVM command that changes it."""
    setting = run("lvmconfig", "--type", "full", "global/locking_dir")
    path = Path(setting.strip().partition("=")[2].strip('"')) / f"V_{vg}"

    @contextmanager
    def hold() -> Iterator[None]:
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    return hold


@pytest.mark.parametrize("lvm_kind", ["shell", "process"])
@pytest.mark.parametrize("ends", ["by Ctrl-C", "when it is let go"])
def test_lvmqcow_waits_for_the_lvm_lock_and_says_so(
    vg: str, lvms_lock: Callable[[], AbstractContextManager[None]], lvm_kind: str, ends: str
) -> None:
    with closing(LvmProcesses()) as lvm:
        before = read_volume_group(lvm, vg)
        argv = ("create", f"{vg}/vm-100-disk-0.qcow2", "--size", "4M", "--lvm", lvm_kind)
        with lvms_lock():
            waiting = subprocess.Popen([sys.executable, "-m", "lvmqcow", *argv], stderr=subprocess.PIPE, text=True)
            assert waiting.stderr is not None
            assert "waiting for `fullreport" in waiting.stderr.readline()
            if ends == "by Ctrl-C":
                waiting.send_signal(signal.SIGINT)
                said = waiting.communicate()[1]  # the lock is still held
                assert waiting.returncode == 130, said
        if ends == "by Ctrl-C":
            assert read_volume_group(lvm, vg) == before
        else:
            assert waiting.wait() == 0
            assert "vm-100-disk-0.qcow2" in read_volume_group(lvm, vg).lv_names


@pytest.mark.parametrize("lvm_kind", ["shell", "process"])
def test_ctrl_c_while_waiting_for_the_lvm_lock_can_be_recovered(
    lvmqcow_world: Callable[[], RealWorld],
    lvms_lock: Callable[[], AbstractContextManager[None]],
    lvm_kind: Literal["shell", "process"],
) -> None:
    world, name = lvmqcow_world(), "vm-100-disk-0.qcow2"
    world.storage.create(name, 4 * 1024**2).snapshot("s1")
    with ExitStack() as held:

        def lock(step: Step) -> None:
            if isinstance(step, LvRename):
                held.enter_context(lvms_lock())

        events = Events(begun=lock, waiting=lambda argv: os.kill(os.getpid(), signal.SIGINT))
        with (
            Storage.open(world.host.vg, lvm=lvm_kind, locks=NoLocks(), events=events) as storage,
            pytest.raises(OperationCut) as cut,
        ):
            storage.volume(name).snapshot("s2")
    assert isinstance(cut.value.cause, Interrupted)
    assert [plan.operation for plan in world.storage.recover()] == ["undo snapshot"]
    assert world.storage.volume(name).info().snapshots == ("s1",)
    assert world.storage.check() == ()
