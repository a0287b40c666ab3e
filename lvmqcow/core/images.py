"""What is said of disk images by whoever looked at them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FileCheck", "ImageCheck", "MergeCost"]


@dataclass(frozen=True)
class ImageCheck:
    """What ``qemu-img check`` found."""

    corruptions: int
    leaked_clusters: int
    allocated_bytes: int

    @property
    def sound(self) -> bool:
        """Nothing is wrong with what a guest reads; leaked clusters only waste space."""
        return self.corruptions == 0


@dataclass(frozen=True)
class FileCheck:
    """What qemu-img found in a file from outside."""

    virtual_size_bytes: int
    """What it would copy: in each of its formats QEMU has rules of its own for that."""
    corruptions: int
    cut_short: bool = False
    """Whether data of its disk lies behind its end: QEMU would read zeros there, and check says nothing of it."""


@dataclass(frozen=True)
class MergeCost:
    """Bytes that deleting a snapshot would move, either way."""

    pull_bytes: int
    push_bytes: int
