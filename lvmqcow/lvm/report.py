"""Parse LVM's JSON reports and make the picture of a volume group from them.

All decisions depend on fields of the reports. LVM's messages (`Report.warnings`) are only passed on to people.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume
from lvmqcow.core.physical import PhysicalVolume, Segment, free_extents
from lvmqcow.errors import CommandFailed

__all__ = [
    "FAILED",
    "FULL_REPORT",
    "Report",
    "Row",
    "complete_report",
    "devices",
    "first_report",
    "log_rows",
    "volume_group",
]

Row = Mapping[str, str]

FAILED: Final = 5
"""The exit status of a failed lvm. We also use it if a command succeeded and its report is incomplete."""

FULL_REPORT: Final = (
    "fullreport",
    *("--configreport", "vg"),
    "-o",
    "vg_name,vg_uuid,vg_seqno,vg_extent_size,vg_missing_pv_count,vg_permissions,vg_exported,vg_systemid,vg_lock_type,"
    "vg_clustered,max_lv,vg_allocation_policy",
    *("--configreport", "lv"),
    "-o",
    "lv_name,lv_uuid,lv_size,lv_tags,lv_active,lv_health_status,lv_attr,lv_autoactivation,lv_inactive_table,"
    "lv_kernel_major,lv_kernel_minor",
    *("--configreport", "pv"),
    "-o",
    "pv_name,pv_uuid,pv_size,pe_start,dev_size,pv_allocatable,pv_missing,pv_tags,pv_mda_used_count,pv_major,pv_minor",
    *("--configreport", "pvseg", "-o", "pv_uuid,pvseg_start,pvseg_size,lv_uuid"),
    *("--configreport", "seg", "-o", "seg_start"),
)
"""One command that reports all of a volume group (lvm-fullreport(8)). The caller appends the name."""

_NOT_MAPPED: Final = frozenset("sdiX")  # lvs(8): suspended, no table, inactive table only, unknown
_BLOCK_DEVICES: Final = Path("/sys/dev/block")


@dataclass(frozen=True)
class Report:
    """The rows of a report by their kind: ``vg``, ``lv``, ``pv`` and so on.

    ``warnings`` are the messages that LVM printed although the command succeeded. ``news`` are those of them that LVM
    had not printed before.
    """

    rows: Mapping[str, Sequence[Row]]
    warnings: tuple[str, ...] = ()
    news: tuple[str, ...] = ()

    def __getitem__(self, kind: str) -> Sequence[Row]:
        return self.rows[kind]


def volume_group(
    report: Report, another_hosts: bool, duplicates: Mapping[str, Sequence[str]], outdated: Collection[str]
) -> VolumeGroup:
    """Make the picture from a full report.

    ``another_hosts``: another host owns the volume group. ``duplicates`` has the duplicate devices that LVM does not
    use, by the UUID of their physical volume. ``outdated`` has the UUIDs of physical volumes with old metadata.

    Raises:
        LookupError, ValueError: the report is incomplete.
    """
    group = report["vg"][0]
    segments: dict[str, list[Segment]] = {}
    for row in report["pvseg"]:
        piece = Segment(int(row["pvseg_start"]), int(row["pvseg_size"]), row["lv_uuid"])
        segments.setdefault(row["pv_uuid"], []).append(piece)
    physical_volumes = tuple(
        _physical_volume(row, segments.get(row["pv_uuid"], ()), duplicates, outdated) for row in report["pv"]
    )
    return VolumeGroup(
        name=group["vg_name"],
        uuid=group["vg_uuid"],
        extent_size_bytes=int(group["vg_extent_size"]),
        free_extents=free_extents(physical_volumes),
        logical_volumes=tuple(sorted(map(_logical_volume, report["lv"]), key=lambda lv: lv.name)),
        missing_physical_volumes=int(group["vg_missing_pv_count"]),
        physical_volumes=physical_volumes,
        exported=group["vg_exported"] == "exported",
        owner=group["vg_systemid"] if another_hosts else None,
        lock_type="clustered" if group["vg_clustered"] else group["vg_lock_type"],
        read_only=group["vg_permissions"] != "writeable",
        max_logical_volumes=int(group["max_lv"]),
        allocation_policy=group["vg_allocation_policy"],
    )


def devices(report: Report) -> tuple[str, ...]:
    """Return the paths of the physical volumes, without missing ones."""
    return tuple(row["pv_name"] for row in report["pv"] if row["pv_name"].startswith("/"))


@contextmanager
def complete_report(argv: Sequence[str]) -> Iterator[None]:
    """Turn a LookupError or ValueError of the block, which reads a report, into CommandFailed."""
    try:
        yield
    except (LookupError, ValueError) as error:
        raise CommandFailed(argv, FAILED, f"the command succeeded, but its report is incomplete: {error!r}") from error


def first_report(
    argv: Sequence[str], document: object, warnings: tuple[str, ...] = (), news: tuple[str, ...] = ()
) -> Report:
    """Return the report in a JSON document of LVM. Raises CommandFailed."""
    match document:
        case {"report": [dict(report), *_]} if all(map(_are_rows, report.values())):
            return Report(cast(Mapping[str, Sequence[Row]], report), warnings, news)
        case _:
            raise CommandFailed(argv, FAILED, "the command succeeded, but reported nothing")


def log_rows(argv: Sequence[str], document: object) -> Sequence[Row]:
    """Return the log in a JSON document of the lvm shell. The last row has the status. Raises CommandFailed."""
    match document:
        case {"log": [_, *_] as log} if _are_rows(log) and log[-1].get("log_ret_code", "").lstrip("-").isdecimal():
            return cast(Sequence[Row], log)
        case _:
            raise CommandFailed(argv, FAILED, "the answer does not say whether the command succeeded")


def _logical_volume(row: Row) -> LogicalVolume:
    return LogicalVolume(
        name=row["lv_name"],
        uuid=row["lv_uuid"],
        size_bytes=int(row["lv_size"]),
        tags=_words(row["lv_tags"]),
        active=row["lv_active"] == "active",
        partial=row["lv_health_status"] == "partial",
        writable=row["lv_attr"][1] != "r",  # lv_permissions is unknown for an inactive LV
        suspended=row["lv_attr"][4] in _NOT_MAPPED,
        autoactivated=row["lv_autoactivation"] == "enabled",
        has_inactive_table=row["lv_inactive_table"] == "inactive table present",  # it may be "unknown"
        device_number=_device_number(row),
    )


def _device_number(row: Row) -> tuple[int, int] | None:
    major, minor = int(row["lv_kernel_major"]), int(row["lv_kernel_minor"])
    return None if minor < 0 else (major, minor)


def _physical_volume(
    row: Row, segments: Sequence[Segment], duplicates: Mapping[str, Sequence[str]], outdated: Collection[str]
) -> PhysicalVolume:
    missing = row["pv_missing"] == "missing"
    return PhysicalVolume(
        uuid=row["pv_uuid"],
        device=row["pv_name"],
        segments=tuple(segments),
        tags=_words(row["pv_tags"]),
        needed_bytes=int(row["pe_start"]) + int(row["pv_size"]),
        device_bytes=int(row["dev_size"]),
        allocatable=row["pv_allocatable"] == "allocatable",
        missing=missing,
        read_only=not missing and _takes_no_writes(row["pv_major"], row["pv_minor"]),
        duplicates=tuple(duplicates.get(row["pv_uuid"], ())),
        outdated=row["pv_uuid"] in outdated,
    )


def _takes_no_writes(major: str, minor: str) -> bool:
    """Return whether the kernel has the device read-only. LVM has no field for that. Unknown counts as writable."""
    try:
        return (_BLOCK_DEVICES / f"{major}:{minor}" / "ro").read_text().strip() == "1"
    except OSError:
        return False


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split(",")) - {""}


def _are_rows(found: object) -> bool:
    return isinstance(found, list) and all(
        isinstance(row, dict) and all(isinstance(value, str) for value in row.values()) for row in found
    )
