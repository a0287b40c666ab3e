"""The devices of a volume, put right: what an lvm that was killed left in the kernel and in ``/dev``.

lvm2 changes an active LV in this order: it loads the new table beside the one in force, suspends the device, commits
its metadata, resumes the device (and renames it), and last of all puts the names in ``/dev`` right. Killed in between,
it leaves a device that is suspended, or one that has two tables, or names that lead to another LV, or to none. These
steps put that right, in this order:

1. clear a table that waits in a device: it was never committed, and the next resume would put it in force
2. refresh what is suspended, has no table, or has another one or another name than LVM's metadata says, or is not in
   ``/dev``; that gives it its names there
3. remove a device whose LV is gone
4. remove the device nodes, then the links in ``/dev/VG``, of what has no device

A file in ``/dev``, or a device that LVM did not make, stays: it may be the only copy of something.

A cut between any two of these leaves less of the same. Data is not touched, and nothing is read before it is done. Each
command is about these LVs alone: vgmknodes(8), which makes all names of the group anew, would leave another volume
without one if it were killed.

Sources: ``lv_suspend``, ``lv_resume`` and ``fs_unlock`` of lvm2; dmsetup(8).
"""

from __future__ import annotations

from collections.abc import Iterable

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume, Stray, StrayKind
from lvmqcow.core.names import VolumeName
from lvmqcow.steps import DeviceClear, DeviceRemove, LinkRemove, LvRefresh, NodeRemove, Step

__all__ = ["restore_devices"]


def restore_devices(vg: VolumeGroup, *names: VolumeName) -> tuple[Step, ...]:
    """The steps for all that is wrong with the devices of these volumes, there or not; none where nothing is."""
    volumes = (volume for name in names if (volume := vg.find(name)))
    lvs = {lv.name: lv for volume in volumes for lv in volume.devices_to_restore}
    strays = [stray for stray in vg.strays_of(*names) if stray.kind is not StrayKind.OTHER]
    gone = (
        *(lv.name for lv in lvs.values() if lv.wrong_in_dev and not lv.active),
        *(stray.lv_name for stray in strays),
    )
    nodes = tuple(name for name in gone if name not in _links(strays))
    return (
        *(DeviceClear(lv.name, vg.uuid, lv.uuid) for lv in lvs.values() if lv.has_inactive_table),
        *_refreshed(lvs.values()),
        *(DeviceRemove(stray.lv_name) for stray in strays if stray.kind is StrayKind.DEVICE),
        *((NodeRemove(nodes),) if nodes else ()),
        *((LinkRemove(gone),) if gone else ()),
    )


def _refreshed(lvs: Iterable[LogicalVolume]) -> tuple[LvRefresh, ...]:
    names = tuple(lv.name for lv in lvs if lv.suspended or (lv.wrong_in_dev and lv.active))
    return (LvRefresh(names),) if names else ()


def _links(strays: Iterable[Stray]) -> frozenset[str]:
    return frozenset(stray.lv_name for stray in strays if stray.kind is StrayKind.LINK)
