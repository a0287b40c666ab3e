"""Repair the devices of a volume: what a killed lvm left in the kernel and in ``/dev``.

lvm2 changes an active LV in this order: it loads the new table as the inactive table, suspends the device, commits the
metadata, resumes the device (and renames it), and finally updates the names in ``/dev``. An lvm that is killed in
between leaves a suspended device, a device with two tables, or names that are missing or lead to another LV. These
steps repair that, in this order:

1. clear the inactive table of a device: it was never committed, and the next resume would activate it
2. refresh an LV whose device is suspended, has no table, differs from LVM's metadata in table or name, or is missing in
   ``/dev``; this also creates the names in ``/dev``
3. remove a device whose LV is gone
4. remove the device nodes, then the links in ``/dev/VG``, of LVs that have no device

A file in ``/dev``, or a device that LVM did not make, stays, because it may hold the only copy of some data.

A cut between two steps leaves fewer faults of the same kinds. No step changes data, and no data is read before all
steps are done. Each command names only these LVs. vgmknodes(8) would recreate the names of all LVs of the volume group,
and if it were killed, another volume would lack names.

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
    """Return the steps that repair the devices of these volumes, which need not exist; empty if nothing is wrong."""
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
