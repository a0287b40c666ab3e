"""When an operation has happened, and what becomes of it when it is cut before or after that."""

from __future__ import annotations

import pytest

from lvmqcow.operations import OPERATIONS as ROOMS
from lvmqcow.operations import Plan, Request
from lvmqcow.operations.delete import DeleteSnapshot
from lvmqcow.operations.export import Export
from lvmqcow.operations.operation import Kind
from lvmqcow.operations.resize import Resize
from lvmqcow.operations.rollback import Rollback
from lvmqcow.operations.shared.plan import HAPPENED, NEVER, Commit
from lvmqcow.operations.snapshot import Snapshot
from lvmqcow.steps import LvExtend, LvRename, LvTag, Step
from tests.support.operation_table import OPERATIONS
from tests.support.scenarios import DISK, planned

REQUESTS = [request for room in ROOMS for request in room.requests]


def commit_point(commit: Commit, *steps: Step) -> int:
    return Plan("any", "sim", DISK, steps, commit).commit_point


def test_every_request_is_of_one_operation_and_all_are_tried() -> None:
    assert len(set(REQUESTS)) == len(REQUESTS)
    assert {type(request) for _, request in OPERATIONS.values()} == set(REQUESTS)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_plan_commits_when_its_operation_says_so(operation: str) -> None:
    start, request = OPERATIONS[operation]
    plan = planned(start(), request)
    assert (plan.operation, plan.commit) == (request.kind.operation, request.kind.commit)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.requests[0].__name__)
def test_an_operation_that_commits_says_what_a_cut_leaves(room: object) -> None:
    kinds: list[tuple[Kind, bool]] = [(request.kind, bool(each.cuts)) for each in ROOMS for request in each.requests]
    assert [kind.operation for kind, told in kinds if (kind.commit is NEVER) == told] == []


def test_what_is_told_by_its_first_step_is_not_told_again_by_a_later_one() -> None:
    assert commit_point(Snapshot.kind.commit, LvRename("a", "b"), LvRename("new-a", "a")) == 1


@pytest.mark.parametrize(
    ("request_", "tag", "after"),
    [(Rollback, "rollback/s", 2), (Resize, "resize/1/2", 2), (DeleteSnapshot, "pull/c", 1)],
)
def test_whose_space_is_part_of_the_commit_has_happened_once_it_is_there(
    request_: type[Request], tag: str, after: int
) -> None:
    intent = LvTag((DISK.text,), add=(f"lvmqcow.intent={tag}",))
    assert commit_point(request_.kind.commit, intent, LvExtend(DISK.text, 8), LvTag((DISK.text,))) == after
    assert commit_point(request_.kind.commit, intent, LvTag((DISK.text,))) == 1


def test_what_changes_no_volume_has_happened_at_its_end() -> None:
    assert commit_point(Export.kind.commit, LvTag((DISK.text,)), LvTag((DISK.text,))) == 2


def test_recovery_is_always_finished() -> None:
    assert commit_point(HAPPENED, LvRename("new-a", "a")) == 0
