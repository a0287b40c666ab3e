"""What one process of a verification has to do. It is passed on as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self

__all__ = ["Task"]


@dataclass(frozen=True)
class Task:
    """The suites to run in one place, and this process's share of their trials."""

    suites: tuple[str, ...]
    place: str
    budget_seconds: float
    """For all of the suites together."""
    seed: int
    share: int = 0
    shares: int = 1
    only: str | None = None
    """The one trial to run."""
    specimen: str | None = None
    driver: str | None = None
    """The command of the driver to judge."""
    trace: str | None = None
    """The trace to replay instead of running suites."""
    command: str = "lvmqcow verify"

    def dumped(self) -> str:
        """Return the task as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def loaded(cls, text: str) -> Self:
        """Return the task of a line."""
        document = json.loads(text)
        return cls(**{**document, "suites": tuple(document["suites"])})
