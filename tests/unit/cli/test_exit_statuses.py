"""The table of exit statuses in the manual is the one in the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lvmqcow import errors
from lvmqcow.cli.main import exit_status
from lvmqcow.errors import CommandFailed, LvmqcowError, NoSpace, OperationCut

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "exit-statuses.md"


def classes(base: type[LvmqcowError]) -> Iterator[type[LvmqcowError]]:
    yield base
    for derived in base.__subclasses__():
        yield from classes(derived)


def test_the_manual_lists_every_status_and_no_other() -> None:
    listed = {int(status) for status in re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)}
    assert listed == {0} | {each.exit_status for each in classes(LvmqcowError)}


def test_every_error_is_public() -> None:
    assert {each.__name__ for each in classes(LvmqcowError)} == set(errors.__all__)


def test_each_kind_has_a_status_of_its_own() -> None:
    kinds = [kind for kind in LvmqcowError.__subclasses__() if kind not in (CommandFailed, OperationCut)]
    assert len({kind.exit_status for kind in kinds}) == len(kinds)


def test_an_operation_cut_midway_exits_as_what_cut_it() -> None:
    cause = NoSpace("vg0", 2, 1)
    assert exit_status(OperationCut("snapshot", "vg0/vm-1-a", 1, 4, cause, "undoes")) == NoSpace.exit_status
