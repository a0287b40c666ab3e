"""A volume group that allows no changes: every request and every recovery is refused, and nothing changes."""

from __future__ import annotations

from functools import cache

import pytest

from lvmqcow.core.fitness import ACCEPTABLE, State
from lvmqcow.engine.events import Events
from lvmqcow.engine.run_plan import run_plan
from lvmqcow.errors import NothingChanged, Unchangeable
from lvmqcow.operations import Snapshot
from lvmqcow.testing.cases.expected import changed
from lvmqcow.testing.cases.operation_table import OPERATIONS, with_every_trait
from lvmqcow.testing.cases.scenarios import DISK, chain, planned, state, storage
from tests.support.groups import in_state

REFUSED = [State(kind) for kind in sorted(set(State) - {State.NOT_ALLOCATABLE, State.LV_LIMIT, State.ALLOCATION})]
rows = cache(with_every_trait)
EVERY_REFUSAL = pytest.mark.parametrize("kind", REFUSED)


def test_selected_operations_cover_every_request_type() -> None:
    assert {type(OPERATIONS[name][1]) for name in rows()} == {type(request) for _, request in OPERATIONS.values()}


@EVERY_REFUSAL
def test_request_is_refused_with_the_vg_state_before_any_step(kind: State) -> None:
    for name in rows():
        start, request = OPERATIONS[name]
        host = start()
        if kind is State.MISSING and not host.observe().lv_names:
            continue
        host = in_state(host, kind)
        before, ran = host.key, host.history
        for ask in (storage(host).apply, storage(host).plan):
            with pytest.raises(Unchangeable) as refused:
                ask(request)
            assert set(refused.value.states) == {kind}, name
            assert refused.value.exit_status == 13
        assert (host.key, host.history) == (before, ran), name


@EVERY_REFUSAL
def test_recovery_is_refused_and_unfinished_work_waits(kind: State) -> None:
    for name in rows():
        start, request = OPERATIONS[name]
        host = start()
        plan = planned(host, request)
        for step in plan.steps[:1]:
            host.run(step)
        if kind is State.MISSING and not host.observe().lv_names:
            continue
        host = in_state(host, kind)
        before, ran = host.key, host.history
        one = storage(host)
        for recover in (one.recover, one.plan_recovery):
            with pytest.raises(Unchangeable):
                recover(changed(request).text)
        assert (host.key, host.history) == (before, ran), name
        if host.observe().volumes:
            with pytest.raises(Unchangeable):
                one.recover()
            assert (host.key, host.history) == (before, ran), name


@pytest.mark.parametrize("kind", sorted(ACCEPTABLE))
def test_accepted_vg_state_does_not_change_any_request(kind: State) -> None:
    for name in rows():
        start, request = OPERATIONS[name]
        usual, host = start(), in_state(start(), kind)
        assert storage(host).accepting(kind).apply(request) == storage(usual).apply(request), name
        assert state(host).images == state(usual).images, name


def test_lvm_itself_refuses_a_plan_made_before_the_vg_changed() -> None:
    """The simulated host refuses the same changes as lvm2. A planner that skips the check fails here."""
    for kind in set(REFUSED) - {State.MISSING, *ACCEPTABLE}:
        start, request = next(row for row in OPERATIONS.values() if isinstance(row[1], Snapshot))
        host = start()
        plan = planned(host, request)
        met = in_state(host, kind)
        with pytest.raises(NothingChanged):
            run_plan(met, plan, met.observe(), Events())


def test_volumes_can_be_listed_in_every_vg_state() -> None:
    host = chain(2)
    for kind in State:
        met = in_state(host, kind)
        assert storage(met).volumes() == storage(host).volumes()
        assert storage(met).volume(DISK.text).info() == storage(host).volume(DISK.text).info()
        assert storage(met).volume(DISK.text).layers() == storage(host).volume(DISK.text).layers()
