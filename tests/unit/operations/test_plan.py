"""Properties of every plan."""

from __future__ import annotations

import shlex

import pytest

from lvmqcow.core.intents import INTENT_PREFIX
from lvmqcow.operations import Clone, Convert, DeleteSnapshot, Merge, plan
from lvmqcow.operations.shared.plan import NEVER
from lvmqcow.steps import LvActivate, LvTag, Step
from lvmqcow.testing.cases.operation_table import OPERATIONS
from lvmqcow.testing.cases.scenarios import DISK, NEIGHBOUR, chain, inactive, planned, state, storage

EVERY_OPERATION = pytest.mark.parametrize("operation", OPERATIONS)


@EVERY_OPERATION
def test_planning_changes_nothing_and_is_repeatable(operation: str) -> None:
    start, request = OPERATIONS[operation]
    host = start()
    before = state(host)
    assert planned(host, request) == planned(host, request)
    assert state(host) == before


def _changed(step: Step) -> tuple[str, ...]:
    lvs = getattr(step, "lvs", None) or (getattr(step, "lv", None),)
    return tuple(lv for lv in lvs if lv)


@EVERY_OPERATION
def test_plan_changes_no_lv_of_a_volume_it_does_not_lock(operation: str) -> None:
    """A plan may activate the bases of a clone and name them as backing. Clone may index its base."""
    start, request = OPERATIONS[operation]
    plan, volume = planned(start(), request), start().observe().find(request.volume)
    if NEIGHBOUR in plan.names:
        return
    read = any(NEIGHBOUR.text in base.lv.name for base in volume.bases) if volume else isinstance(request, Clone)
    changing = [step for step in plan.steps if not (read and isinstance(step, LvActivate))]
    if isinstance(request, Clone):
        changing = [step for step in changing if not isinstance(step, LvTag) or step.drop]
    lvs = [lv for step in changing for lv in _changed(step)]
    assert not [lv for lv in lvs if NEIGHBOUR.text in lv]
    words = [word for argv in plan.commands for word in argv]
    assert read or not [word for word in words if NEIGHBOUR.text in word]
    assert [word for word in words if request.volume.text.removesuffix(".qcow2") in word]


@EVERY_OPERATION
def test_every_intent_set_by_a_plan_is_dropped_by_it(operation: str) -> None:
    start, request = OPERATIONS[operation]
    made = [shlex.join(argv) for argv in planned(start(), request).commands]
    setting = [at for at, command in enumerate(made) if f"--addtag {INTENT_PREFIX}" in command]
    tags = {word for at in setting for word in made[at].split() if word.startswith(INTENT_PREFIX)}
    ending = [at for at, c in enumerate(made) if f"--deltag {INTENT_PREFIX}" in c or c.startswith("lvremove")]
    in_both = isinstance(request, Convert)  # on the old and on the new volume
    assert not setting or (len(tags) == 1 + in_both and len(ending) >= len(tags) and setting[-1] < ending[0])


@EVERY_OPERATION
def test_cut_is_undone_before_commit_point_and_finished_after_it(operation: str) -> None:
    start, request = OPERATIONS[operation]
    made = planned(start(), request)
    assert 0 < made.commit_point <= len(made.steps)
    before, after = ("", "") if made.commit is NEVER else ("undoes", "finishes")
    assert (made.outcome(made.commit_point - 1), made.outcome(made.commit_point)) == (before, after)


@pytest.mark.parametrize("merge", [Merge.PULL, Merge.PUSH])
def test_plan_from_complete_tags_needs_no_headers(merge: Merge) -> None:
    host, request = inactive(chain(3)), DeleteSnapshot(DISK, "s2", merge)
    assert plan(host.observe(), request, host) == plan(storage(host).picture(), request, host)
