"""The steps a plan is made of: each is one external command, as data.

A step knows its argv and nothing else. Hosts run it (`RealHost`) or model what it does (`lvmqcow.testing.simulated.host`).
Adding a tool to the system is adding a step here and its meaning there.

Sources: lvm(8) and the manual of each verb; qemu-img(1) of QEMU 7.2. Every qemu-img command names the format of
every image it opens, and every cache mode is the one whose crash behaviour was proved.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from lvmqcow.core.names import Format, device_path, dm_name, dm_uuid
from lvmqcow.core.qcow2 import IMAGE_OPTIONS
from lvmqcow.formats import SourceFormat
from lvmqcow.steps.limits import COPYING

__all__ = [
    "DeviceClear",
    "DeviceRemove",
    "DeviceStep",
    "ImageCopy",
    "ImageExport",
    "ImageReceive",
    "ImageSend",
    "ImageStep",
    "ImageWrite",
    "LinkRemove",
    "LvActivate",
    "LvAutoactivation",
    "LvCreate",
    "LvDeactivate",
    "LvDiscardRange",
    "LvExtend",
    "LvPermission",
    "LvRefresh",
    "LvRemove",
    "LvRename",
    "LvTag",
    "LvZero",
    "LvZeroRange",
    "LvmStep",
    "NodeRemove",
    "Permission",
    "QcowCommit",
    "QcowCreate",
    "QcowRebase",
    "QcowRelink",
    "QcowRepairLeaks",
    "QcowResize",
    "RangeStep",
    "Step",
    "opened",
]

Argv = tuple[str, ...]

# One request to the kernel is for so much: it cannot be interrupted within one.
_STEP = ("--step", str(32 * 1024**2))


@dataclass(frozen=True)
class LvCreate:
    """A new, active logical volume that no boot activates by itself; old signatures on it are wiped."""

    lv: str
    size_bytes: int
    tags: tuple[str, ...]

    def argv(self, vg: str) -> Argv:
        tags = [word for tag in self.tags for word in ("--addtag", tag)]
        return (
            *("lvcreate", "--yes", "--wipesignatures", "y", "--zero", "y", "--setautoactivation", "n"),
            *(*tags, "--size", f"{self.size_bytes}b", "--name", self.lv, vg),
        )


@dataclass(frozen=True)
class LvRename:
    """One LVM metadata commit: the LV has the old name or the new one, never both or none."""

    lv: str
    to: str

    def argv(self, vg: str) -> Argv:
        return ("lvrename", vg, self.lv, self.to)


@dataclass(frozen=True)
class LvRemove:
    """Remove logical volumes, in this order."""

    lvs: tuple[str, ...]

    def argv(self, vg: str) -> Argv:
        return ("lvremove", "--yes", *(f"{vg}/{lv}" for lv in self.lvs))


@dataclass(frozen=True)
class LvExtend:
    """Grow to ``size_bytes``. Planned only where the LV is smaller: lvextend to the same size is an error."""

    lv: str
    size_bytes: int

    def argv(self, vg: str) -> Argv:
        return ("lvextend", "--size", f"{self.size_bytes}b", f"{vg}/{self.lv}")


@dataclass(frozen=True)
class LvTag:
    """Change tags: one command, and for each LV one metadata commit."""

    lvs: tuple[str, ...]
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    def argv(self, vg: str) -> Argv:
        changes = [word for tag in self.drop for word in ("--deltag", tag)]
        changes += [word for tag in self.add for word in ("--addtag", tag)]
        return ("lvchange", *changes, *(f"{vg}/{lv}" for lv in self.lvs))


class Permission(StrEnum):
    """What may be done with the device of an LV."""

    READ = "r"
    WRITE = "rw"


@dataclass(frozen=True)
class LvPermission:
    """Whether the LV can be written to. Planned only where it changes: to the same is an error."""

    lv: str
    permission: Permission

    def argv(self, vg: str) -> Argv:
        return ("lvchange", "--permission", self.permission.value, f"{vg}/{self.lv}")


@dataclass(frozen=True)
class LvActivate:
    """Activate on this host alone."""

    lvs: tuple[str, ...]

    def argv(self, vg: str) -> Argv:
        return ("lvchange", "--activate", "ey", *(f"{vg}/{lv}" for lv in self.lvs))


@dataclass(frozen=True)
class LvDeactivate:
    """Deactivate on this host."""

    lvs: tuple[str, ...]

    def argv(self, vg: str) -> Argv:
        return ("lvchange", "--activate", "n", *(f"{vg}/{lv}" for lv in self.lvs))


@dataclass(frozen=True)
class LvRefresh:
    """Load what the metadata says into active LVs: one that another host extended keeps its old size until then."""

    lvs: tuple[str, ...]

    def argv(self, vg: str) -> Argv:
        return ("lvchange", "--refresh", *(f"{vg}/{lv}" for lv in self.lvs))


@dataclass(frozen=True)
class LvAutoactivation:
    """Whether a boot activates them by itself, on whatever host. What is active stays so."""

    lvs: tuple[str, ...]
    at_boot: bool

    def argv(self, vg: str) -> Argv:
        return ("lvchange", "--setautoactivation", "y" if self.at_boot else "n", *(f"{vg}/{lv}" for lv in self.lvs))


@dataclass(frozen=True)
class DeviceClear:
    """Drop a table that waits in the device of an LV; the table in force stays (dmsetup(8)).

    The device is named by the UUIDs of group and LV: where a rename was cut, its name may be another one.
    """

    lv: str
    vg_uuid: str
    lv_uuid: str

    def argv(self, vg: str) -> Argv:
        return ("dmsetup", "clear", "--uuid", dm_uuid(self.vg_uuid, self.lv_uuid))


@dataclass(frozen=True)
class DeviceRemove:
    """Remove a device whose LV is gone. dmsetup refuses while somebody has it open."""

    lv: str

    def argv(self, vg: str) -> Argv:
        return ("dmsetup", "remove", dm_name(vg, self.lv))


@dataclass(frozen=True)
class NodeRemove:
    """Remove device nodes of LVs that have no device; dmsetup looks, and leaves one that has (``dmsetup mknodes``)."""

    lvs: tuple[str, ...]

    def argv(self, vg: str) -> Argv:
        return ("dmsetup", "mknodes", *(dm_name(vg, lv) for lv in self.lvs))


@dataclass(frozen=True)
class LinkRemove:
    """Remove links in ``/dev/VG`` of LVs that have no device. One that is not there is no failure."""

    lvs: tuple[str, ...]

    def argv(self, vg: str) -> Argv:
        return ("rm", "--force", *(device_path(vg, lv) for lv in self.lvs))


@dataclass(frozen=True)
class LvZero:
    """Overwrite the whole LV with zeros; where the device can, without sending them, else the kernel writes them.

    blkdiscard opens nothing but a block device: where there is none, no file of zeros is made in memory.
    """

    lv: str

    def argv(self, vg: str) -> Argv:
        return ("blkdiscard", "--zeroout", *_STEP, device_path(vg, self.lv))


@dataclass(frozen=True)
class LvZeroRange:
    """Overwrite a part of the LV with zeros, as `LvZero`.

    What it was extended by still holds the bytes of an earlier owner; what is to be removed, those of its own.
    """

    lv: str
    offset_bytes: int
    length_bytes: int

    def argv(self, vg: str) -> Argv:
        part = ("--offset", str(self.offset_bytes), "--length", str(self.length_bytes))
        return ("blkdiscard", "--zeroout", *_STEP, *part, device_path(vg, self.lv))


@dataclass(frozen=True)
class LvDiscardRange:
    """Tell the device that nobody needs a part of the LV. What it reads afterwards is not defined.

    A host whose device cannot discard runs the same as `LvZeroRange`.
    """

    lv: str
    offset_bytes: int
    length_bytes: int

    def argv(self, vg: str) -> Argv:
        part = ("--offset", str(self.offset_bytes), "--length", str(self.length_bytes))
        return ("blkdiscard", *_STEP, *part, device_path(vg, self.lv))


@dataclass(frozen=True)
class QcowCreate:
    """Format as an empty qcow2 image, or as an overlay of ``backing``, a sibling's bare LV name.

    The backing image need not exist yet (``-u``): a snapshot formats its overlay before it renames.
    """

    lv: str
    virtual_size_bytes: int
    backing: str | None = None

    def argv(self, vg: str) -> Argv:
        over = ("-u", "-b", self.backing, "-F", "qcow2") if self.backing else ()
        return (
            *("qemu-img", "create", "-q", "-f", "qcow2", "-o", IMAGE_OPTIONS, *over),
            *(device_path(vg, self.lv), str(self.virtual_size_bytes)),
        )


@dataclass(frozen=True)
class QcowCommit:
    """Write the data of ``lv`` into its backing image. ``-d``: ``lv`` keeps its own, so a cut loses nothing."""

    lv: str

    def argv(self, vg: str) -> Argv:
        return ("qemu-img", "commit", "-p", "-d", "-f", "qcow2", device_path(vg, self.lv))


@dataclass(frozen=True)
class QcowRebase:
    """Copy into ``lv`` what it reads through its backing image and not through ``backing``, then name that.

    ``directsync``: with the default cache mode a kill, or an I/O error, leaves a header that names the new backing
    image while the data is not there.
    """

    lv: str
    backing: str | None

    def argv(self, vg: str) -> Argv:
        onto = ("-b", self.backing, "-F", "qcow2") if self.backing else ("-b", "")
        return ("qemu-img", "rebase", "-p", "-t", "directsync", "-f", "qcow2", *onto, device_path(vg, self.lv))


@dataclass(frozen=True)
class QcowRelink:
    """Rewrite the backing name in the header and nothing else (``rebase -u``)."""

    lv: str
    backing: str

    def argv(self, vg: str) -> Argv:
        return (
            *("qemu-img", "rebase", "-u", "-t", "directsync", "-f", "qcow2"),
            *("-b", self.backing, "-F", "qcow2", device_path(vg, self.lv)),
        )


@dataclass(frozen=True)
class QcowRepairLeaks:
    """Free clusters that a killed rebase allocated and did not link."""

    lv: str

    def argv(self, vg: str) -> Argv:
        return ("qemu-img", "check", "-q", "-f", "qcow2", "-r", "leaks", device_path(vg, self.lv))


@dataclass(frozen=True)
class QcowResize:
    """Grow the virtual size; to the size it has succeeds.

    Nothing is preallocated: a cluster that is only allocated shows what the LV held before.
    """

    lv: str
    virtual_size_bytes: int

    def argv(self, vg: str) -> Argv:
        return ("qemu-img", "resize", "-q", "-f", "qcow2", device_path(vg, self.lv), str(self.virtual_size_bytes))


@dataclass(frozen=True)
class ImageWrite:
    """Copy an image file into an LV that reads as zeros: data is written, holes are left.

    The file is from outside: where its tables lead qemu-img, its use of memory is limited.
    """

    source: str
    source_format: SourceFormat
    lv: str
    format: Format

    def argv(self, vg: str) -> Argv:
        limits = COPYING.argv if self.source_format is not SourceFormat.RAW else ()
        return (*limits, *_convert(self.source, self.source_format, device_path(vg, self.lv), self.format))


@dataclass(frozen=True)
class ImageCopy:
    """Copy what a guest reads from an LV, backing images included, into an LV that reads as zeros."""

    source_lv: str
    source_format: Format
    lv: str
    format: Format

    def argv(self, vg: str) -> Argv:
        return _convert(device_path(vg, self.source_lv), self.source_format, device_path(vg, self.lv), self.format)


@dataclass(frozen=True)
class ImageReceive:
    """Copy a stream of ``size_bytes`` raw bytes into an LV that reads as zeros; ``stream`` is a file descriptor.

    The command serves the image; whoever runs it writes to what it serves (`lvmqcow.qemu.nbd`).
    """

    stream: int
    size_bytes: int
    lv: str
    format: Format
    head: bytes = b""
    """Those of the bytes that were read from the stream already."""

    def argv(self, vg: str) -> Argv:
        return ("qemu-nbd", "--format", self.format.value, device_path(vg, self.lv))


@dataclass(frozen=True)
class ImageExport:
    """Copy what a guest reads from an LV, backing images included, into a file; holes are left."""

    lv: str
    format: Format
    path: str
    path_format: Format

    def argv(self, vg: str) -> Argv:
        return (
            *("qemu-img", "convert", "-p", "-f", self.format.value, "-O", self.path_format.value),
            *(device_path(vg, self.lv), self.path),
        )


@dataclass(frozen=True)
class ImageSend:
    """Send ``head``, then the ``size_bytes`` that a guest reads from an LV, to ``stream``, a file descriptor.

    The command serves the image, as with `ImageReceive`.
    """

    lv: str
    format: Format
    stream: int
    head: bytes
    size_bytes: int

    def argv(self, vg: str) -> Argv:
        return ("qemu-nbd", "--read-only", "--format", self.format.value, device_path(vg, self.lv))


LvmStep = (
    LvCreate
    | LvRename
    | LvRemove
    | LvExtend
    | LvTag
    | LvPermission
    | LvActivate
    | LvDeactivate
    | LvRefresh
    | LvAutoactivation
)
DeviceStep = DeviceClear | DeviceRemove | NodeRemove | LinkRemove
RangeStep = LvZeroRange | LvDiscardRange
ImageStep = (
    LvZero
    | RangeStep
    | QcowCreate
    | QcowCommit
    | QcowRebase
    | QcowRelink
    | QcowRepairLeaks
    | QcowResize
    | ImageWrite
    | ImageCopy
    | ImageReceive
    | ImageExport
    | ImageSend
)
Step = LvmStep | DeviceStep | ImageStep


def _convert(source: str, source_format: Format | SourceFormat, target: str, target_format: Format) -> Argv:
    return (
        *("qemu-img", "convert", "-p", "-n", "--target-is-zero", "-f", source_format.value),
        *("-O", target_format.value, source, target),
    )


def opened(step: Step) -> tuple[str, ...]:
    """The LVs whose qcow2 images a step opens, and through them what they read through.

    `QcowCreate` writes over what is there without looking; the target of `ImageWrite` or `ImageReceive` was just made.
    """
    if isinstance(step, LvmStep | DeviceStep | RangeStep):
        return ()
    match step:
        case LvZero() | QcowCreate() | ImageWrite() | ImageReceive():
            return ()
        case QcowRebase():
            return (step.lv, *((step.backing,) if step.backing else ()))
        case QcowCommit() | QcowRelink() | QcowRepairLeaks() | QcowResize():
            return (step.lv,)
        case ImageCopy():
            return (step.source_lv,) if step.source_format is Format.QCOW2 else ()
        case ImageExport() | ImageSend():
            return (step.lv,) if step.format is Format.QCOW2 else ()
        case _:
            assert_never(step)
