"""Read the picture of a volume group from one LVM report, and decide which devices later commands see.

The first report sees all devices of the machine. Later commands see only the physical volumes of the volume group. But
LVM refuses to change a volume group if a second device has the UUID of one of its physical volumes, and for that it has
to see the second device. So:

- If LVM warns of anything new, a report with all devices follows, and LVM's fields say what is wrong.
- While a physical volume is in doubt, every command sees all devices. So LVM's own refusals work, and the next report
  shows whether the problem is solved.
- It does not matter which of two duplicate devices LVM uses, because nothing is changed (`lvmqcow.core.fitness`).
- A duplicate that appears after the first report is not seen. The storage keeps using the devices of that report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.errors import CommandFailed, VolumeGroupNotFound
from lvmqcow.lvm.commands import Lvm
from lvmqcow.lvm.report import FULL_REPORT, Report, complete_report, devices, volume_group

__all__ = ["read_volume_group"]

_FOREIGN: Final = ("--foreign", "--shared")  # include volume groups of other hosts, and those that need lvmlockd


def read_volume_group(lvm: Lvm, vg: str) -> VolumeGroup:
    """Take the picture of a volume group from one report (lvm-fullreport(8)).

    The first report sees all devices of the machine. After it, ``lvm`` sees the physical volumes of the volume group.

    Raises:
        VolumeGroupNotFound: the volume group does not exist, or LVM does not show it.
        CommandFailed: LVM could not read all of the volume group.
    """
    try:
        picture = _read(lvm, vg)
    except CommandFailed:
        if not lvm.physical_volumes:
            raise
        lvm.physical_volumes, lvm.sees_all = (), False  # the volume group may have got another physical volume
        picture = _read(lvm, vg)
    return picture


def _read(lvm: Lvm, vg: str) -> VolumeGroup:
    argv = (*FULL_REPORT, vg)
    report, another_hosts = _full_report(lvm, vg)
    if report.news and lvm.physical_volumes and not lvm.sees_all:
        lvm.sees_all = True  # the warning may be about devices that LVM did not see
        report, another_hosts = _full_report(lvm, vg)
    with complete_report(argv):
        unsure = report.warnings and (lvm.sees_all or not lvm.physical_volumes)
        duplicates = _duplicates(lvm, report) if unsure else {}
        outdated = _outdated(lvm, report) if unsure else frozenset()
        picture = volume_group(report, another_hosts, duplicates, outdated)
        lvm.physical_volumes = () if another_hosts or picture.lock_type else devices(report)
    lvm.sees_all = any(each.in_doubt for each in picture.physical_volumes)
    return picture


def _full_report(lvm: Lvm, vg: str) -> tuple[Report, bool]:
    """Return the report, and whether another host owns the volume group. LVM shows those only with ``--foreign``."""
    try:
        return lvm.report((*FULL_REPORT, vg)), False
    except CommandFailed as failed:
        listed = lvm.report(("vgs", *_FOREIGN, "-o", "vg_name,vg_systemid,vg_lock_type"))["vg"]
        with complete_report(("vgs",)):
            groups = [row for row in listed if row["vg_name"] == vg]
            if not groups:
                raise VolumeGroupNotFound(vg, " ".join(failed.stderr.splitlines())) from failed
            system_id, lock_type = groups[0]["vg_systemid"], groups[0]["vg_lock_type"]
        if len(groups) > 1 or not (system_id or lock_type):
            raise
        return lvm.report((*FULL_REPORT[:1], *_FOREIGN, *FULL_REPORT[1:], vg)), bool(system_id)


def _duplicates(lvm: Lvm, report: Report) -> Mapping[str, Sequence[str]]:
    """Return the duplicate devices that LVM does not use, by the UUID of their physical volume.

    Components of a multipath device do not count: LVM skips them before it looks for duplicates.
    """
    found: dict[str, list[str]] = {}
    for row in lvm.report(("pvs", "--all", *_FOREIGN, "-o", "pv_name,pv_uuid,pv_duplicate"))["pv"]:
        if row["pv_duplicate"]:
            found.setdefault(row["pv_uuid"], []).append(row["pv_name"])
    return found


def _outdated(lvm: Lvm, report: Report) -> frozenset[str]:
    """Return the UUIDs of physical volumes whose metadata is older than that of the volume group.

    LVM only prints a warning about that. A report that sees one device alone gives the sequence number on that device.
    A number that is newer than in ``report`` is no fault: another process has just changed the volume group.
    """
    group, found = report["vg"][0], set[str]()
    for row in report["pv"]:
        if row["pv_name"].startswith("/") and row["pv_mda_used_count"] != "0":
            rows = lvm.alone(row["pv_name"]).report(("vgs", *_FOREIGN, "-o", "vg_uuid,vg_seqno"))["vg"]
            there = [int(each["vg_seqno"]) for each in rows if each["vg_uuid"] == group["vg_uuid"]]
            if not there or max(there) < int(group["vg_seqno"]):
                found.add(row["pv_uuid"])
    return frozenset(found)
