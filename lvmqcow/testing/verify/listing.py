"""The suites and the specimens, for whoever chooses among them."""

from __future__ import annotations

from collections.abc import Iterator

from lvmqcow.testing.specimens.registry import SPECIMENS
from lvmqcow.testing.suites.registry import SUITES

__all__ = ["listing"]


def listing() -> str:
    """Return a list of all suites and of all specimens."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "suites:"
    for suite in SUITES:
        reason = suite.needs()
        yield f"  {suite.name:12} {suite.place:10} {suite.about}{f' (not here: {reason})' if reason else ''}"
    yield "specimens:"
    for each in SPECIMENS:
        yield f"  {each.name:32} {each.broke} ({each.origin})"
