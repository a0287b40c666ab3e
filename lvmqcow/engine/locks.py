"""The seam for locks: one operation at a time per volume, across processes; different volumes run side by side.

`lvmqcow.system.flock.FlockLocks` is for the processes of one host. A library consumer with a lock manager of its own
passes its own `Locks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

__all__ = ["Locks", "NoLocks"]


class Locks(Protocol):
    """Gives out locks on volumes."""

    def hold(self, vg: str, volume: str) -> AbstractContextManager[None]:
        """Hold the lock of one volume.

        Raises:
            Locked: somebody else keeps it.
            UnfitMachine: no lock can be taken on this machine, by anybody.
        """


class NoLocks:
    """For a volume group that nobody else can reach."""

    @contextmanager
    def hold(self, vg: str, volume: str) -> Iterator[None]:
        yield
