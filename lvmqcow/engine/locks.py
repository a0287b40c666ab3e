"""The interface for locks. One operation at a time runs on a volume; operations on different volumes run in parallel.

`lvmqcow.system.flock.FlockLocks` serves the processes of one host. A program that has its own lock manager passes its
own `Locks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

__all__ = ["Locks", "NoLocks"]


class Locks(Protocol):
    """Holds locks on volumes."""

    def hold(self, vg: str, volume: str) -> AbstractContextManager[None]:
        """Hold the lock of one volume for the block.

        Raises:
            Locked: another process holds the lock.
            UnfitMachine: this machine cannot take locks.
        """


class NoLocks:
    """Takes no locks. Use it for a volume group that no other process can reach."""

    @contextmanager
    def hold(self, vg: str, volume: str) -> Iterator[None]:
        yield
