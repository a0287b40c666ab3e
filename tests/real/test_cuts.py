"""Operations and recoveries on real volume groups, cut at any place. The table is that of the simulated tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest

from lvmqcow.operations import Plan
from lvmqcow.steps import QcowCommit
from lvmqcow.testing.cases.operation_table import OPERATIONS, with_every_trait
from lvmqcow.testing.cases.scenarios import FILES, planned
from lvmqcow.testing.cases.starts import Starts, group_name, starts
from lvmqcow.testing.crash.crash_points import CrashPoint, every_cut
from lvmqcow.testing.crash.oracle import Judge
from lvmqcow.testing.suites.real_cuts import GROUP_BYTES, cut_for_real

pytestmark = pytest.mark.lvmqcow_real


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starts]:
    """A volume group that can be put into any state of a simulated volume group."""
    with starts(group_name("cuts"), tmp_path_factory.mktemp("cuts"), FILES, GROUP_BYTES) as made:
        yield made


TRIED = list(OPERATIONS) if os.environ.get("LVMQCOW_CUTS") == "all" else with_every_trait()


@pytest.mark.parametrize("operation", TRIED)
def test_volume_is_old_or_new_after_any_cut_in_operation_or_recovery(
    real: Starts, operation: str, record_property: Callable[[str, object], None]
) -> None:
    came = cut_for_real(real, operation)
    for what, count in came.counts.items():
        record_property(f"cuts on real volume groups: {what}", count)
    start, asked = OPERATIONS[operation]
    assert came.counts["cuts"] >= 2 * (len(planned(start(), asked).steps) + 1)


def test_judge_finds_a_recovery_that_does_not_merge(real: Starts) -> None:
    start, request = OPERATIONS["delete 1 of 1 by push, active"]
    simulated = start()
    real.build(simulated.history)
    storage = real.world.storage

    def careless() -> Plan:
        right = storage.plan_recovery(request.volume.text)
        return replace(right, steps=tuple(step for step in right.steps if not isinstance(step, QcowCommit)))

    with pytest.raises(AssertionError, match="Content mismatch"):
        every_cut(real.world.host, real.checkpoints, storage.plan(request), careless, Judge(real, simulated, request))


def test_judge_finds_a_wrong_outcome(real: Starts) -> None:
    start, request = OPERATIONS["snapshot over 0, active"]
    simulated = start()
    real.build(simulated.history)
    storage = real.world.storage
    plan = storage.plan(request)
    judge = Judge(real, simulated, request)

    def one_step_off(place: CrashPoint, digests: Mapping[str, bytes]) -> None:
        judge(replace(place, done=place.done - 1), digests)

    with pytest.raises(AssertionError, match="snapshot cut after 3 of 4 steps"):
        every_cut(
            real.world.host,
            real.checkpoints,
            plan,
            lambda: storage.plan_recovery(request.volume.text),
            one_step_off,
        )


def test_selected_operations_cover_every_request_type() -> None:
    assert {type(OPERATIONS[operation][1]) for operation in TRIED} == {
        type(request) for _, request in OPERATIONS.values()
    }
    assert len(TRIED) >= 60
