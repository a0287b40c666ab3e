"""The contract of a step: what every step declares. No member has a default.

A step is one action of one tool, as data. A cut after a step, or inside it, leaves a state that recovery knows. A host
runs steps (`lvmqcow.real_host`) or models their effect (`lvmqcow.testing.simulated`). A class that lacks a member of
the contract does not type-check as a step.
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
    """The tool that runs a step."""

    LVM = "lvm"
    """One LVM command, in the persistent shell or as a process."""
    DEVICES = "devices"
    """dmsetup, or rm for links in ``/dev``."""
    RANGES = "ranges"
    """blkdiscard on one chunk after the other, so that the step reports progress and can be slowed down and stopped."""
    IMAGES = "images"
    """qemu-img, or blkdiscard of a whole LV. Then the LV is flushed."""
    STREAMS = "streams"
    """qemu-nbd, and a client that copies between qemu-nbd and a file descriptor."""


class Contract(Protocol):
    """What a step declares. `lvmqcow.steps.Step` is the union of all steps."""

    @property
    def tool(self) -> Tool:
        """The tool that runs the step."""

    @property
    def opens(self) -> tuple[str, ...]:
        """The LVs whose qcow2 images the step opens. Their backing files are opened too, and all must be harmless.

        A step that overwrites an image without reading it opens none.
        """

    @property
    def opens_alone(self) -> tuple[str, ...]:
        """The LVs whose qcow2 images the step opens without their backing images, whatever their headers name."""

    @property
    def disturbs(self) -> tuple[str, ...]:
        """The LVs that no program may use during the step, because their content or their name changes."""

    @property
    def fills(self) -> str | None:
        """The LV in which the step allocates clusters. If the LV is full, the step can run again on a larger LV."""

    @property
    def mend(self) -> tuple[Contract, ...]:
        """The steps that restore the image in `fills` before the step runs again on a larger LV."""

    @property
    def parts(self) -> tuple[Contract, ...]:
        """What the step may have done when it is killed: a command on several LVs may have changed some of them."""

    def argv(self, vg: str) -> Argv:
        """Return the command of the step for the volume group ``vg``."""


def some_of(lvs: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield every choice of some, but not all, of these LVs. LVM changes the LVs of one command in its own order."""
    for count in range(1, len(lvs)):
        yield from combinations(lvs, count)
