"""The contract of a step: what every one of them states, all of it, with no defaults.

A step is one action of one tool, as data: after it, or inside it, a cut leaves a state that recovery knows. Hosts run
steps (`lvmqcow.real_host`) or model what they do (`lvmqcow.testing.simulated`). A step that states only a part of this
does not type-check where steps are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import combinations
from typing import Final, Protocol

__all__ = ["NOTHING", "Argv", "Contract", "Tool", "some_of"]

Argv = tuple[str, ...]
NOTHING: Final[tuple[()]] = ()


class Tool(StrEnum):
    """What runs a step."""

    LVM = "lvm"
    """LVM: one command, in the persistent shell or as a process."""
    DEVICES = "devices"
    """dmsetup, and rm for links in ``/dev``."""
    RANGES = "ranges"
    """blkdiscard, in pieces that can be watched, slowed down and stopped."""
    IMAGES = "images"
    """qemu-img, or blkdiscard of a whole LV; then the LV is flushed."""
    STREAMS = "streams"
    """qemu-nbd, and a client that copies between it and a file descriptor."""


class Contract(Protocol):
    """What a step states. `lvmqcow.steps.Step` is the union of all that there are."""

    @property
    def tool(self) -> Tool:
        """What runs it."""

    @property
    def opens(self) -> tuple[str, ...]:
        """The LVs whose qcow2 images it opens, and through them their backing images. All must be harmless.

        A step that writes over an image without a look at it opens none.
        """

    @property
    def disturbs(self) -> tuple[str, ...]:
        """The LVs that nothing may use meanwhile: their bytes change, or their owner does."""

    @property
    def fills(self) -> str | None:
        """The LV in which it takes space for an image. With more room there, the step can be run again."""

    @property
    def mend(self) -> tuple[Contract, ...]:
        """What makes the image it fills what it was, before it is run again with more room."""

    @property
    def parts(self) -> tuple[Contract, ...]:
        """What it may have done of itself when it is killed: of a command on several LVs, the same on some."""

    def argv(self, vg: str) -> Argv:
        """The command, for a volume group of that name."""


def some_of(lvs: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Some, but not all, of these LVs: LVM works through the LVs of one command in an order of its own."""
    for count in range(1, len(lvs)):
        yield from combinations(lvs, count)
