"""Find the volume groups of a machine that hold volumes."""

from __future__ import annotations

from lvmqcow.core.lv import LogicalVolume
from lvmqcow.core.names import as_volume_name
from lvmqcow.lvm.commands import Lvm
from lvmqcow.lvm.report import Row

__all__ = ["groups_with_volumes"]


def groups_with_volumes(lvm: Lvm) -> tuple[str, ...]:
    """Return the names of the volume groups with an LV whose name or tags are those of a volume, from one report.

    Raises:
        CommandFailed.
    """
    rows = lvm.report(("vgs", "-o", "vg_name,lv_name,lv_tags"))["vg"]  # lvs leaves out exported volume groups
    return tuple(sorted({row["vg_name"] for row in rows if _of_a_volume(row)}))


def _of_a_volume(row: Row) -> bool:
    lv = LogicalVolume(row["lv_name"], "", 0, frozenset(row["lv_tags"].split(",")), active=False)
    return bool(lv.named_volumes) or as_volume_name(lv.name) is not None
