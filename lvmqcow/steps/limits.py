"""What qemu-img may use while it reads what came from outside: a small file can ask for much.

A limit is part of the command (``prlimit``), so that a dry run shows it, and nothing runs between fork and exec.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COPYING", "READING", "Limits"]


@dataclass(frozen=True)
class Limits:
    """Address space in bytes, and time on the processor; None: as long as it takes."""

    memory_bytes: int
    cpu_seconds: int | None = None

    @property
    def argv(self) -> tuple[str, ...]:
        """What stands before the command."""
        # told at the soft limit (SIGXCPU), killed at the hard one
        cpu = (f"--cpu={self.cpu_seconds}:{self.cpu_seconds + 1}",) if self.cpu_seconds is not None else ()
        return ("prlimit", f"--as={self.memory_bytes}", *cpu)

    def __str__(self) -> str:
        time = f" and {self.cpu_seconds} s of processor time" if self.cpu_seconds is not None else ""
        return f"{self.memory_bytes // 1024**2} MiB of memory{time}"


READING = Limits(memory_bytes=1024**3, cpu_seconds=30)
"""For looking at an image's metadata."""

COPYING = Limits(memory_bytes=1024**3)
"""For copying an image's data: as much as its virtual size, for which the volume group had the room."""
