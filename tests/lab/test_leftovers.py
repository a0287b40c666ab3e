"""`ci/leftovers` fails a run that leaves something behind, and no other run."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import CHECKOUT, wait_until

LEFTOVERS = str(CHECKOUT / "ci/leftovers")


def run_and_look(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LEFTOVERS, *command], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("status", [0, 7])
def test_leftovers_passes_on_the_exit_status(status: int) -> None:
    done = run_and_look("sh", "-c", f"sh -c 'sleep 0 &'; exit {status}")
    assert (done.returncode, done.stderr) == (status, "")


def test_process_left_behind_is_named(tmp_path: Path) -> None:
    script = f"setsid sleep 100000 > /dev/null 2>&1 & echo $! > '{tmp_path}/pid'"
    done = run_and_look("sh", "-c", script)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert done.returncode == 1
    assert "left behind: process" in done.stderr
    assert "sleep 100000" in done.stderr


@pytest.fixture
def strangers() -> Iterator[subprocess.Popen[bytes]]:
    """A process of another user with a name like one of ours."""
    process = subprocess.Popen(["bash", "-c", "exec -a qemu-nbd sleep 100000"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.usefixtures("strangers")
def test_process_of_another_user_is_ignored() -> None:
    assert run_and_look("true").returncode == 0


def test_run_directory_of_a_killed_lab_is_named() -> None:
    directory = "/var/tmp/lvmqcow-lab-dead"
    private = 'mount -t tmpfs t /var/tmp; exec "$@"'  # no other lab sweeps here
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    script = 'mkdir "$0"; touch "$0/console"'
    argv = ["unshare", *user, "--mount", "sh", "-c", private, "sh", LEFTOVERS, "sh", "-c", script, directory]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"left behind: run directory {directory}\n")


def test_sigterm_is_passed_on(tmp_path: Path) -> None:
    script = f"trap 'exit 9' TERM; touch '{tmp_path}/up'; while :; do sleep 0.05; done"
    running = subprocess.Popen([LEFTOVERS, "sh", "-c", script])
    wait_until("it runs", (tmp_path / "up").exists)
    running.terminate()
    assert running.wait() == 9
