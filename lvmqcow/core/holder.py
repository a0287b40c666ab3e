"""What can use the device of a logical volume: a process, a device on top of it, or a mount."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Holder", "HolderKind"]


class HolderKind(StrEnum):
    """What kind of user a `Holder` is."""

    PROCESS = "process"
    """A process has the device open."""
    DEVICE = "device"
    """Another device is stacked on the device."""
    MOUNT = "mount"
    """A file system on the device is mounted."""


@dataclass(frozen=True)
class Holder:
    """One user of a device.

    ``name`` is the name of the program or of the stacked device, or the directory of the mount.
    """

    kind: HolderKind
    name: str
    process_id: int | None = None

    def __str__(self) -> str:
        if self.process_id is not None:
            return f"{self.kind} {self.process_id} ({self.name})"
        return f"the mount on {self.name}" if self.kind is HolderKind.MOUNT else f"{self.kind} {self.name}"
