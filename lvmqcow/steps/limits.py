"""Limits for qemu-img while it reads a file from outside. A small file can make qemu-img allocate much memory.

A limit is part of the command (``prlimit``). So a dry run shows it, and no code of ours runs between fork and exec.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COPYING", "READING", "Limits"]


@dataclass(frozen=True)
class Limits:
    """A limit of the address space in bytes, and of processor time in seconds; None is no limit."""

    memory_bytes: int
    cpu_seconds: int | None = None

    @property
    def argv(self) -> tuple[str, ...]:
        """The words that precede the command."""
        # SIGXCPU at the soft limit, SIGKILL at the hard limit
        cpu = (f"--cpu={self.cpu_seconds}:{self.cpu_seconds + 1}",) if self.cpu_seconds is not None else ()
        return ("prlimit", f"--as={self.memory_bytes}", *cpu)

    def __str__(self) -> str:
        time = f" and {self.cpu_seconds} s of processor time" if self.cpu_seconds is not None else ""
        return f"{self.memory_bytes // 1024**2} MiB of memory{time}"


READING = Limits(memory_bytes=1024**3, cpu_seconds=30)
"""The limit while qemu-img reads the metadata of an image."""

COPYING = Limits(memory_bytes=1024**3)
"""The limit while qemu-img copies the data of an image. It may take any time: the volume group has the room."""
