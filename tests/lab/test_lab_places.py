"""A checkout may be anywhere: a lab started in it, or with a program from it, sees it like the machine does."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.labs import CHECKOUT, LAB, Result, run_lab

from .test_lab_users import NOBODY

pytestmark = pytest.mark.lab_host

ROOTS = [root for root in ("/tmp", "/run", "/dev/shm", "/var/tmp") if os.access(root, os.W_OK)]
"""The lab hides the first three behind its own directories."""
ODD = "two  wörds, it's $HOME & a=b ☃"
LONG = "long" + "-" * 200
SHOW = "import sys; print(sys.prefix); print(open(sys.argv[1]).read())"


@dataclass(frozen=True)
class Checkout:
    """A directory with some files, a virtual environment and the lab."""

    path: Path

    @property
    def python(self) -> Path:
        return self.path / "venv/bin/python"

    def run(self, *command: str, cwd: Path) -> Result:
        """Run a command in a lab started by this checkout. The environment names no path."""
        prefix = ("env", "-i", f"PATH={os.defpath}", "sh", "-c", 'exec "$0" "$@"')
        return run_lab(*command, cwd=cwd, lab=str(self.path / "ci/lab"), prefix=prefix)

    def show(self, cwd: Path) -> Result:
        """Run the Python of the checkout by its path. It prints its prefix and the content of a file."""
        return self.run(str(self.python), "-c", SHOW, str(self.path / "seen"), cwd=cwd)


def make_checkout(path: Path) -> Checkout:
    (path / "ci").mkdir(parents=True)
    (path / "seen").write_text("seen")
    shutil.copy(LAB, path / "ci")
    shutil.copytree(CHECKOUT / "lvmqcow", path / "lvmqcow", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", path / "venv"], check=True)
    return Checkout(path)


@pytest.fixture(params=ROOTS)
def root(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A new directory directly below one of the roots."""
    directory = Path(tempfile.mkdtemp(prefix="lab-places-", dir=request.param))
    yield directory
    shutil.rmtree(directory)


def assert_used_from_within(checkout: Checkout, cwd: Path) -> None:
    script = 'cat seen; echo new > written; "$@" >> written; cat written'
    result = checkout.run("sh", "-c", script, "sh", "venv/bin/python", "-c", SHOW, "seen", cwd=cwd)
    place = os.path.realpath(cwd)
    assert result.output.decode() == f"seennew\n{place}/venv\nseen\n", result
    assert (checkout.path / "written").read_text() == f"new\n{place}/venv\nseen\n"


@pytest.mark.parametrize("name", ["plain", ODD, LONG])
def test_checkout_can_be_used_from_inside(root: Path, name: str) -> None:
    checkout = make_checkout(root / name)
    assert_used_from_within(checkout, checkout.path)


def test_program_of_a_checkout_runs_from_elsewhere(root: Path, tmp_path: Path) -> None:
    checkout = make_checkout(root / ODD)
    result = checkout.show(cwd=tmp_path)
    assert result.output.decode() == f"{checkout.path}/venv\nseen\n", result


def test_writes_to_a_checkout_from_elsewhere_are_discarded(root: Path, tmp_path: Path) -> None:
    checkout = make_checkout(root / "checkout")
    script = 'cd "$1"; rm seen; echo new > written; ls'
    result = checkout.run("sh", "-c", script, "sh", str(checkout.path), cwd=tmp_path)
    assert result.lines == ["ci", "lvmqcow", "venv", "written"], result
    assert sorted(os.listdir(checkout.path)) == ["ci", "lvmqcow", "seen", "venv"]


def test_checkout_behind_a_symbolic_link_works(root: Path, tmp_path: Path) -> None:
    checkout = make_checkout(root / "checkout")
    other = Path(tempfile.mkdtemp(prefix="lab-places-link-", dir="/tmp"))
    try:
        (other / "link").symlink_to(root)
        behind = Checkout(other / "link/checkout")
        assert_used_from_within(behind, behind.path)
        result = behind.show(cwd=tmp_path)
        assert result.output.decode() == f"{other}/link/checkout/venv\nseen\n", result
    finally:
        shutil.rmtree(other)
    assert (checkout.path / "written").exists()


def test_checkout_of_another_user_works(root: Path, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.fail("needs root, to make a file that is another user's")
    checkout = make_checkout(root / "checkout")
    for path in (root, *root.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    assert_used_from_within(checkout, checkout.path)
    assert checkout.show(cwd=tmp_path).output.decode() == f"{checkout.path}/venv\nseen\n"


def test_read_only_checkout_works(root: Path) -> None:
    checkout = make_checkout(root / "checkout")
    for path in (checkout.path, *checkout.path.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)
    # Root can write everywhere except on a file system that is mounted read-only.
    bound = 'mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"; cd "$0"; exec "$@"'
    user = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    prefix = (*user, "sh", "-ec", bound, str(checkout.path))
    script = 'cat seen; echo new > written || echo; "$@"'
    try:
        result = run_lab(
            *("sh", "-c", script, "sh", "venv/bin/python", "-c", SHOW, "seen"),
            cwd=root,
            lab=str(checkout.path / "ci/lab"),
            prefix=prefix,
        )
    finally:
        for path in (checkout.path, *checkout.path.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o200)
    assert result.output.decode() == f"seen\n{checkout.path}/venv\nseen\n", result
    assert b"Read-only file system" in result.errors
    assert not (checkout.path / "written").exists()
