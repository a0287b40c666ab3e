"""The steps that overwrite or discard logical volumes, whole or in part.

Source: blkdiscard(8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lvmqcow.core.names import device_path
from lvmqcow.steps.base import NOTHING, Argv, Tool

__all__ = ["LvDiscardRange", "LvZero", "LvZeroRange", "RangeStep"]

_STEP = ("--step", str(32 * 1024**2))
"""One request to the kernel is for so much: it cannot be interrupted within one."""


@dataclass(frozen=True)
class LvZero:
    """Overwrite the whole LV with zeros; where the device can, without sending them, else the kernel writes them.

    blkdiscard opens nothing but a block device: where there is none, no file of zeros is made in memory.
    """

    lv: str

    tool: ClassVar = Tool.IMAGES
    opens: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("blkdiscard", "--zeroout", *_STEP, device_path(vg, self.lv))

    @property
    def disturbs(self) -> tuple[str, ...]:
        return (self.lv,)


@dataclass(frozen=True)
class LvZeroRange:
    """Overwrite a part of the LV with zeros, as `LvZero`.

    What it was extended by still holds the bytes of an earlier owner; what is to be removed, those of its own.
    """

    lv: str
    offset_bytes: int
    length_bytes: int

    tool: ClassVar = Tool.RANGES
    opens: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        part = ("--offset", str(self.offset_bytes), "--length", str(self.length_bytes))
        return ("blkdiscard", "--zeroout", *_STEP, *part, device_path(vg, self.lv))

    @property
    def disturbs(self) -> tuple[str, ...]:
        return (self.lv,)


@dataclass(frozen=True)
class LvDiscardRange:
    """Tell the device that nobody needs a part of the LV. What it reads afterwards is not defined.

    A host whose device cannot discard runs the same as `LvZeroRange`.
    """

    lv: str
    offset_bytes: int
    length_bytes: int

    tool: ClassVar = Tool.RANGES
    opens: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        part = ("--offset", str(self.offset_bytes), "--length", str(self.length_bytes))
        return ("blkdiscard", *_STEP, *part, device_path(vg, self.lv))

    @property
    def disturbs(self) -> tuple[str, ...]:
        return (self.lv,)


RangeStep = LvZeroRange | LvDiscardRange
