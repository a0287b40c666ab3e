"""The entries of /tmp on the machine that a command names, and that the lab therefore shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from lvmqcow.lab.guest.job import Job
from lvmqcow.lab.uml import named


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that the lab hides, with a virtual environment, a file and a project in it."""
    directory = tmp_path / "tmp"
    for name in ("a venv/bin", "project/src", "project/other"):
        (directory / name).mkdir(parents=True)
    for name in ("a venv/bin/python", "file"):
        (directory / name).touch(mode=0o755)
    monkeypatch.setattr(named, "OWN_PLACES", (str(directory),))
    return directory


def entries(place: Path, *argv: str, directory: str = "/", **variables: str) -> list[str]:
    """The names of the entries that a job in `directory` sees."""
    job = Job(argv, variables, directory, (), False, True, (0, 0))
    return [str(Path(entry).relative_to(place.parent)) for entry in named.named_entries(job)]


@pytest.mark.parametrize(
    "word",
    ["{}/a venv", "{}/a venv/bin/python", "--python={}/a venv/bin/python", "/x:{}/a venv/bin:/y", "src={}/a venv:/dst",
     "{}/./a venv//bin/../bin", "{}/a venv/not/there"],
)  # fmt: skip
def test_path_in_a_word_shows_the_whole_entry(place: Path, word: str) -> None:
    assert entries(place, "true", word.format(place)) == ["tmp/a venv"]
    assert entries(place, "true", X=word.format(place)) == ["tmp/a venv"]


@pytest.mark.parametrize(
    "word", ["{}", "{}/", "{}/nothing", "/elsewhere", "exec {}/file", "file", "", "/\0", "{}/file\0"]
)
def test_word_without_a_path_to_an_entry_shows_nothing(place: Path, word: str) -> None:
    assert entries(place, "true", word.format(place)) == []


def test_program_is_found_through_path(place: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(place / "a venv/bin/python")
    assert entries(place, "python", PATH=f"/usr/bin:{tmp_path}/bin") == ["tmp/a venv"]


def test_links_are_shown_with_their_targets(place: Path, tmp_path: Path) -> None:
    (place / "link").symlink_to("a venv")
    (tmp_path / "outside").symlink_to(place / "link")
    assert entries(place, "true", f"{tmp_path}/outside/bin") == ["tmp/a venv", "tmp/link"]


def test_circular_links_are_shown(place: Path) -> None:
    (place / "one").symlink_to("two")
    (place / "two").symlink_to("one")
    assert entries(place, "true", f"{place}/one/x") == ["tmp/one", "tmp/two"]


def test_paths_in_the_current_directory_add_no_entries(place: Path) -> None:
    project = f"{place}/project"
    assert entries(place, "true", f"{project}/src/x", "x/y", directory=f"{project}/src") == []
    assert entries(place, "true", "./src", directory=project) == []
    assert entries(place, "true", "../other", directory=f"{project}/src") == ["tmp/project"]
    assert entries(place, "true", "../../a venv/bin", directory=f"{project}/src") == ["tmp/a venv"]


def test_link_to_the_current_directory_is_shown(place: Path) -> None:
    (place / "link").symlink_to("project")
    assert entries(place, "true", f"{place}/link/src/x", directory=f"{place}/project/src") == ["tmp/link"]
