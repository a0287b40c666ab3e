"""The commit point of each operation, and the outcome of a cut before it and after it."""

from __future__ import annotations

import pytest

from lvmqcow.operations import OPERATIONS as ALL_OPERATIONS
from lvmqcow.operations import Plan, Request
from lvmqcow.operations.delete import DeleteSnapshot
from lvmqcow.operations.export import Export
from lvmqcow.operations.operation import Kind
from lvmqcow.operations.resize import Resize
from lvmqcow.operations.rollback import Rollback
from lvmqcow.operations.shared.plan import HAPPENED, NEVER, Commit
from lvmqcow.operations.snapshot import Snapshot
from lvmqcow.steps import LvExtend, LvRename, LvTag, Step
from lvmqcow.testing.cases.operation_table import OPERATIONS
from lvmqcow.testing.cases.scenarios import DISK, planned

REQUESTS = [request for operation in ALL_OPERATIONS for request in operation.requests]


def commit_point(commit: Commit, *steps: Step) -> int:
    return Plan("any", "sim", DISK, steps, commit).commit_point


def test_each_request_belongs_to_one_operation_and_is_tested() -> None:
    assert len(set(REQUESTS)) == len(REQUESTS)
    assert {type(request) for _, request in OPERATIONS.values()} == set(REQUESTS)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_plan_has_the_commit_rule_of_its_operation(operation: str) -> None:
    start, request = OPERATIONS[operation]
    plan = planned(start(), request)
    assert (plan.operation, plan.commit) == (request.kind.operation, request.kind.commit)


@pytest.mark.parametrize("operation", ALL_OPERATIONS, ids=lambda operation: operation.requests[0].__name__)
def test_operation_with_a_commit_point_describes_its_cuts(operation: object) -> None:
    kinds: list[tuple[Kind, bool]] = [
        (request.kind, bool(each.cuts)) for each in ALL_OPERATIONS for request in each.requests
    ]
    assert [kind.operation for kind, told in kinds if (kind.commit is NEVER) == told] == []


def test_first_matching_step_is_the_commit_point() -> None:
    assert commit_point(Snapshot.kind.commit, LvRename("a", "b"), LvRename("new-a", "a")) == 1


@pytest.mark.parametrize(
    ("request_", "tag", "after"),
    [(Rollback, "rollback/s", 2), (Resize, "resize/1/2", 2), (DeleteSnapshot, "pull/c", 1)],
)
def test_commit_point_includes_the_extend_after_the_intent(request_: type[Request], tag: str, after: int) -> None:
    intent = LvTag((DISK.text,), add=(f"lvmqcow.intent={tag}",))
    assert commit_point(request_.kind.commit, intent, LvExtend(DISK.text, 8), LvTag((DISK.text,))) == after
    assert commit_point(request_.kind.commit, intent, LvTag((DISK.text,))) == 1


def test_operation_without_changes_commits_at_its_end() -> None:
    assert commit_point(Export.kind.commit, LvTag((DISK.text,)), LvTag((DISK.text,))) == 2


def test_recovery_plan_commits_before_its_first_step() -> None:
    assert commit_point(HAPPENED, LvRename("new-a", "a")) == 0
