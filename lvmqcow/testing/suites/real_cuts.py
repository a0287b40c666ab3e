"""Cuts on real volume groups: the table of the simulated cuts, with lvm2 and QEMU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Final

from lvmqcow.testing.cases.expected import changed
from lvmqcow.testing.cases.operation_table import OPERATIONS, with_every_trait
from lvmqcow.testing.cases.scenarios import FILES, MIB, planned
from lvmqcow.testing.cases.starts import Starts, group_name, starts
from lvmqcow.testing.conformance.implementation import OURS, Implementation
from lvmqcow.testing.conformance.suite import Came, Place, Suite, Surroundings, Trial
from lvmqcow.testing.conformance.violation import require
from lvmqcow.testing.crash.crash_points import every_cut
from lvmqcow.testing.crash.oracle import Judge
from lvmqcow.testing.real_group import needs_real_groups
from lvmqcow.testing.suites.cuts import operation_of

__all__ = ["GROUP_BYTES", "REAL_CUTS", "cut_for_real"]

GROUP_BYTES: Final = 768 * MIB


def cut_for_real(real: Starts, operation: str, implementation: Implementation = OURS) -> Came:
    """Cut one operation of the table, and every recovery from that, after each step; judge what recovery makes of it.

    Raises:
        AssertionError: something is lost, left over or unfinished.
        LvmqcowError: recovery itself fails.
    """
    start, asked = OPERATIONS[operation]
    simulated = start()
    real.build(simulated.history)
    request, storage = real.request(asked), implementation.storage(real.world.host)
    plan = storage.plan(request)
    if request == asked and implementation.is_ours:
        wanted = planned(simulated, asked).steps
        require(plan.steps == wanted, f"{operation}: the plan is another one than simulated", wanted, plan.steps)
    judge = Judge(real, simulated, asked)
    tally = every_cut(
        real.world.host,
        real.checkpoints,
        plan,
        lambda: storage.plan_recovery(changed(request).text),
        judge if implementation.is_ours else judge.either,
    )
    came = Came()
    came.counts.update({"cuts": tally.places, "recoveries": tally.recoveries, "outcomes judged": tally.outcomes})
    came.add(operation_of(operation), REAL_CUTS.disturbance, count=tally.places)
    return came


def _trials(random: Random) -> Sequence[str]:
    rows = with_every_trait()
    random.shuffle(rows)
    return rows


@contextmanager
def _opened(surroundings: Surroundings) -> Iterator[Trial]:
    with starts(group_name("cuts"), surroundings.directory, FILES, GROUP_BYTES) as real:
        yield lambda operation: cut_for_real(real, operation, surroundings.implementation)


REAL_CUTS: Final = Suite(
    "cuts",
    "operations, and their recovery, are stopped after every step",
    Place.REAL,
    "cut at a step",
    needs_real_groups,
    _trials,
    _opened,
    operation_of,
)
