"""Every verb works in a privileged container, without udev and without device nodes for new devices in /dev."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.lvmqcow_real

CONTAINER = """
mount --make-rprivate /
mkdir -p "$1"
mount -t tmpfs container "$1"
for node in null zero full random urandom tty loop-control; do cp -a /dev/$node "$1"; done
mkdir "$1/mapper" "$1/pts" "$1/shm"
cp -a /dev/mapper/control "$1/mapper"
mount --bind "$1" /dev
shift
exec env -i PATH="$PATH" "$@"
"""
"""A mount and IPC namespace with a /dev like that of container runtimes, and only PATH in the environment."""

SIZE_BYTES = 8 * 1024**2


def session(lvmqcow: str, vg: str, file: Path, lvm: str) -> str:
    disk = f"{vg}/vm-100-disk-0.qcow2"
    lines = [
        f"loopvg create {vg} --size 200M --file {file}",
        f"create {disk} --size 8M --lvm {lvm}",
        f"snapshot {disk} s1 --lvm {lvm}",
        f"snapshot {disk} s2 --lvm {lvm}",
        f"rollback {disk} s2 --lvm {lvm}",
        f"delete-snapshot {disk} s1 --lvm {lvm}",
        f"resize {disk} --size 12M --lvm {lvm}",
        f"rename {disk} vm-200-disk-0.qcow2 --lvm {lvm}",
        f"check {vg} --lvm {lvm}",
        f"deactivate {vg}/vm-200-disk-0.qcow2 --lvm {lvm}",
        f"remove {vg}/vm-200-disk-0.qcow2 --lvm {lvm}",
        f"check {vg} --lvm {lvm}",
    ]
    ending = f"{lvmqcow} loopvg destroy {vg}"
    return "\n".join(
        ["set -ex", f"trap '{ending}' EXIT", *(f"{lvmqcow} {line}" for line in lines), f"ls /dev/{vg}* ||:"]
    )


@pytest.mark.parametrize("lvm", ["process", "shell"])
def test_command_line_works_in_a_privileged_container(tmp_path: Path, lvm: str) -> None:
    vg = f"container-{lvm}-{os.getpid()}"
    lvmqcow = shlex.join((sys.executable, "-P", "-m", "lvmqcow"))
    if Path("lvmqcow/__init__.py").exists():
        lvmqcow = f"env PYTHONPATH={shlex.quote(os.getcwd())} {lvmqcow}"
    script = session(lvmqcow, vg, tmp_path / "pv.img", lvm)
    argv = ("unshare", "--mount", "--ipc", "sh", "-ec", CONTAINER, "sh", str(tmp_path / "dev"), "sh", "-c", script)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("nothing is wrong") == 2, done.stderr
