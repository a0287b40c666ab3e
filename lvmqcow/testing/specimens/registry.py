"""The list of all specimens."""

from __future__ import annotations

from typing import Final

from lvmqcow.errors import InvalidRequest
from lvmqcow.testing.specimens import plans, steps
from lvmqcow.testing.specimens.specimen import Specimen

__all__ = ["SPECIMENS", "specimen"]

SPECIMENS: Final[tuple[Specimen, ...]] = (*plans.SPECIMENS, *steps.SPECIMENS)
"""Every specimen."""


def specimen(name: str) -> Specimen:
    """Return a specimen. Raises InvalidRequest: there is none of that name."""
    found = next((each for each in SPECIMENS if each.name == name), None)
    if found is None:
        known = ", ".join(each.name for each in SPECIMENS)
        raise InvalidRequest(f"there is no specimen {name!r}; there are: {known}")
    return found
