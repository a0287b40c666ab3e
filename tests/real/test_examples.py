"""The programs in ``examples/`` run as they stand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.lvmqcow_real

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
VG = "examples"
DISK = "vm-100-disk-0.qcow2"


def python(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-P", *words], capture_output=True, text=True, check=False)


def lvmqcow(*words: str | Path) -> None:
    done = python("-m", "lvmqcow", *words)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def _group(tmp_path: Path) -> Iterator[None]:
    lvmqcow("loopvg", "create", VG, "--size", "2G", "--file", tmp_path / "pv.img")
    yield
    lvmqcow("loopvg", "destroy", "--yes", VG)


@pytest.mark.usefixtures("_group")
def test_the_library_program_ends_where_it_says() -> None:
    done = python(EXAMPLES / "library.py", VG)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"created {DISK}\nrolled back to before-upgrade\nnothing is wrong\n"


@pytest.mark.usefixtures("_group")
def test_the_hook_goes_through_the_life_of_a_volume() -> None:
    calls = {
        ("alloc_image", "100", "qcow2", "65536"): f"{DISK}\n",
        ("volume_snapshot", DISK, "s1"): "",
        ("volume_snapshot_rollback", DISK, "s1"): "",
        ("volume_snapshot_delete", DISK, "s1"): "",
        ("filesystem_path", DISK): f"/dev/{VG}/{DISK}\n",
        ("free_image", DISK): "",
    }
    for words, printed in calls.items():
        done = python(EXAMPLES / "hook.py", VG, *words)
        assert (done.returncode, done.stdout) == (0, printed), done.stderr
    assert python(EXAMPLES / "hook.py", VG, "free_image", DISK).returncode == 10


def test_the_consumers_test_passes() -> None:
    options = ("-q", "-p", "no:cacheprovider", "--lvmqcow-require-lab", "--lvmqcow-no-skips")
    done = python("-m", "pytest", *options, EXAMPLES / "ci_test.py")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_readme_shows_the_consumers_test() -> None:
    readme, program = (ROOT / "README.md").read_text(), (EXAMPLES / "ci_test.py").read_text()
    assert f"```py\n{program[program.index('@pytest') :]}```" in readme
