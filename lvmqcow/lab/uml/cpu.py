"""Choose the core that a lab runs on. On one core it is three times as fast as on two.

A lab claims its core by binding an abstract socket; each core has several names, for several labs.
A claim leaves no file behind, every user sees it, and it ends with the last process that holds it.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import LabError

__all__ = ["CPU_VARIABLE", "CpuClaim", "claim_cpu"]

CPU_VARIABLE = "LVMQCOW_LAB_CPU"
_PLACES_PER_CPU = 64


@dataclass(frozen=True)
class CpuClaim:
    """A core, and the descriptor of its claim. Other labs choose free cores first."""

    cpu: int
    descriptor: int


@contextmanager
def claim_cpu() -> Iterator[CpuClaim]:
    """Return the core that LVMQCOW_LAB_CPU names, else a core with the fewest labs on it."""
    allowed = sorted(os.sched_getaffinity(0))
    chosen = os.environ.get(CPU_VARIABLE, "")
    if chosen:
        if not chosen.isdecimal() or int(chosen) not in allowed:
            raise LabError(
                f"{CPU_VARIABLE}={chosen} is not a core this process may run on",
                f"Unset it, or choose one of {', '.join(map(str, allowed))}.",
            )
        allowed = [int(chosen)]
    with _claim(allowed) as claim:
        yield claim


@contextmanager
def _claim(cpus: list[int]) -> Iterator[CpuClaim]:
    with socket.socket(socket.AF_UNIX) as place:
        # Labs in other containers do not see our claims, so do not let all of them start with core 0.
        for number in range(_PLACES_PER_CPU):
            for cpu in random.sample(cpus, len(cpus)):
                if _take(place, f"\0lvmqcow-lab-cpu-{cpu}-{number}"):
                    yield CpuClaim(cpu, place.fileno())
                    return
        yield CpuClaim(random.choice(cpus), place.fileno())


def _take(place: socket.socket, name: str) -> bool:
    try:
        place.bind(name)
    except OSError:  # EADDRINUSE
        return False
    return True
