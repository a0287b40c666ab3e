"""Hunt for a specimen: run the suites that must find it, until each of them does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lvmqcow.testing.conformance.suite import Budget, Place, Surroundings, run_suite
from lvmqcow.testing.conformance.verdict import SuiteResult
from lvmqcow.testing.specimens.specimen import Specimen
from lvmqcow.testing.suites.registry import chosen

__all__ = ["Hunted", "hunt"]


@dataclass(frozen=True)
class Hunted:
    """What one suite made of a specimen. With the same seed it is the same every time."""

    specimen: Specimen
    suite: str
    result: SuiteResult

    @property
    def tried(self) -> int:
        """How many operations, or cuts, it took."""
        return max(self.result.counts.get(what, 0) for what in ("operations", "cuts", "steps failed", "trials"))


def hunt(specimen: Specimen, directory: Path, budget_seconds: float, seed: int = 0) -> Iterator[Hunted]:
    """Run the simulated suites that must find a specimen; each stops at its first finding."""
    for suite in chosen(specimen.suites, Place.SIMULATED):
        surroundings = Surroundings(directory, seed, specimen.implementation)
        result = run_suite(suite, surroundings, Budget(budget_seconds), most_findings=1)
        yield Hunted(specimen, suite.name, result)
