"""The table of what becomes of an operation that is cut."""

from __future__ import annotations

import pytest

from lvmqcow.operations.shared.outcomes import COMMITS, commit_point
from lvmqcow.steps import LvExtend, LvRename, LvTag
from tests.support.operation_table import OPERATIONS
from tests.support.scenarios import DISK, planned


def test_it_has_a_row_for_every_operation_and_no_other() -> None:
    assert {planned(start(), request).operation for start, request in OPERATIONS.values()} == COMMITS.keys()


def test_what_is_told_by_its_first_step_is_not_told_again_by_a_later_one() -> None:
    steps = (LvRename("a", "b"), LvRename("new-a", "a"))
    assert commit_point("snapshot", steps) == 1


@pytest.mark.parametrize(("operation", "after"), [("rollback", 2), ("resize", 2), ("delete-snapshot", 1)])
def test_whose_space_is_part_of_the_commit_has_happened_once_it_is_there(operation: str, after: int) -> None:
    tags = {"rollback": "rollback/s", "resize": "resize/1/2", "delete-snapshot": "pull/c"}
    intent = LvTag((DISK.text,), add=(f"lvmqcow.intent={tags[operation]}",))
    assert commit_point(operation, (intent, LvExtend(DISK.text, 8), LvTag((DISK.text,)))) == after
    assert commit_point(operation, (intent, LvTag((DISK.text,)))) == 1


@pytest.mark.parametrize("operation", ["export", "activate", "deactivate"])
def test_what_changes_no_volume_has_happened_at_its_end(operation: str) -> None:
    assert commit_point(operation, (LvTag((DISK.text,)), LvTag((DISK.text,)))) == 2


def test_recovery_is_always_finished() -> None:
    assert commit_point("finish snapshot", (LvRename("new-a", "a"),)) == 0
