"""Names and tags: what a logical volume is called, and what its name says.

A layout says what the logical volume of a snapshot is called; all the rest is the same in both::

    vm-100-disk-0.qcow2              the current logical volume of a qcow2 volume
    vm-100-disk-0                    a raw volume
    snap-s1-vm-100-disk-0.qcow2      its snapshot s1 in the layout of the seed patch (``get_snap_name``)
    snap_vm-100-disk-0_s1.qcow2      the same in that of Proxmox VE 9
    new-vm-100-disk-0.qcow2          the next current one, being made by a snapshot
    del-snap-s1-vm-100-disk-0.qcow2  no longer part of the volume, about to be removed

A snapshot belongs to a volume by its tag first and by its name second, because names alone are ambiguous:
``snap-s-vm-100-vm-100-x.qcow2`` could be two things, and so could ``snap_vm-100-a_b_c.qcow2``. The first kind is
refused here, for any names; the second by the planners, where a volume is there to be taken for it. Refused here is
also all that LVM would refuse later, midway through an operation.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from lvmqcow.errors import FormatMismatch, InvalidName

__all__ = [
    "CURRENT",
    "Format",
    "Layout",
    "VolumeName",
    "as_volume_name",
    "check_fits",
    "check_snapshot_fits",
    "check_snapshot_name",
    "check_vg_name",
    "device_path",
    "disk_name",
    "dm_name",
    "dm_uuid",
    "free_disk_number",
    "in_other_format",
    "layout_of",
    "lv_of_dm_name",
    "new_lv_name",
    "owner_of_part",
    "parse_volume_name",
    "pending_removal_name",
    "pending_removal_origin",
    "renamed_lv_name",
    "snapshot_lv_name",
    "snapshot_of",
]

CURRENT = "current"
"""What the live state of a volume is called where a snapshot could be named; no snapshot may take it."""

_LVM_CHARACTERS = "A-Za-z0-9+_.-"
# lvm2 keeps these for its own sub-volumes and refuses them anywhere in a name (lvm(8), VALID NAMES).
_LVM_RESERVED = re.compile(
    r"_(?:cpool|tdata|tmeta|mlog|mimage|rimage|rmeta|cdata|cmeta|corig|pmspare|vdata|vorigin|wcorig|iorig|imeta|cvol)"
)
_LVM_OWN = re.compile(r"(?:pvmove|snapshot)[0-9]+")
# device-mapper names end at 127 characters; "VG-LV" is one, with every hyphen of both written twice.
_DM_NAME_LENGTH = 127
_VOLUME = re.compile(rf"vm-([0-9]{{1,9}})-[{_LVM_CHARACTERS}]+")
_AMBIGUOUS = re.compile(r"(?:^|-)vm-[0-9]+(?:-|$)")
_DOOMED = re.compile(r"del-(?:[0-9]+-)?(.+)")
# A part of a volume that need not be there; of two ways to read one, that with the shorter name of the disk.
_PARTS = (
    re.compile(r"new-(?P<volume>vm-.+)"),
    re.compile(r"snap-.+-(?P<volume>vm-[0-9]+-.+)"),
    re.compile(r"snap_(?P<volume>vm-.+?)_.+(?P<suffix>\.qcow2)"),
)


class Format(StrEnum):
    """What the bytes of a volume are."""

    RAW = "raw"
    QCOW2 = "qcow2"


class Layout(StrEnum):
    """What the logical volumes of snapshots are called."""

    RFC = "rfc"
    """``snap-<snapshot>-<volume>``, as the seed patch has it."""
    PVE9 = "pve9"
    """``snap_<volume without .qcow2>_<snapshot>.qcow2``, as Proxmox VE 9 has it."""


@dataclass(frozen=True, order=True)
class VolumeName:
    """The name of a volume, which is also that of its current logical volume."""

    text: str
    vmid: int

    def __str__(self) -> str:
        return self.text

    @property
    def format(self) -> Format:
        return Format.QCOW2 if self.text.endswith(".qcow2") else Format.RAW

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of every layout: the machine's, and for qcow2 the volume's."""
        machine = f"pve-vm-{self.vmid}"
        return (machine, self.volume_tag) if self.format is Format.QCOW2 else (machine,)

    @property
    def volume_tag(self) -> str:
        return f"pve-{self.text}"


def parse_volume_name(name: str, requested: Format | None = None) -> VolumeName:
    """Read ``vm-<vmid>-<disk>[.qcow2]`` (seed: ``parse_volname``).

    Raises:
        InvalidName: it is not of that form, or LVM or the layout cannot carry it.
        FormatMismatch: the suffix does not say ``requested``.
    """
    match = _VOLUME.fullmatch(name)
    if match is None:
        raise InvalidName(
            "volume", name, "it must be vm-<id>-<disk>, ending in .qcow2 for qcow2, of A-Z a-z 0-9 + _ . -"
        )
    _check_reserved("volume", name)
    disk = name.removeprefix(f"vm-{match[1]}-")
    if _AMBIGUOUS.search(disk):
        raise InvalidName("volume", name, "with vm-<id>- in it twice, its snapshots' names could be read two ways")
    if disk == ".qcow2":
        raise InvalidName("volume", name, "it has no disk name before .qcow2")
    volume = VolumeName(name, int(match[1]))
    if requested is not None and requested is not volume.format:
        raise FormatMismatch(name, volume.format, requested)
    return volume


def as_volume_name(text: str) -> VolumeName | None:
    """As `parse_volume_name`, and None for what is no volume's name."""
    try:
        return parse_volume_name(text)
    except InvalidName:
        return None


def disk_name(vmid: int, number: int, format: Format) -> VolumeName:
    """The usual name of a machine's disk, ``vm-<vmid>-disk-<number>[.qcow2]``. Raises InvalidName."""
    return parse_volume_name(f"vm-{vmid}-disk-{number}{'.qcow2' if format is Format.QCOW2 else ''}")


def in_other_format(volume: VolumeName) -> VolumeName:
    """The name that differs in nothing but the format it says. Raises InvalidName."""
    text = volume.text
    return parse_volume_name(text.removesuffix(".qcow2") if volume.format is Format.QCOW2 else f"{text}.qcow2")


def free_disk_number(vmid: int, texts: Iterable[str]) -> int:
    """The lowest number of a disk that no LV name and no tag among ``texts`` mentions, in whatever format.

    A mention is enough: leftovers, snapshots in the layout of another tool, and what a rename is on its way to.
    """
    mention = re.compile(rf"(?:^|[-_/=])vm-{vmid}-disk-(0|[1-9][0-9]*)(?:\.qcow2)?(?:[_/].*)?$")
    taken = {int(match[1]) for text in texts if (match := mention.search(text))}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def check_snapshot_name(snapshot: str) -> None:
    """Refuse a snapshot name that LVM, the layout or a reader could take for something else.

    Raises:
        InvalidName: with the reason.
    """
    if snapshot == CURRENT:
        raise InvalidName("snapshot", snapshot, "it means the live state of the volume")
    if not re.fullmatch(rf"[A-Za-z0-9][{_LVM_CHARACTERS}]*", snapshot):
        raise InvalidName("snapshot", snapshot, "it must begin with a letter or digit and be of A-Z a-z 0-9 + _ . -")
    if _AMBIGUOUS.search(snapshot):
        raise InvalidName("snapshot", snapshot, "with vm-<id> in it, the name could be read two ways")
    _check_reserved("snapshot", snapshot)


def check_vg_name(vg: str) -> None:
    """Refuse what lvm2 refuses as a volume group name, and what would be an option or a path.

    Raises:
        InvalidName: with the reason.
    """
    if not re.fullmatch(rf"[A-Za-z0-9+_.][{_LVM_CHARACTERS}]*", vg) or vg in {".", ".."}:
        raise InvalidName("volume group", vg, "it must be of A-Z a-z 0-9 + _ . - and not begin with a hyphen")


def check_fits(vg: str, volume: VolumeName) -> None:
    """Refuse a volume whose name device-mapper could not carry at any moment of its life.

    Raises:
        InvalidName: too long, by how much.
    """
    _check_length(vg, volume.text, "volume", volume.text)


def check_snapshot_fits(vg: str, volume: VolumeName, snapshot: str, layout: Layout) -> None:
    """As `check_fits`, for a snapshot of the volume; ``snap_vm-100-disk-0_tmeta.qcow2`` holds a word of LVM's too.

    Raises:
        InvalidName: too long, by how much; or the word.
    """
    lv_name = snapshot_lv_name(volume, snapshot, layout)
    _check_length(vg, lv_name, "snapshot", snapshot)
    found = _LVM_RESERVED.search(lv_name)
    if found:
        raise InvalidName("snapshot", snapshot, f"its logical volume would be {lv_name}, and LVM keeps {found[0]!r}")


def snapshot_lv_name(volume: VolumeName, snapshot: str, layout: Layout) -> str:
    """The logical volume that holds a snapshot."""
    before, after = _around(volume, layout)
    return f"{before}{snapshot}{after}"


def snapshot_of(lv_name: str, volume: VolumeName) -> str | None:
    """The snapshot's name, if ``lv_name`` is one of ``volume`` in whatever layout; else None."""
    layout = layout_of(lv_name, volume)
    if layout is None:
        return None
    before, after = _around(volume, layout)
    return lv_name[len(before) : -len(after)]


def layout_of(lv_name: str, volume: VolumeName) -> Layout | None:
    """The layout in which ``lv_name`` is that of a snapshot of ``volume``; None if it is none. Raw ones have none."""
    if volume.format is Format.RAW:
        return None
    for layout in Layout:
        before, after = _around(volume, layout)
        if lv_name.startswith(before) and lv_name.endswith(after) and len(lv_name) > len(before) + len(after):
            return layout
    return None


def renamed_lv_name(lv_name: str, old: VolumeName, new: VolumeName) -> str:
    """What a layer of ``old`` is called once the volume is ``new``, in the same layout; any other name stays."""
    if lv_name == old.text:
        return new.text
    snapshot, layout = snapshot_of(lv_name, old), layout_of(lv_name, old)
    return snapshot_lv_name(new, snapshot, layout) if snapshot and layout else lv_name


def new_lv_name(volume: VolumeName) -> str:
    """Where a snapshot makes the next current logical volume, before it takes its place."""
    return f"new-{volume.text}"


def pending_removal_name(lv_name: str, taken: Collection[str]) -> str:
    """The name under which a logical volume waits for removal; numbered when that is taken."""
    name, number = f"del-{lv_name}", 1
    while name in taken:
        number += 1
        name = f"del-{number}-{lv_name}"
    return name


def pending_removal_origin(lv_name: str) -> str | None:
    """What a ``del-`` logical volume was called before, or None if it is not one."""
    match = _DOOMED.fullmatch(lv_name)
    return match[1] if match else None


def owner_of_part(lv_name: str) -> VolumeName | None:
    """The volume of which ``lv_name`` is the current LV, the next one or a snapshot, by the name alone; or None."""
    for part in _PARTS:
        match = part.fullmatch(lv_name)
        if match and (owner := as_volume_name(match["volume"] + match.groupdict().get("suffix", ""))):
            return owner
    return as_volume_name(lv_name)


def dm_name(vg: str, lv_name: str) -> str:
    """What device-mapper calls the device of an LV: hyphens of either name are doubled (libdevmapper)."""
    return "-".join(part.replace("-", "--") for part in (vg, lv_name))


def dm_uuid(vg_uuid: str, lv_uuid: str) -> str:
    """What the device of an LV is known by, whatever its name: both UUIDs, without their hyphens (libdevmapper)."""
    return "LVM-" + (vg_uuid + lv_uuid).replace("-", "")


def lv_of_dm_name(vg: str, name: str) -> str | None:
    """The LV of the group ``vg`` that a device-mapper name stands for.

    None for another group's, for a layer below an LV (``vg-lv-real``), and for LVM's own sub-volumes.
    """
    before = f"{vg.replace('-', '--')}-"
    rest = name.removeprefix(before)
    if rest == name or not rest or re.search(r"(?<!-)-(?:--)*(?!-)", rest):
        return None
    lv_name = rest.replace("--", "-")
    return None if _LVM_RESERVED.search(lv_name) or _LVM_OWN.fullmatch(lv_name) else lv_name


def device_path(vg: str, lv_name: str) -> str:
    """The path given to QEMU: relative backing names resolve next to it, through ``/dev/mapper`` they would not."""
    return f"/dev/{vg}/{lv_name}"


def _around(volume: VolumeName, layout: Layout) -> tuple[str, str]:
    """What stands before and after a snapshot's name in that of its logical volume."""
    match layout:
        case Layout.RFC:
            return "snap-", f"-{volume.text}"
        case Layout.PVE9:
            return f"snap_{volume.text.removesuffix('.qcow2')}_", ".qcow2"
        case _:
            assert_never(layout)


def _check_length(vg: str, lv_name: str, kind: str, name: str) -> None:
    """The longest name is that of a logical volume on its way out, so that one is measured."""
    longest = f"del-99-{lv_name}"
    over = len(dm_name(vg, longest)) - _DM_NAME_LENGTH
    if over > 0:
        raise InvalidName(kind, name, f"with {vg!r} it is {over} characters too long for device-mapper")


def _check_reserved(kind: str, name: str) -> None:
    found = _LVM_RESERVED.search(name)
    if found:
        raise InvalidName(kind, name, f"LVM keeps {found[0]!r} for itself")
