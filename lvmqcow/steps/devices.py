"""The steps that repair what LVM left in the kernel and in ``/dev``.

Source: dmsetup(8).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from lvmqcow.core.names import device_path, dm_name, dm_uuid
from lvmqcow.steps.base import NOTHING, Argv, Tool, some_of

__all__ = ["DeviceClear", "DeviceRemove", "DeviceStep", "LinkRemove", "NodeRemove"]


@dataclass(frozen=True)
class DeviceClear:
    """Drop the inactive table of an LV's device; the active table stays (dmsetup(8)).

    The step identifies the device by the UUIDs of volume group and LV. After a rename that was cut, the name of the
    device may differ from that of the LV.
    """

    lv: str
    vg_uuid: str
    lv_uuid: str

    tool: ClassVar = Tool.DEVICES
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    disturbs: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("dmsetup", "clear", "--uuid", dm_uuid(self.vg_uuid, self.lv_uuid))


@dataclass(frozen=True)
class DeviceRemove:
    """Remove a device whose LV is gone. dmsetup refuses while a program has the device open."""

    lv: str

    tool: ClassVar = Tool.DEVICES
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING
    parts: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("dmsetup", "remove", dm_name(vg, self.lv))

    @property
    def disturbs(self) -> tuple[str, ...]:
        return (self.lv,)


@dataclass(frozen=True)
class NodeRemove:
    """Remove the device nodes of LVs that have no device. ``dmsetup mknodes`` keeps a node that has a device."""

    lvs: tuple[str, ...]

    tool: ClassVar = Tool.DEVICES
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    disturbs: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("dmsetup", "mknodes", *(dm_name(vg, lv) for lv in self.lvs))

    @property
    def parts(self) -> tuple[NodeRemove, ...]:
        return tuple(replace(self, lvs=lvs) for lvs in some_of(self.lvs))


@dataclass(frozen=True)
class LinkRemove:
    """Remove the links in ``/dev/VG`` of LVs that have no device. A missing link is no failure."""

    lvs: tuple[str, ...]

    tool: ClassVar = Tool.DEVICES
    opens_alone: ClassVar = NOTHING
    opens: ClassVar = NOTHING
    disturbs: ClassVar = NOTHING
    fills: ClassVar = None
    mend: ClassVar = NOTHING

    def argv(self, vg: str) -> Argv:
        return ("rm", "--force", *(device_path(vg, lv) for lv in self.lvs))

    @property
    def parts(self) -> tuple[LinkRemove, ...]:
        return tuple(replace(self, lvs=lvs) for lvs in some_of(self.lvs))


DeviceStep = DeviceClear | DeviceRemove | NodeRemove | LinkRemove
