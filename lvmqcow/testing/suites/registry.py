"""The list of all suites."""

from __future__ import annotations

from typing import Final

from lvmqcow.errors import InvalidRequest
from lvmqcow.testing.conformance.suite import Place, Suite
from lvmqcow.testing.suites.cuts import CUTS
from lvmqcow.testing.suites.faults import FAULTS
from lvmqcow.testing.suites.kills import KILLS
from lvmqcow.testing.suites.power import POWER
from lvmqcow.testing.suites.processes import PROCESSES
from lvmqcow.testing.suites.real_cuts import REAL_CUTS
from lvmqcow.testing.suites.real_faults import REAL_FAULTS
from lvmqcow.testing.suites.sequences import REAL_SEQUENCES, SEQUENCES

__all__ = ["SUITES", "chosen"]

SUITES: Final[tuple[Suite, ...]] = (
    *(SEQUENCES, CUTS, FAULTS),
    *(REAL_SEQUENCES, REAL_CUTS, KILLS, REAL_FAULTS, POWER, PROCESSES),
)
"""Every suite, the simulated ones first. A suite of one name may exist in both places."""


def chosen(names: tuple[str, ...], place: Place | None, suites: tuple[Suite, ...] = SUITES) -> tuple[Suite, ...]:
    """Return the suites of these names, in this place. No name means all, and None means both places.

    Raises:
        InvalidRequest: there is no such suite.
    """
    here = [suite for suite in suites if place in (None, suite.place)]
    unknown = [name for name in names if name not in {suite.name for suite in here}]
    if unknown:
        known = ", ".join(sorted({suite.name for suite in here}))
        raise InvalidRequest(f"there is no suite {', '.join(unknown)}; there are: {known}")
    return tuple(suite for suite in here if not names or suite.name in names)
