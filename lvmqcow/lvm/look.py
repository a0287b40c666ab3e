"""A look at a volume group through LVM: its picture, in one report, and what LVM is shown from then on.

The first look sees all devices of the machine. Every command after it sees the group's own physical volumes only. That
has a price: LVM refuses to change a volume group while a second device has the UUID of one of its physical volumes, and
it can refuse only what it sees. So:

- Where LVM warns of anything, all devices are looked at, and LVM is asked in fields what is wrong.
- While a physical volume is in doubt, every command sees all devices. So LVM's own refusals hold, and the next look
  shows whether the trouble is over.
- Which of two such devices LVM prefers does not matter: nothing is changed then (`lvmqcow.core.fitness`).
- A copy that turns up after the first look is not seen. This storage stays with the devices of its first look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.errors import CommandFailed, VolumeGroupNotFound
from lvmqcow.lvm.commands import Lvm
from lvmqcow.lvm.report import FULL_REPORT, Report, complete_report, devices, volume_group

__all__ = ["read_volume_group"]

_FOREIGN: Final = ("--foreign", "--shared")  # another host's too, and what lvmlockd would have to lock


def read_volume_group(lvm: Lvm, vg: str) -> VolumeGroup:
    """The picture of a volume group, in one report (lvm-fullreport(8)).

    The first looks at the whole machine; from then on ``lvm`` sees the group's own physical volumes.

    Raises:
        VolumeGroupNotFound: it is not there.
        CommandFailed: LVM could not read it whole.
    """
    try:
        picture = _read(lvm, vg)
    except CommandFailed:
        if not lvm.physical_volumes:
            raise
        lvm.physical_volumes, lvm.sees_all = (), False  # it may have been given another physical volume since
        picture = _read(lvm, vg)
    return picture


def _read(lvm: Lvm, vg: str) -> VolumeGroup:
    argv = (*FULL_REPORT, vg)
    report, another_hosts = _full_report(lvm, vg)
    if report.news and lvm.physical_volumes and not lvm.sees_all:
        lvm.sees_all = True  # what it warns of may have to do with devices that it was not shown
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
    """The report, and whether it is of another host's volume group: those LVM shows only to whoever insists."""
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
    """The devices that LVM does not use for a physical volume since it uses another, by that one's UUID.

    Components of a multipath device are not among them: LVM passes them over before it looks for duplicates.
    """
    found: dict[str, list[str]] = {}
    for row in lvm.report(("pvs", "--all", *_FOREIGN, "-o", "pv_name,pv_uuid,pv_duplicate"))["pv"]:
        if row["pv_duplicate"]:
            found.setdefault(row["pv_uuid"], []).append(row["pv_name"])
    return found


def _outdated(lvm: Lvm, report: Report) -> frozenset[str]:
    """The UUIDs of physical volumes whose metadata is older than the volume group's.

    LVM warns of that in words only; asked of one device alone, it gives that one's number. A newer one than we saw is
    no trouble: somebody has just changed the group.
    """
    group, found = report["vg"][0], set[str]()
    for row in report["pv"]:
        if row["pv_name"].startswith("/") and row["pv_mda_used_count"] != "0":
            rows = lvm.alone(row["pv_name"]).report(("vgs", *_FOREIGN, "-o", "vg_uuid,vg_seqno"))["vg"]
            there = [int(each["vg_seqno"]) for each in rows if each["vg_uuid"] == group["vg_uuid"]]
            if not there or max(there) < int(group["vg_seqno"]):
                found.add(row["pv_uuid"])
    return frozenset(found)
