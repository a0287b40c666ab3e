"""Volume group states: which of them forbid which changes, and the advice for each."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from lvmqcow.checks.structure import Severity
from lvmqcow.core import fitness
from lvmqcow.core.fitness import ACCEPTABLE, State, conditions, require_changeable
from lvmqcow.core.physical import PhysicalVolume, Segment
from lvmqcow.engine.locks import NoLocks
from lvmqcow.errors import NoSpace, NotPossible, Unchangeable
from lvmqcow.operations import Create, Resize, Snapshot, plan
from lvmqcow.operations.recovery import plan_recovery
from lvmqcow.storage import Storage
from lvmqcow.testing.cases.scenarios import DISK, MIB, NEIGHBOUR, chain, inactive, state, storage
from tests.support.groups import ROOMY, in_state

EVERY_STATE = pytest.mark.parametrize("kind", State)
NOTED = {State.NOT_ALLOCATABLE, State.LV_LIMIT, State.ALLOCATION}
REFUSED = sorted(set(State) - NOTED)


def table() -> dict[str, str]:
    """The table in the docstring of the module: the effect of each state on changes."""
    rows = re.findall(r"^([a-z][a-z-]+) {2,}.*? {2,}(refused|consent|noted|new LVs) {2,}", fitness.__doc__ or "", re.M)
    return dict(rows)


def test_docstring_table_lists_every_vg_state_and_its_effect() -> None:
    assert table() == {
        kind.value: "new LVs"
        if kind is State.LV_LIMIT
        else "noted"
        if kind in NOTED
        else "consent"
        if kind in ACCEPTABLE
        else "refused"
        for kind in State
    }


def test_ready_vg_has_no_conditions() -> None:
    host = chain(1)
    host.regroup(lambda vg: replace(vg, physical_volumes=(ROOMY,)))
    assert conditions(host.observe()) == ()


@EVERY_STATE
def test_each_vg_state_is_detected_and_refuses_as_documented(kind: State) -> None:
    picture = in_state(chain(1), kind).observe()
    (found,) = conditions(picture)
    assert (found.state, found.refuses) == (kind, kind not in NOTED)
    if found.refuses:
        with pytest.raises(Unchangeable) as refused:
            require_changeable(picture)
        assert refused.value.states == {kind.value: found.text}
        assert found.advice in str(refused.value)
        assert (f"--accept {kind}" in str(refused.value)) == (kind in ACCEPTABLE)
    else:
        require_changeable(picture)


@EVERY_STATE
def test_check_and_list_report_the_vg_state(kind: State) -> None:
    host = in_state(chain(1), kind)
    (condition,) = conditions(host.observe())
    found = [finding for finding in storage(host).check() if not finding.lv]
    assert [(finding.text, finding.advice) for finding in found] == [(condition.text, condition.advice)]
    assert (found[0].severity in {Severity.DAMAGED, Severity.REFUSED}) == condition.refuses
    group, volumes = storage(host).listing()
    assert group.conditions == (condition,)
    assert [info.name for info in volumes] == [DISK.text]


@pytest.mark.parametrize("kind", REFUSED)
def test_planners_refuse_an_unchangeable_vg(kind: State) -> None:
    host = in_state(chain(1), kind)
    with pytest.raises(Unchangeable):
        plan(host.observe(), Snapshot(DISK, "new"), host)
    with pytest.raises(Unchangeable):
        plan_recovery(host.observe(), DISK, host.measure)


def test_error_names_all_vg_states_that_refuse() -> None:
    host = in_state(in_state(chain(1), State.EXPORTED), State.OLD_METADATA)
    with pytest.raises(Unchangeable) as refused:
        storage(host).apply(Snapshot(DISK, "new"))
    assert set(refused.value.states) == {"exported", "old-metadata"}


def test_duplicate_pvs_are_named_by_device() -> None:
    with pytest.raises(Unchangeable, match="/dev/sda and /dev/sdb are both"):
        require_changeable(in_state(chain(0), State.DUPLICATE).observe())


@pytest.mark.parametrize("kind", sorted(ACCEPTABLE))
def test_consent_covers_one_state_and_one_call(kind: State) -> None:
    host = in_state(chain(0), kind)
    one = storage(host)
    one.accepting(kind).apply(Snapshot(DISK, "new"))
    assert one.volume(DISK.text).info().snapshots == ("new",)
    for other in (one, one.accepting(), one.accepting(*ACCEPTABLE - {kind})):
        with pytest.raises(Unchangeable):
            other.apply(Snapshot(DISK, "newer"))


@pytest.mark.parametrize("kind", sorted(set(State) - ACCEPTABLE))
def test_state_that_lvm_refuses_cannot_be_accepted(kind: State) -> None:
    with pytest.raises(NotPossible, match="no consent helps"):
        storage(in_state(chain(0), kind)).accepting(kind)


@pytest.mark.parametrize("kind", REFUSED)
def test_check_activates_nothing_on_doubtful_devices(kind: State) -> None:
    host = in_state(inactive(chain(1)), kind)
    before, ran = host.key, len(host.history)
    found = storage(host).check_activating()
    assert host.key == before
    if kind in {State.MISSING, *ACCEPTABLE}:
        assert len(host.history) > ran, "nothing is wrong with the volume, and it can be looked at"
    else:
        assert len(host.history) == ran
        assert Severity.UNCHECKED in {finding.severity for finding in found}


def test_lv_limit_refuses_only_requests_that_create_lvs() -> None:
    host = in_state(chain(0), State.LV_LIMIT)
    with pytest.raises(NotPossible, match="its limit is 1"):
        storage(host).apply(Create(NEIGHBOUR, MIB))
    with pytest.raises(NotPossible, match="its limit is 1"):
        storage(host).apply(Snapshot(DISK, "new"))
    storage(host).apply(Resize(DISK, 80 * MIB))


def test_non_allocatable_extents_are_not_free_space() -> None:
    host = chain(0)
    free = host.observe().free_extents
    spare = PhysicalVolume("spare", "/dev/sdc", (Segment(0, free - 2),), allocatable=False)
    host.regroup(lambda vg: replace(vg, physical_volumes=(ROOMY, spare)))
    assert host.observe().free_extents == 2
    with pytest.raises(NoSpace):
        storage(host).apply(Create(NEIGHBOUR, 64 * MIB))


def test_contiguous_policy_needs_contiguous_free_extents() -> None:
    host = chain(0)
    pieces = replace(ROOMY, segments=(Segment(0, 3), Segment(3, 1, "other"), Segment(4, 5)))
    host.regroup(lambda vg: replace(vg, physical_volumes=(pieces,)))
    Storage(host.copy(), NoLocks()).apply(Create(NEIGHBOUR, 20 * MIB))
    host.regroup(lambda vg: replace(vg, allocation_policy="contiguous"))
    Storage(host.copy(), NoLocks()).apply(Create(NEIGHBOUR, 12 * MIB))
    before = state(host)
    with pytest.raises(NoSpace, match="allocation policy, contiguous") as refused:
        Storage(host, NoLocks()).apply(Create(NEIGHBOUR, 20 * MIB))
    assert refused.value.free_bytes == 20 * MIB
    assert state(host) == before
