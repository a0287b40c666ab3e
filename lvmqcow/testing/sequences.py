"""Run the state machine in a world, as the Hypothesis profile says."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import seed, settings
from hypothesis.stateful import run_state_machine_as_test

from lvmqcow.testing.machine import machine
from lvmqcow.testing.worlds import World

__all__ = ["Ran", "run_machine"]


@dataclass(frozen=True)
class Ran:
    """How much was tried: sequences of operations, and their steps."""

    sequences: int
    steps: int


def run_machine(world: Callable[[], World], *, shard: int = 0, steps: int = 12) -> Ran:
    """Run as many sequences as the profile says, each of so many ``steps`` at most.

    Under a derandomized profile, each ``shard`` runs sequences of its own, the same each time. With
    ``LVMQCOW_SOAK_SECONDS`` in the environment, round follows round until the time is over.
    """
    deadline = time.monotonic() + float(os.environ.get("LVMQCOW_SOAK_SECONDS", 0))
    done: list[int] = []
    while not done or time.monotonic() < deadline:
        storage_machine = machine(world, done.append)
        if settings().derandomize:
            seed(shard)(storage_machine)
        run_state_machine_as_test(storage_machine, settings=settings(stateful_step_count=steps))
    return Ran(len(done), sum(done))
