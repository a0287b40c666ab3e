"""The page that lists all specimens, and what found each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lvmqcow.testing.specimens.hunt import Hunted

__all__ = ["page", "row", "unit"]

_HEAD: Final = """\
# Specimens

A specimen is lvmqcow with one historic defect put back. `lvmqcow verify --specimen NAME` must fail. `ci/specimens.py
--write` hunts for all of them with seed 0 and writes this page; the tests compare the two.

| specimen | defect | what happens to a user | suite | found after | what the suite says |
|---|---|---|---|---|---|
"""


def unit(hunted: Hunted) -> str:
    """Return what the suite counts."""
    return {"sequences": "operations", "cuts": "cuts", "faults": "failed steps"}[hunted.suite]


def page(found: Iterable[Hunted]) -> str:
    """Return the page."""
    return _HEAD + "".join(row(hunted) for hunted in found)


def row(hunted: Hunted) -> str:
    """Return the line of one suite and one specimen."""
    finding, specimen = hunted.result.findings[0], hunted.specimen
    said = finding.what.replace("|", "\\|").replace("\n", " ")
    said = said if len(said) <= 90 else f"{said[:89]}…"
    cells = (
        f"`{specimen.name}`",
        specimen.origin,
        specimen.broke,
        hunted.suite,
        f"{hunted.tried:,} {unit(hunted)}",
        said,
    )
    return f"| {' | '.join(cells)} |\n"
