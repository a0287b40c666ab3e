"""The canary: a file that notices every access by another process."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lvmqcow.testing.canary import canary


def test_untouched_canary_reports_nothing(tmp_path: Path) -> None:
    with canary(tmp_path / "canary.txt") as watched:
        (tmp_path / "another.txt").write_text("sings too")
        assert (tmp_path / "canary.txt").stat().st_size > 65536  # stat does not open the file
        assert watched.touches() == ()


@pytest.mark.parametrize(
    ("argv", "touch"),
    [
        (("head", "-c", "1", "{}"), "opened"),
        (("sh", "-c", "exec 3< {}"), "opened"),
        (("sh", "-c", "echo >> {}"), "written"),
        (("truncate", "-s", "0", "{}"), "written"),
        (("rm", "{}"), "removed"),
    ],
    ids=["read", "opened only", "written", "cut", "removed"],
)
def test_access_by_another_process_is_noticed_and_fails_the_test(
    tmp_path: Path, argv: tuple[str, ...], touch: str
) -> None:
    path = tmp_path / "canary.txt"
    with pytest.raises(AssertionError, match=touch), canary(path):
        subprocess.run([word.format(path) for word in argv], check=True, capture_output=True)


def test_access_is_reported_once(tmp_path: Path) -> None:
    with canary(tmp_path / "canary.txt") as watched:
        watched.path.read_bytes()
        assert "opened" in watched.touches()
        assert watched.touches() == ()
