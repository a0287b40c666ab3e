"""The steps that copy between a logical volume and a stream: qemu-nbd serves the image (`lvmqcow.qemu.nbd`).

Source: qemu-nbd(8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lvmqcow.core.names import Format, device_path
from lvmqcow.steps.base import NOTHING, Argv, Tool

__all__ = ["ImageReceive", "ImageSend", "StreamStep"]


@dataclass(frozen=True)
class ImageReceive:
    """Copy a stream of ``size_bytes`` raw bytes into an LV that reads as zeros; ``stream`` is a file descriptor.

    The command only serves the image. The host copies the stream into the served image (`lvmqcow.qemu.nbd`).
    """

    stream: int
    size_bytes: int
    lv: str
    format: Format
    head: bytes = b""
    """The first bytes of the stream, which were read before."""

    tool: ClassVar = Tool.STREAMS
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("qemu-nbd", "--format", self.format.value, device_path(vg, self.lv))

    @property
    def disturbs(self) -> tuple[str, ...]:
        return (self.lv,)


@dataclass(frozen=True)
class ImageSend:
    """Send ``head``, then the ``size_bytes`` that a guest reads from an LV, to ``stream``, a file descriptor.

    The command only serves the image, as with `ImageReceive`.
    """

    lv: str
    format: Format
    stream: int
    head: bytes
    size_bytes: int

    tool: ClassVar = Tool.STREAMS
    opens_alone: ClassVar = NOTHING
    disturbs: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("qemu-nbd", "--read-only", "--format", self.format.value, device_path(vg, self.lv))

    @property
    def opens(self) -> tuple[str, ...]:
        return (self.lv,) if self.format is Format.QCOW2 else ()


StreamStep = ImageReceive | ImageSend
