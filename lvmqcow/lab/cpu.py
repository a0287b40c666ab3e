"""Which core a lab runs on: pinned to one it is three times as fast as wandering between two.

A claim is a bound abstract socket, one name per core and place on it. It leaves no file behind, is
seen by every user, and ends with the last process that holds it.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .errors import LabError

__all__ = ["CPU_VARIABLE", "CpuClaim", "claim_cpu"]

CPU_VARIABLE = "LVMQCOW_LAB_CPU"
_PLACES_PER_CPU = 64


@dataclass(frozen=True)
class CpuClaim:
    """A core, and the descriptor that keeps others off it while there are free ones."""

    cpu: int
    descriptor: int


@contextmanager
def claim_cpu() -> Iterator[CpuClaim]:
    """The core that LVMQCOW_LAB_CPU names, else one with the fewest labs on it."""
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
        # Labs in other containers do not see our claims: at least do not all start with core 0.
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
