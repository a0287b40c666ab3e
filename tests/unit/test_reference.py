"""Files generated from the parser are up to date, are installed with the package, and work with their tools.

The tox environment ``docs`` checks that the completions are up to date, because it has the generator.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path

import pytest

from lvmqcow.cli.main import parser

CHECKOUT = Path(__file__).parents[2]
PAGE = "docs/reference/command-line.md"
CUTS = "docs/explanation/cuts.md"
MAN_PAGE = "share/man/man1/lvmqcow.1"
BASH = "share/bash-completion/completions/lvmqcow"
ZSH = "share/zsh/site-functions/_lvmqcow"
COMPLETED = """\
. "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
"$(complete -p lvmqcow | sed 's/.*-F \\([^ ]*\\).*/\\1/')"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def generated(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(CHECKOUT / "ci/reference.py"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def completed(*words: str) -> list[str]:
    """The completions of bash for the last word."""
    argv = ["bash", "-euc", COMPLETED, "bash", str(CHECKOUT / BASH), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()


def verbs() -> list[str]:
    return [verb for listed in parser().verb_groups.values() for verb in listed]


@pytest.mark.parametrize("file", [PAGE, CUTS, MAN_PAGE])
def test_generated_file_is_up_to_date(file: str) -> None:
    checked = generated("--check", file)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_check_of_a_file_that_is_not_generated_is_refused() -> None:
    assert generated("--check", "README.md").returncode == 2


def test_man_page_renders_without_warnings() -> None:
    argv = ["groff", "-man", "-ww", "-Tutf8", "-P-c", str(CHECKOUT / MAN_PAGE)]
    rendered = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert rendered.stderr == ""
    plain = re.sub(".\b", "", rendered.stdout)
    for verb in verbs():
        assert re.search(rf"^   lvmqcow {verb}$", plain, re.MULTILINE)


def test_reference_page_has_a_section_for_every_verb() -> None:
    sections = re.findall(r"^### lvmqcow (.*)$", (CHECKOUT / PAGE).read_text(), re.MULTILINE)
    assert [section for section in sections if " " not in section] == verbs()


def test_bash_completion_has_valid_syntax() -> None:
    subprocess.run(["bash", "-n", str(CHECKOUT / BASH)], check=True)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("lvmqcow", "sn"), ["snapshot"]),
        (("lvmqcow", "loopvg", ""), ["create", "list", "destroy"]),
        (("lvmqcow", "create", "vg0/vm-1-a", "--form"), ["--format"]),
        (("lvmqcow", "create", "vg0/vm-1-a", "--format", ""), ["raw", "qcow2"]),
        (("lvmqcow", "remove", "vg0/vm-1-a", "--wipe", "d"), ["discard"]),
    ],
)
def test_bash_completes_options_and_values(words: tuple[str, ...], offered: list[str]) -> None:
    assert completed(*words) == offered


def test_bash_completes_every_verb() -> None:
    assert completed("lvmqcow", "") == verbs()


def test_zsh_completes_every_verb() -> None:
    text = (CHECKOUT / ZSH).read_text()
    assert text.startswith("#compdef lvmqcow\n")
    listed = re.search(r"_shtab_lvmqcow_commands\(\) \{\n.*?\n  \)", text, re.DOTALL)
    assert listed is not None
    assert re.findall(r"^    ([a-z-]+):'", listed[0], re.MULTILINE) == sorted(verbs())


@pytest.mark.parametrize("file", [MAN_PAGE, BASH, ZSH])
def test_generated_file_is_installed_with_the_package(file: str) -> None:
    assert [path for path in files("lvmqcow") or () if path.match(f"*/{file}") and Path(path.locate()).is_file()]
