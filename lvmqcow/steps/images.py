"""The steps of qemu-img: one command each.

Every command names the format of every image that it opens. Every cache mode is one whose behaviour after a crash is
tested.

Source: qemu-img(1) of QEMU 7.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lvmqcow.core.names import Format, device_path
from lvmqcow.core.qcow2 import IMAGE_OPTIONS
from lvmqcow.formats import SourceFormat
from lvmqcow.steps.base import NOTHING, Argv, Tool
from lvmqcow.steps.limits import COPYING

__all__ = [
    "ImageCopy",
    "ImageExport",
    "ImageStep",
    "ImageWrite",
    "QcowCommit",
    "QcowCreate",
    "QcowRebase",
    "QcowRelink",
    "QcowRepairLeaks",
    "QcowResize",
]


@dataclass(frozen=True)
class QcowCreate:
    """Format the LV as an empty qcow2 image, or as an overlay of ``backing``, the name of an LV in the volume group.

    The backing file need not exist yet (``-u``): a snapshot formats the overlay before it renames the current LV.
    """

    lv: str
    virtual_size_bytes: int
    backing: str | None = None

    tool: ClassVar = Tool.IMAGES
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        over = ("-u", "-b", self.backing, "-F", "qcow2") if self.backing else ()
        return (
            *("qemu-img", "create", "-q", "-f", "qcow2", "-o", IMAGE_OPTIONS, *over),
            *(device_path(vg, self.lv), str(self.virtual_size_bytes)),
        )

    @property
    def disturbs(self) -> tuple[str, ...]:
        return (self.lv,)


@dataclass(frozen=True)
class QcowCommit:
    """Write the data of ``lv`` into its backing file, ``into``. ``-d`` keeps the data in ``lv``, so a cut is safe."""

    lv: str
    into: str

    tool: ClassVar = Tool.IMAGES
    opens_alone: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("qemu-img", "commit", "-p", "-d", "-f", "qcow2", device_path(vg, self.lv))

    @property
    def opens(self) -> tuple[str, ...]:
        return (self.lv,)

    @property
    def disturbs(self) -> tuple[str, ...]:
        return (self.lv,)

    @property
    def fills(self) -> str | None:
        return self.into

    @property
    def mend(self) -> tuple[QcowRelink | QcowRepairLeaks, ...]:
        return (QcowRepairLeaks(self.into),)


@dataclass(frozen=True)
class QcowRebase:
    """Copy into ``lv`` the data by which its backing file ``was`` differs from ``backing``, then name ``backing``.

    None as ``backing`` copies all data and leaves no backing file.

    ``directsync``: with the default cache mode, a kill or an I/O error may leave a header that names the new backing
    file while the data is not in the image.
    """

    lv: str
    backing: str | None
    was: str

    tool: ClassVar = Tool.IMAGES
    opens_alone: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        onto = ("-b", self.backing, "-F", "qcow2") if self.backing else ("-b", "")
        return ("qemu-img", "rebase", "-p", "-t", "directsync", "-f", "qcow2", *onto, device_path(vg, self.lv))

    @property
    def opens(self) -> tuple[str, ...]:
        return (self.lv, *((self.backing,) if self.backing else ()))

    @property
    def disturbs(self) -> tuple[str, ...]:
        return (self.lv,)

    @property
    def fills(self) -> str | None:
        return self.lv

    @property
    def mend(self) -> tuple[QcowRelink | QcowRepairLeaks, ...]:
        return (QcowRelink(self.lv, self.was), QcowRepairLeaks(self.lv))


@dataclass(frozen=True)
class QcowRelink:
    """Rewrite the backing name in the header and nothing else (``rebase -u``)."""

    lv: str
    backing: str

    tool: ClassVar = Tool.IMAGES
    opens: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return (
            *("qemu-img", "rebase", "-u", "-t", "directsync", "-f", "qcow2"),
            *("-b", self.backing, "-F", "qcow2", device_path(vg, self.lv)),
        )

    @property
    def opens_alone(self) -> tuple[str, ...]:
        return (self.lv,)

    @property
    def disturbs(self) -> tuple[str, ...]:
        return (self.lv,)


@dataclass(frozen=True)
class QcowRepairLeaks:
    """Free leaked clusters: a killed rebase, commit or resize allocated them and did not link them."""

    lv: str

    tool: ClassVar = Tool.IMAGES
    opens_alone: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("qemu-img", "check", "-q", "-f", "qcow2", "-r", "leaks", device_path(vg, self.lv))

    @property
    def opens(self) -> tuple[str, ...]:
        return (self.lv,)

    @property
    def disturbs(self) -> tuple[str, ...]:
        return (self.lv,)


@dataclass(frozen=True)
class QcowResize:
    """Grow the virtual size. Resizing to the present size succeeds.

    The step preallocates nothing: an allocated cluster that was not written shows the earlier content of the LV.
    """

    lv: str
    virtual_size_bytes: int

    tool: ClassVar = Tool.IMAGES
    opens_alone: ClassVar = NOTHING
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("qemu-img", "resize", "-q", "-f", "qcow2", device_path(vg, self.lv), str(self.virtual_size_bytes))

    @property
    def opens(self) -> tuple[str, ...]:
        return (self.lv,)

    @property
    def disturbs(self) -> tuple[str, ...]:
        return (self.lv,)

    @property
    def fills(self) -> str | None:
        return self.lv


@dataclass(frozen=True)
class ImageWrite:
    """Copy an image file into an LV that reads as zeros. Only data is written; holes stay holes.

    The file comes from outside and its tables could make qemu-img allocate much memory, so a limit applies.
    """

    source: str
    source_format: SourceFormat
    lv: str
    format: Format

    tool: ClassVar = Tool.IMAGES
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        limits = COPYING.argv if self.source_format is not SourceFormat.RAW else ()
        return (*limits, *_convert(self.source, self.source_format, device_path(vg, self.lv), self.format))

    @property
    def disturbs(self) -> tuple[str, ...]:
        return (self.lv,)

    @property
    def fills(self) -> str | None:
        return self.lv if self.format is Format.QCOW2 else None


@dataclass(frozen=True)
class ImageCopy:
    """Copy what a guest reads from an LV, through all backing files, into an LV that reads as zeros."""

    source_lv: str
    source_format: Format
    lv: str
    format: Format

    tool: ClassVar = Tool.IMAGES
    opens_alone: ClassVar = NOTHING
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return _convert(device_path(vg, self.source_lv), self.source_format, device_path(vg, self.lv), self.format)

    @property
    def opens(self) -> tuple[str, ...]:
        return (self.source_lv,) if self.source_format is Format.QCOW2 else ()

    @property
    def disturbs(self) -> tuple[str, ...]:
        return (self.lv,)

    @property
    def fills(self) -> str | None:
        return self.lv if self.format is Format.QCOW2 else None


@dataclass(frozen=True)
class ImageExport:
    """Copy what a guest reads from an LV, through all backing files, into a file. Holes stay holes."""

    lv: str
    format: Format
    path: str
    path_format: Format

    tool: ClassVar = Tool.IMAGES
    opens_alone: ClassVar = NOTHING
    disturbs: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return (
            *("qemu-img", "convert", "-p", "-f", self.format.value, "-O", self.path_format.value),
            *(device_path(vg, self.lv), self.path),
        )

    @property
    def opens(self) -> tuple[str, ...]:
        return (self.lv,) if self.format is Format.QCOW2 else ()


ImageStep = (
    QcowCreate
    | QcowCommit
    | QcowRebase
    | QcowRelink
    | QcowRepairLeaks
    | QcowResize
    | ImageWrite
    | ImageCopy
    | ImageExport
)


def _convert(source: str, source_format: Format | SourceFormat, target: str, target_format: Format) -> Argv:
    return (
        *("qemu-img", "convert", "-p", "-n", "--target-is-zero", "-f", source_format.value),
        *("-O", target_format.value, source, target),
    )
