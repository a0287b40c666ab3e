"""The power goes while an operation runs: the disk's writes are recorded once, and replayed to many states."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

from lvmqcow.testing.cases.real_operations import OPERATIONS
from lvmqcow.testing.conformance.implementation import OURS, Implementation
from lvmqcow.testing.conformance.suite import Came, Place, Suite, Surroundings, Trial
from lvmqcow.testing.conformance.violation import require
from lvmqcow.testing.crash.power_loss_run import Running, recorded, replayed
from lvmqcow.testing.real_group import needs_real_groups
from lvmqcow.testing.suites.cuts import kind_name

__all__ = ["POWER", "lose_power"]

_STATES: Final = 72
"""Of one operation."""


def lose_power(
    operation: str, directory: Path, states: int, seed: int = 0, implementation: Implementation = OURS
) -> Came:
    """Record one operation, and judge what recovery makes of so many states that a power loss can leave.

    Raises:
        AssertionError: something is lost, left over or unfinished.
    """

    def run(running: Running) -> None:
        implementation.storage(running.host).apply(running.request)

    case, file = recorded(OPERATIONS[operation], directory, run)
    came, kind = Came(), kind_name(OPERATIONS[operation].request)
    for outcome in replayed(case, file, most=states, seed=seed, implementation=implementation):
        require(not outcome.problems, f"{operation}: {outcome.state}", "no problem", "; ".join(outcome.problems))
        came.counts["states of the disk"] += 1
        came.counts[f"states of the disk: {outcome.state.loss.name.lower()} lost"] += 1
        came.add(kind, POWER.disturbance)
    return came


def _trials(random: Random) -> Sequence[str]:
    rows = list(OPERATIONS)
    random.shuffle(rows)
    return rows


@contextmanager
def _opened(surroundings: Surroundings) -> Iterator[Trial]:
    def trial(operation: str) -> Came:
        with tempfile.TemporaryDirectory(dir=surroundings.directory) as directory:
            return lose_power(operation, Path(directory), _STATES, surroundings.seed, surroundings.implementation)

    yield trial


POWER: Final = Suite(
    "power",
    "the power goes at any write of an operation, and what was in the disk's cache is lost",
    Place.REAL,
    "the power goes",
    needs_real_groups,
    _trials,
    _opened,
    lambda row: kind_name(OPERATIONS[row].request),
)
