"""Something that has a logical volume's device in use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Holder", "HolderKind"]


class HolderKind(StrEnum):
    """What kind of thing it is."""

    PROCESS = "process"
    """A program that has the device open."""
    DEVICE = "device"
    """A device on top of it."""
    MOUNT = "mount"
    """A file system on it, mounted."""


@dataclass(frozen=True)
class Holder:
    """``name`` is the program's, the device's, or the directory where it is mounted."""

    kind: HolderKind
    name: str
    process_id: int | None = None

    def __str__(self) -> str:
        if self.process_id is not None:
            return f"{self.kind} {self.process_id} ({self.name})"
        return f"the mount on {self.name}" if self.kind is HolderKind.MOUNT else f"{self.kind} {self.name}"
