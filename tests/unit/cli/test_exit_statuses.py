"""The table of exit statuses in the manual agrees with the code."""

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


def test_manual_lists_exactly_the_exit_statuses() -> None:
    listed = {int(status) for status in re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)}
    assert listed == {0} | {each.exit_status for each in classes(LvmqcowError)}


def test_every_error_class_is_public() -> None:
    assert {each.__name__ for each in classes(LvmqcowError)} == set(errors.__all__)


def test_each_error_kind_has_its_own_exit_status() -> None:
    kinds = [kind for kind in LvmqcowError.__subclasses__() if kind not in (CommandFailed, OperationCut)]
    assert len({kind.exit_status for kind in kinds}) == len(kinds)


def test_cut_operation_exits_with_the_status_of_its_cause() -> None:
    cause = NoSpace("vg0", 2, 1)
    assert exit_status(OperationCut("snapshot", "vg0/vm-1-a", 1, 4, cause, "undoes")) == NoSpace.exit_status
