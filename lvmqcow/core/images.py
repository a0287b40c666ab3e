"""What qemu-img reports about disk images."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FileCheck", "ImageCheck", "MergeCost"]


@dataclass(frozen=True)
class ImageCheck:
    """What ``qemu-img check`` found in an image on a logical volume."""

    corruptions: int
    leaked_clusters: int
    allocated_bytes: int

    @property
    def sound(self) -> bool:
        """Whether the guest reads the right data. Leaked clusters only waste space."""
        return self.corruptions == 0


@dataclass(frozen=True)
class FileCheck:
    """What qemu-img found in a file that is to be imported."""

    virtual_size_bytes: int
    """How much qemu-img would copy. QEMU's driver of each format has its own rules for the size."""
    corruptions: int
    cut_short: bool = False
    """Whether the file ends before the data of its disk does. QEMU would read zeros there, and ``qemu-img check`` does
    not report it."""


@dataclass(frozen=True)
class MergeCost:
    """How many bytes the deletion of a snapshot would move, by pull and by push (`lvmqcow.operations.delete`)."""

    pull_bytes: int
    push_bytes: int
