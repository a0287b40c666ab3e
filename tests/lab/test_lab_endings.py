"""Every way a lab can end: the caller gets the right status, and nothing of the lab is left."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.labs import PATIENT_LAB, StartedLab, kernels_of, run_lab, traces_of, wait_until

pytestmark = pytest.mark.lab_host

CAREFUL = "trap 'echo caught; echo tidy > tidied; exit 9' {}; echo up; while :; do sleep 0.05; done"
STUBBORN = "trap '' INT TERM; echo up; while :; do sleep 0.05; done"


def test_finished_lab_leaves_nothing(tmp_path: Path) -> None:
    lab = StartedLab("sh", "-c", "echo up", cwd=tmp_path)
    run_directory = lab.run_directory()
    assert lab.finish().status == 0
    assert traces_of(run_directory) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_lets_the_command_finish(tmp_path: Path, number: signal.Signals) -> None:
    lab = StartedLab("sh", "-c", CAREFUL.format(number.name[3:]), cwd=tmp_path, launcher=PATIENT_LAB)
    lab.wait_for_output(b"up\n")
    lab.runner.send_signal(number)
    result = lab.finish()
    assert (result.status, result.output) == (9, b"caught\n")
    assert (tmp_path / "tidied").read_text() == "tidy\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_that_ends_the_command_sets_the_status(tmp_path: Path, number: signal.Signals) -> None:
    lab = StartedLab("sh", "-c", "echo up; exec sleep 100000", cwd=tmp_path)
    lab.wait_for_output(b"up\n")
    lab.runner.send_signal(number)
    assert lab.finish().status == 128 + number


def test_signal_reaches_the_whole_process_group(tmp_path: Path) -> None:
    script = "sh -c 'trap \"echo child; exit\" INT; echo up; while :; do sleep 0.05; done'; echo end"
    lab = StartedLab("bash", "-c", script, cwd=tmp_path, launcher=PATIENT_LAB)
    lab.wait_for_output(b"up\n")
    lab.runner.send_signal(signal.SIGINT)
    assert b"child" in lab.finish().output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_kills_the_command(tmp_path: Path, number: signal.Signals) -> None:
    lab = StartedLab("sh", "-c", STUBBORN, cwd=tmp_path, launcher=PATIENT_LAB)
    lab.wait_for_output(b"up\n")
    run_directory = lab.run_directory()
    lab.runner.send_signal(number)
    # Wait until the first signal is delivered: a pending signal is not delivered twice.
    wait_until("the first is taken", lambda: not _pending(lab.runner.pid, number))
    lab.runner.send_signal(number)
    assert lab.finish().status == 128 + number
    assert traces_of(run_directory) == []


def test_command_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    lab = StartedLab("sh", "-c", STUBBORN, cwd=tmp_path)
    lab.wait_for_output(b"up\n")
    lab.runner.send_signal(signal.SIGTERM)
    assert lab.finish().status == 143


def test_signal_during_boot_ends_the_lab(tmp_path: Path) -> None:
    lab = StartedLab("sleep", "100000", cwd=tmp_path, launcher=PATIENT_LAB)
    run_directory = lab.run_directory()
    lab.runner.send_signal(signal.SIGINT)
    assert lab.finish().status == 130
    assert traces_of(run_directory) == []


def test_killed_runner_leaves_nothing(tmp_path: Path) -> None:
    lab = StartedLab("sh", "-c", "echo up; while :; do /bin/true; done", cwd=tmp_path)
    lab.wait_for_output(b"up\n")
    run_directory = lab.run_directory()
    assert traces_of(run_directory)
    lab.runner.kill()
    lab.runner.wait()
    wait_until("nothing left", lambda: not traces_of(run_directory))


def test_runner_killed_during_boot_leaves_nothing(tmp_path: Path) -> None:
    lab = StartedLab("true", cwd=tmp_path)
    run_directory = lab.run_directory()
    lab.runner.kill()
    lab.runner.wait()
    wait_until("nothing left", lambda: not traces_of(run_directory))


def test_killed_supervisor_exits_125_and_leaves_nothing(tmp_path: Path) -> None:
    lab = StartedLab("sh", "-c", "echo up; while :; do /bin/true; done", cwd=tmp_path)
    lab.wait_for_output(b"up\n")
    run_directory = lab.run_directory()
    os.kill(lab.supervisor(), signal.SIGKILL)
    result = lab.finish()
    assert result.status == 125
    assert b"The lab ended before its command did." in result.errors
    wait_until("nothing left", lambda: not traces_of(run_directory))


def test_next_lab_cleans_up_after_killed_runner_and_supervisor(tmp_path: Path) -> None:
    lab = StartedLab("sh", "-c", "echo up; while :; do /bin/true; done", cwd=tmp_path)
    lab.wait_for_output(b"up\n")
    run_directory = lab.run_directory()
    for pid in (lab.supervisor(), lab.runner.pid):
        os.kill(pid, signal.SIGKILL)
    lab.runner.wait()
    wait_until("no process left", lambda: traces_of(run_directory) == [str(run_directory)])
    run_lab("true", cwd=tmp_path)  # the next lab sweeps
    assert traces_of(run_directory) == []


def test_kernel_that_ignores_signals_ends_after_a_killed_runner(tmp_path: Path) -> None:
    lab = StartedLab("sh", "-c", "echo up; exec sleep 100000", cwd=tmp_path)
    lab.wait_for_output(b"up\n")
    run_directory = lab.run_directory()
    # Like a kernel that hangs in its clean-up after a SIGTERM: only SIGKILL ends it.
    os.kill(min(kernels_of(run_directory)), signal.SIGSTOP)
    for pid in (lab.supervisor(), lab.runner.pid):
        os.kill(pid, signal.SIGKILL)
    lab.runner.wait()
    wait_until("no process left", lambda: traces_of(run_directory) == [str(run_directory)])
    run_lab("true", cwd=tmp_path)
    assert traces_of(run_directory) == []


def test_killed_kernel_exits_125_and_leaves_nothing(tmp_path: Path) -> None:
    lab = StartedLab("sh", "-c", "echo up; exec sleep 100000", cwd=tmp_path)
    lab.wait_for_output(b"up\n")
    run_directory = lab.run_directory()
    os.kill(min(kernels_of(run_directory)), signal.SIGKILL)
    assert lab.finish().status == 125
    assert traces_of(run_directory) == []


def test_kernel_panic_shows_the_console(tmp_path: Path) -> None:
    script = "echo before; until [ -e go ]; do sleep 0.1; done; echo c > /proc/sysrq-trigger; sleep 100000"
    lab = StartedLab("sh", "-c", script, cwd=tmp_path)
    lab.wait_for_output(b"before\n")  # a panic loses all output that is still in the kernel
    (tmp_path / "go").touch()
    result = lab.finish()
    assert result.status == 125
    assert b"The lab ended before its command did." in result.errors
    assert b"Kernel panic - not syncing: sysrq triggered crash" in result.errors
    assert [path.name for path in tmp_path.iterdir()] == ["go"]  # no core file


def test_kernel_that_cannot_boot_shows_the_console(tmp_path: Path) -> None:
    result = run_lab("true", cwd=tmp_path, options=["--memory", "9M"])
    assert result.status == 125
    assert b"--- the lab's console ---" in result.errors


def test_too_much_memory_is_refused_with_advice(tmp_path: Path) -> None:
    result = run_lab("true", cwd=tmp_path, options=["--memory", "99999G"])
    assert result.status == 125
    assert b"Ask for less with --memory" in result.errors


def _pending(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    masks = [int(line.split()[1], 16) for line in status.splitlines()
             if line.startswith(("SigPnd", "ShdPnd"))]  # fmt: skip
    return any(mask >> (number - 1) & 1 for mask in masks)
