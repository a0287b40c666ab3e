"""What the README and the pages in ``docs/`` show is what happens.

A block between ``` fences whose first line starts with ``$ `` is a session. All sessions of a page run one after the
other in one shell, in an empty directory, and what each command prints must be what the page shows. Numbers of loop
devices and blanks at the ends of lines do not count. A command must succeed, unless the next one is ``echo $?``.

    LVMQCOW_DOCS=write pytest tests/real/test_docs.py      # puts what the commands print into the pages
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest

pytestmark = pytest.mark.lvmqcow_real

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
SESSION = re.compile(r"^```\n(\$ .*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END = "[end of the output, exit status]"
MOST_SECONDS = 300  # that a page may take: where a quote is not closed, the shell waits for it
WRITE = os.environ.get("LVMQCOW_DOCS") == "write"


def pages_with(block: re.Pattern[str]) -> list[Path]:
    return [page for page in PAGES if block.search(page.read_text())]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def comparable(output: str) -> str:
    """Without what differs from run to run, or cannot be seen."""
    return re.sub(r"[ \t]+$", "", re.sub(r"/dev/loop\d+", "/dev/loop0", output), flags=re.MULTILINE)


class Shell:
    """A bash that runs one command after the other, as a person's does; ``lvmqcow`` is the one under test."""

    def __init__(self, directory: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if name not in {"LVMQCOW_WIPE", "LVMQCOW_WIPE_RATE"}}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=directory,
            env={**kept, "PATH": path, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._limit = Timer(MOST_SECONDS, self._bash.kill)
        self._limit.start()

    def run(self, command: str) -> tuple[str, int]:
        """What a command prints, and its exit status, which is ``$?`` for the next one."""
        assert self._bash.stdin
        assert self._bash.stdout
        ending = f"status=$?; printf '%s %s\\n' '{END}' $status; (exit $status)"
        self._bash.stdin.write(f"{{ {command}\n}} </dev/null\n{ending}\n")
        self._bash.stdin.flush()
        output = ""
        for line in self._bash.stdout:
            before, end, status = line.partition(END)
            output += before
            if end:
                return comparable(output), int(status)
        raise AssertionError(f"the shell ended in `{command}`: {output}")

    def loop_groups(self) -> set[str]:
        """The volume groups on files that this machine has now."""
        listed, status = self.run("lvmqcow loopvg list --json")
        assert status == 0, listed
        return {group["name"] for group in json.loads(listed)["volume_groups"]}

    def close(self) -> None:
        self._limit.cancel()
        self._bash.kill()
        self._bash.communicate()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """In an empty directory. What was mounted there, and the volume groups that were made, are gone afterwards."""
    shell = Shell(tmp_path)
    before = shell.loop_groups()
    yield shell
    shell.close()
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if line.split()[1].startswith(str(tmp_path)):
            subprocess.run(["umount", line.split()[1]], check=True)
    shell = Shell(tmp_path)
    for group in sorted(shell.loop_groups() - before):
        said, status = shell.run(f"lvmqcow loopvg destroy --yes {group}")
        assert status == 0, said
    shell.close()


@pytest.mark.parametrize("page", pages_with(SESSION), ids=name_of)
def test_sessions_of_a_page_print_what_it_shows(page: Path, shell: Shell) -> None:
    text = page.read_text()
    for session in SESSION.findall(text):
        printed = ""
        entries = [entry.partition("\n") for entry in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]]
        for (command, _, shown), (following, _, _) in zip(entries, [*entries[1:], ("", "", "")], strict=True):
            output, status = shell.run(command)
            assert status == 0 or following == "echo $?", f"`{command}` exits with {status}: {output}"
            assert WRITE or output == comparable(shown), command
            printed += f"$ {command}\n{output}"
        text = text.replace(f"```\n{session}```", f"```\n{printed}```", 1)
    if WRITE:
        page.write_text(text)


def test_the_library_in_ten_lines_runs(shell: Shell, tmp_path: Path) -> None:
    (code,) = PYTHON.findall(README.read_text())
    said, status = shell.run("lvmqcow loopvg create vg0 --size 30G --file pv.img")
    assert status == 0, said
    (tmp_path / "program.py").write_text(code)
    output, status = shell.run(f"'{sys.executable}' -P program.py")
    assert status == 0, output
    assert "/dev/vg0/vm-200-disk-0.qcow2" in output


@pytest.mark.parametrize("page", pages_with(PYTHON), ids=name_of)
def test_python_that_a_page_shows_compiles(page: Path) -> None:
    for code in PYTHON.findall(page.read_text()):
        compile(code, name_of(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_without_a_language_is_a_session(page: Path) -> None:
    fences = re.findall(r"^```(.*)\n(.*)", page.read_text(), re.MULTILINE)[::2]
    assert [first for language, first in fences if not language and not first.startswith("$ ")] == []


@pytest.mark.parametrize("page", [README, ROOT / "CONTRIBUTING.md"], ids=name_of)
def test_links_of_a_page_outside_the_site_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_figures_that_can_be_counted_are_right() -> None:
    hostile = len((ROOT / "fixtures" / "hostile.txt").read_text().splitlines())
    defects = len(tomllib.loads((ROOT / "fixtures" / "defects.toml").read_text())["defect"])
    assert f"| {hostile} lines of `fixtures/hostile.txt` |" in README.read_text()
    assert f"| {defects} defects in `fixtures/defects.toml` |" in README.read_text()
