"""Run the state machine in a world, as the Hypothesis profile says."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from hypothesis import seed, settings
from hypothesis.stateful import run_state_machine_as_test

from lvmqcow.testing.machine import machine
from lvmqcow.testing.worlds import World

__all__ = ["run_machine"]


def run_machine(world: Callable[[], World], *, shard: int = 0, steps: int = 12) -> int:
    """Run as many examples as the profile says; returns how many rounds that took.

    Under a derandomized profile, each ``shard`` runs sequences of its own, the same each time. With
    ``LVMQCOW_SOAK_SECONDS`` in the environment, round follows round until the time is over.
    """
    deadline = time.monotonic() + float(os.environ.get("LVMQCOW_SOAK_SECONDS", 0))
    rounds = 0
    while rounds == 0 or time.monotonic() < deadline:
        storage_machine = machine(world)
        if settings().derandomize:
            seed(shard)(storage_machine)
        run_state_machine_as_test(storage_machine, settings=settings(stateful_step_count=steps))
        rounds += 1
    return rounds
