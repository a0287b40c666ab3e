"""lvmqcow as a third party has it: the built wheel, in an empty virtual environment, outside the repository."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "pytest.md"
BLOCK = re.compile(r'^```py title="(?P<name>\w+\.py)"\n(?P<code>.*?)^```', re.MULTILINE | re.DOTALL)


def run(*argv: str | Path, cwd: Path, status: int = 0) -> str:
    ours = ("PYTHON", "PYTEST", "TOX")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(argv, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", directory, ROOT, cwd=directory)
    (built,) = directory.glob("*.whl")
    return built


def environment(directory: Path, *packages: str) -> Path:
    """A virtual environment with these packages; returns its directory of programs."""
    run(sys.executable, "-m", "venv", directory / "venv", cwd=directory)
    programs = directory / "venv" / "bin"
    run(programs / "python", "-m", "pip", "install", "--quiet", *packages, cwd=directory)
    return programs


def test_bare_wheel_verifies_and_writes_every_report(wheel: Path, tmp_path: Path) -> None:
    programs = environment(tmp_path, str(wheel))
    reports = ("--html", "r.html", "--junit", "r.xml", "--json", "r.json")
    said = run(programs / "lvmqcow", "verify", "--on", "simulated", "--budget", "10s", *reports, cwd=tmp_path)
    assert said.startswith("lvmqcow holds: ")
    verdict = json.loads((tmp_path / "r.json").read_text())
    assert {suite["status"] for suite in verdict["suites"]} == {"held"}
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    specimen = ("--specimen", "remove-ignores-snapshots", "--suite", "sequences")
    said = run(programs / "lvmqcow", "verify", "--on", "simulated", *specimen, cwd=tmp_path, status=1)
    assert "does not hold" in said


def test_every_test_on_the_page_runs_as_it_stands(wheel: Path, tmp_path: Path) -> None:
    blocks = {match["name"]: match["code"] for match in BLOCK.finditer(PAGE.read_text())}
    assert set(blocks) == {"test_backup.py", "test_sequences.py", "test_suites.py"}
    for name, code in blocks.items():
        (tmp_path / name).write_text(code)
    programs = environment(tmp_path, f"{wheel}[testing]")
    pytest_argv = (programs / "python", "-m", "pytest", "--lvmqcow-no-skips", "-q")
    assert "2 passed" in run(*pytest_argv, "test_sequences.py", "test_suites.py", cwd=tmp_path)
    in_the_lab = (programs / "lvmqcow", "lab", "run", "--", *pytest_argv, "--lvmqcow-require-lab", "test_backup.py")
    assert "1 passed" in run(*in_the_lab, cwd=tmp_path)
