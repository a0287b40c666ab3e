"""The harness does not bark: a thousand sequences of operations, some of them cut, find nothing in lvmqcow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lvmqcow.testing.conformance.suite import Budget, Surroundings, run_suite
from lvmqcow.testing.conformance.verdict import Outcome
from lvmqcow.testing.suites.sequences import SEQUENCES

SHARES = 20
SEQUENCES_OF_A_SHARE = 50


@pytest.mark.parametrize("share", range(SHARES))
def test_a_thousand_sequences_find_nothing(
    share: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    surroundings, counts = Surroundings(tmp_path, seed=2), Counter[str]()
    for number in range(share, SHARES * SEQUENCES_OF_A_SHARE, SHARES):
        result = run_suite(SEQUENCES, surroundings, Budget(0), only=str(number))
        assert result.findings == ()
        assert {cell.outcome for cell in result.tried} == {Outcome.HELD}
        counts.update(result.counts)
    for what in ("sequences", "operations"):
        record_property(f"drawn by a seed: {what}", counts[what])
    assert counts["sequences"] == SEQUENCES_OF_A_SHARE
