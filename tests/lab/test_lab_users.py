"""The lab for an ordinary user, and several labs at the same time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import CHECKOUT, DEADLINE_SECONDS, LAB, StartedLab, run_lab

pytestmark = pytest.mark.lab_host

NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """A directory of the user nobody with the lab in it, because tmp_path and the checkout may be private."""
    directory = Path(tempfile.mkdtemp(prefix="lab-nobody-"))
    shutil.copytree(CHECKOUT / "lvmqcow", directory / "lvmqcow")
    (directory / "ci").mkdir()
    shutil.copy(LAB, directory / "ci" / "lab")
    if os.getuid() == 0:
        os.chown(directory, NOBODY, NOBODY)
    yield directory
    shutil.rmtree(directory)


def test_ordinary_user_is_root_inside_the_lab(nobodys: Path) -> None:
    prefix = AS_NOBODY if os.getuid() == 0 else ()
    script = """set -e
        id -u
        truncate -s 1G /tmp/pv; vgcreate -q v $(losetup --find --show /tmp/pv) >&2
        lvcreate -q -W n -L 100M -n a v >&2; lvrename -q v a b >&2
        lvs --noheadings -o name v | tr -d ' '
        echo mine > file"""
    result = run_lab("sh", "-c", script, cwd=nobodys, prefix=prefix, lab=str(nobodys / "ci" / "lab"))
    assert (result.status, result.lines) == (0, ["0", "b"]), result
    assert (nobodys / "file").read_text() == "mine\n"
    assert (nobodys / "file").stat().st_uid == nobodys.stat().st_uid


def test_concurrent_labs_use_different_cpu_cores(tmp_path: Path) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.fail("two labs side by side need two cores")
    # In a network namespace without labs of other users, two of ours must not share a core.
    script = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from labs import StartedLab, kernels_of\n"
        "command = ('sh', '-c', 'echo up; sleep 100000')\n"
        "labs = [StartedLab(*command, cwd=Path('.')) for _ in range(2)]\n"
        "for lab in labs: lab.wait_for_output(b'up')\n"
        "for lab in labs:\n"
        "    kernels = kernels_of(lab.run_directory())\n"
        "    print(*set().union(*map(os.sched_getaffinity, kernels)))\n"
        "for lab in labs: lab.runner.terminate(); lab.finish()\n"
    )
    namespace = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--net"]
    done = subprocess.run(
        [*namespace, sys.executable, "-c", script, str(Path(__file__).parents[1] / "support")],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        timeout=DEADLINE_SECONDS,
        check=True,
    )
    first, second = done.stdout.split()  # each lab runs on one core
    assert first != second


def test_two_labs_share_a_disk(tmp_path: Path) -> None:
    disk = tmp_path / "a,b:c.img"
    disk.write_bytes(b"\0" * (8 << 20))
    options = ["--disk", str(disk)]
    writer = "echo $LVMQCOW_LAB_DISKS; printf hello | dd of=$LVMQCOW_LAB_DISKS oflag=direct \
        bs=4096 conv=sync status=none; touch written; until [ -e read ]; do sleep 0.05; done"
    reader = "until [ -e written ]; do sleep 0.05; done; head -c 5 $LVMQCOW_LAB_DISKS; touch read"
    first = StartedLab("sh", "-c", writer, cwd=tmp_path, options=options)
    second = run_lab("sh", "-c", reader, cwd=tmp_path, options=options)
    assert second.output == b"hello"
    assert first.finish().output == b"/dev/ubda\n"
    assert disk.read_bytes()[:5] == b"hello"


def test_disk_writes_are_in_the_file_after_the_command(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(b"\0" * (4 << 20))
    script = "set -- $LVMQCOW_LAB_DISKS; printf 1 > $1; printf 2 > $2"
    options = ["--disk", "one", "--disk", "two"]
    assert run_lab("sh", "-c", script, cwd=tmp_path, options=options).status == 0
    assert [(tmp_path / name).read_bytes()[:1] for name in ("one", "two")] == [b"1", b"2"]
