"""The state machine on real volume groups."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from lvmqcow.core.names import Layout
from lvmqcow.testing.sequences import run_machine
from lvmqcow.testing.worlds import RealWorld

pytestmark = pytest.mark.lvmqcow_real


SHARDS = int(os.environ.get("LVMQCOW_SHARDS", "8"))
"""The number of runs, each with its own sequences. More than the number of kernels, so these share the work."""


@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_sequence_of_operations_loses_a_byte(
    lvmqcow_world: Callable[[Layout], RealWorld], shard: int, record_property: Callable[[str, object], None]
) -> None:
    layout = list(Layout)[shard % len(Layout)]
    ran = run_machine(lambda: lvmqcow_world(layout), shard=shard)
    record_property("sequences on real volume groups", ran.sequences)
    record_property("steps on real volume groups", ran.steps)
    assert ran.steps > ran.sequences
