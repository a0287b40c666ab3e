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
"""How many bytes one request to the kernel covers. A request cannot be interrupted."""


@dataclass(frozen=True)
class LvZero:
    """Overwrite the whole LV with zeros. A device that can zero its blocks by itself does so; else the kernel writes.

    blkdiscard opens only block devices. If the LV has no device, blkdiscard fails and creates no file in ``/dev``.
    """

    lv: str

    tool: ClassVar = Tool.IMAGES
    opens_alone: ClassVar = NOTHING
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
    """Overwrite a part of the LV with zeros, as `LvZero` does.

    Resize uses it on new extents, which still hold the data of an earlier owner. Removal uses it to wipe an LV.
    """

    lv: str
    offset_bytes: int
    length_bytes: int

    tool: ClassVar = Tool.RANGES
    opens_alone: ClassVar = NOTHING
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
    """Discard a part of the LV. What can be read there afterwards is not defined.

    If the device cannot discard, the host runs `LvZeroRange` instead.
    """

    lv: str
    offset_bytes: int
    length_bytes: int

    tool: ClassVar = Tool.RANGES
    opens_alone: ClassVar = NOTHING
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
