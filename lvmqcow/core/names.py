"""Names and tags: what a logical volume is called, and what its name says.

A layout says what the logical volume of a snapshot is called. All other names are the same in both layouts::

    vm-100-disk-0.qcow2              the current logical volume of a qcow2 volume
    vm-100-disk-0                    a raw volume
    snap-s1-vm-100-disk-0.qcow2      its snapshot s1 in the layout of the seed patch (``get_snap_name``)
    snap_vm-100-disk-0_s1.qcow2      its snapshot s1 in the layout of Proxmox VE 9
    new-vm-100-disk-0.qcow2          the next current logical volume, while a snapshot is being taken
    del-snap-s1-vm-100-disk-0.qcow2  no longer part of the volume; it waits for its removal

A snapshot belongs to a volume by its tag first and by its name second, because a name can have two readings:
``snap-s-vm-100-vm-100-x.qcow2`` has two, and so has ``snap_vm-100-a_b_c.qcow2``. This module refuses all names of the
first kind. The planners refuse names of the second kind if both volumes exist. This module also refuses every name that
LVM would refuse later, in the middle of an operation.
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
"""The name of the live state of a volume, where a snapshot could be named too. No snapshot may have this name."""

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
# LVs of a volume, which need not exist. If a name has two readings, the one with the shorter disk name counts.
_PARTS = (
    re.compile(r"new-(?P<volume>vm-.+)"),
    re.compile(r"snap-.+-(?P<volume>vm-[0-9]+-.+)"),
    re.compile(r"snap_(?P<volume>vm-.+?)_.+(?P<suffix>\.qcow2)"),
)


class Format(StrEnum):
    """The format of a volume's bytes."""

    RAW = "raw"
    QCOW2 = "qcow2"


class Layout(StrEnum):
    """How the logical volumes of snapshots are named."""

    RFC = "rfc"
    """``snap-<snapshot>-<volume>``, as in the seed patch."""
    PVE9 = "pve9"
    """``snap_<volume without .qcow2>_<snapshot>.qcow2``, as in Proxmox VE 9."""


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
        """The tags that every LV of the volume has: that of the virtual machine, and for qcow2 that of the volume."""
        machine = f"pve-vm-{self.vmid}"
        return (machine, self.volume_tag) if self.format is Format.QCOW2 else (machine,)

    @property
    def volume_tag(self) -> str:
        return f"pve-{self.text}"


def parse_volume_name(name: str, requested: Format | None = None) -> VolumeName:
    """Read ``vm-<vmid>-<disk>[.qcow2]`` (seed: ``parse_volname``).

    Raises:
        InvalidName: the name does not have that form, or LVM would refuse it, or its snapshots' names would be
            ambiguous.
        FormatMismatch: the suffix is not that of the format ``requested``.
    """
    match = _VOLUME.fullmatch(name)
    if match is None:
        raise InvalidName(
            "volume", name, "a name is vm-<id>-<disk>, ends in .qcow2 for qcow2, and has only A-Z a-z 0-9 + _ . -"
        )
    _check_reserved("volume", name)
    disk = name.removeprefix(f"vm-{match[1]}-")
    if _AMBIGUOUS.search(disk):
        raise InvalidName("volume", name, "vm-<id>- occurs twice, so the names of its snapshots would be ambiguous")
    if disk == ".qcow2":
        raise InvalidName("volume", name, "the disk name before .qcow2 is empty")
    volume = VolumeName(name, int(match[1]))
    if requested is not None and requested is not volume.format:
        raise FormatMismatch(name, volume.format, requested)
    return volume


def as_volume_name(text: str) -> VolumeName | None:
    """Read a volume name as `parse_volume_name` does; return None if the text is not one."""
    try:
        return parse_volume_name(text)
    except InvalidName:
        return None


def disk_name(vmid: int, number: int, format: Format) -> VolumeName:
    """Return the usual name of a machine's disk, ``vm-<vmid>-disk-<number>[.qcow2]``. Raises InvalidName."""
    return parse_volume_name(f"vm-{vmid}-disk-{number}{'.qcow2' if format is Format.QCOW2 else ''}")


def in_other_format(volume: VolumeName) -> VolumeName:
    """Return the same name with the suffix of the other format. Raises InvalidName."""
    text = volume.text
    return parse_volume_name(text.removesuffix(".qcow2") if volume.format is Format.QCOW2 else f"{text}.qcow2")


def free_disk_number(vmid: int, texts: Iterable[str]) -> int:
    """Return the lowest disk number of a machine that none of ``texts``, LV names and tags, mentions in any format.

    Every mention counts: the name of a snapshot, of an LV that waits for its removal, or the target of a rename.
    """
    mention = re.compile(rf"(?:^|[-_/=])vm-{vmid}-disk-(0|[1-9][0-9]*)(?:\.qcow2)?(?:[_/].*)?$")
    taken = {int(match[1]) for text in texts if (match := mention.search(text))}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def check_snapshot_name(snapshot: str) -> None:
    """Refuse a snapshot name that LVM would refuse or that has a second reading.

    Raises:
        InvalidName: with the reason.
    """
    if snapshot == CURRENT:
        raise InvalidName("snapshot", snapshot, "this name means the live state of the volume")
    if not re.fullmatch(rf"[A-Za-z0-9][{_LVM_CHARACTERS}]*", snapshot):
        reason = "a name begins with a letter or digit and has only A-Z a-z 0-9 + _ . -"
        raise InvalidName("snapshot", snapshot, reason)
    if _AMBIGUOUS.search(snapshot):
        raise InvalidName("snapshot", snapshot, "vm-<id> occurs in it, so the name would be ambiguous")
    _check_reserved("snapshot", snapshot)


def check_vg_name(vg: str) -> None:
    """Refuse a volume group name that lvm2 refuses, or that a command would take for an option or a path.

    Raises:
        InvalidName: with the reason.
    """
    if not re.fullmatch(rf"[A-Za-z0-9+_.][{_LVM_CHARACTERS}]*", vg) or vg in {".", ".."}:
        raise InvalidName("volume group", vg, "a name has only A-Z a-z 0-9 + _ . - and does not begin with a hyphen")


def check_fits(vg: str, volume: VolumeName) -> None:
    """Refuse a volume whose LV name would become too long for device-mapper, now or later.

    Raises:
        InvalidName: with the number of characters that are too many.
    """
    _check_length(vg, volume.text, "volume", volume.text)


def check_snapshot_fits(vg: str, volume: VolumeName, snapshot: str, layout: Layout) -> None:
    """Refuse a snapshot whose LV name would be too long, or would contain a word that LVM reserves.

    ``snap_vm-100-disk-0_tmeta.qcow2`` contains such a word, ``_tmeta``.

    Raises:
        InvalidName: with the number of characters that are too many, or with the word.
    """
    lv_name = snapshot_lv_name(volume, snapshot, layout)
    _check_length(vg, lv_name, "snapshot", snapshot)
    found = _LVM_RESERVED.search(lv_name)
    if found:
        raise InvalidName("snapshot", snapshot, f"its LV would be named {lv_name}, and LVM reserves {found[0]!r}")


def snapshot_lv_name(volume: VolumeName, snapshot: str, layout: Layout) -> str:
    """Return the name of the logical volume of a snapshot."""
    before, after = _around(volume, layout)
    return f"{before}{snapshot}{after}"


def snapshot_of(lv_name: str, volume: VolumeName) -> str | None:
    """Return the snapshot's name if ``lv_name`` names a snapshot of ``volume`` in either layout; else None."""
    layout = layout_of(lv_name, volume)
    if layout is None:
        return None
    before, after = _around(volume, layout)
    return lv_name[len(before) : -len(after)]


def layout_of(lv_name: str, volume: VolumeName) -> Layout | None:
    """Return the layout in which ``lv_name`` names a snapshot of ``volume``; None if it names none."""
    if volume.format is Format.RAW:
        return None
    for layout in Layout:
        before, after = _around(volume, layout)
        if lv_name.startswith(before) and lv_name.endswith(after) and len(lv_name) > len(before) + len(after):
            return layout
    return None


def renamed_lv_name(lv_name: str, old: VolumeName, new: VolumeName) -> str:
    """Return what a layer of ``old`` is called once the volume is ``new``, in the same layout.

    A name that is not that of a layer of ``old`` is returned unchanged.
    """
    if lv_name == old.text:
        return new.text
    snapshot, layout = snapshot_of(lv_name, old), layout_of(lv_name, old)
    return snapshot_lv_name(new, snapshot, layout) if snapshot and layout else lv_name


def new_lv_name(volume: VolumeName) -> str:
    """Return the name of the next current LV while a snapshot is being taken."""
    return f"new-{volume.text}"


def pending_removal_name(lv_name: str, taken: Collection[str]) -> str:
    """Return the name under which an LV waits for its removal: ``del-NAME``, with a number if that is taken."""
    name, number = f"del-{lv_name}", 1
    while name in taken:
        number += 1
        name = f"del-{number}-{lv_name}"
    return name


def pending_removal_origin(lv_name: str) -> str | None:
    """Return the former name of an LV that waits for its removal; None if ``lv_name`` is not such a name."""
    match = _DOOMED.fullmatch(lv_name)
    return match[1] if match else None


def owner_of_part(lv_name: str) -> VolumeName | None:
    """Return the volume whose current LV, next current LV or snapshot has this name; None if the name is not ours."""
    for part in _PARTS:
        match = part.fullmatch(lv_name)
        if match and (owner := as_volume_name(match["volume"] + match.groupdict().get("suffix", ""))):
            return owner
    return as_volume_name(lv_name)


def dm_name(vg: str, lv_name: str) -> str:
    """Return the device-mapper name of an LV: ``VG-LV``, with every hyphen of both names doubled (libdevmapper)."""
    return "-".join(part.replace("-", "--") for part in (vg, lv_name))


def dm_uuid(vg_uuid: str, lv_uuid: str) -> str:
    """Return the device-mapper UUID of an LV: ``LVM-`` and both UUIDs without their hyphens (libdevmapper)."""
    return "LVM-" + (vg_uuid + lv_uuid).replace("-", "")


def lv_of_dm_name(vg: str, name: str) -> str | None:
    """Return the LV of the volume group ``vg`` that a device-mapper name stands for.

    Return None for a device of another volume group, a layer below an LV (``vg-lv-real``) and a sub-volume of LVM.
    """
    before = f"{vg.replace('-', '--')}-"
    rest = name.removeprefix(before)
    if rest == name or not rest or re.search(r"(?<!-)-(?:--)*(?!-)", rest):
        return None
    lv_name = rest.replace("--", "-")
    return None if _LVM_RESERVED.search(lv_name) or _LVM_OWN.fullmatch(lv_name) else lv_name


def device_path(vg: str, lv_name: str) -> str:
    """Return the path of an LV that QEMU gets, ``/dev/VG/LV``.

    QEMU resolves relative backing file names in the directory of this path. In ``/dev/mapper`` it would not find them.
    """
    return f"/dev/{vg}/{lv_name}"


def _around(volume: VolumeName, layout: Layout) -> tuple[str, str]:
    """Return what stands before and after the snapshot's name in the name of its LV."""
    match layout:
        case Layout.RFC:
            return "snap-", f"-{volume.text}"
        case Layout.PVE9:
            return f"snap_{volume.text.removesuffix('.qcow2')}_", ".qcow2"
        case _:
            assert_never(layout)


def _check_length(vg: str, lv_name: str, kind: str, name: str) -> None:
    """Measure the longest name that the LV can get, which is the one under which it waits for its removal."""
    longest = f"del-99-{lv_name}"
    over = len(dm_name(vg, longest)) - _DM_NAME_LENGTH
    if over > 0:
        raise InvalidName(kind, name, f"together with {vg!r} the name is {over} characters too long for device-mapper")


def _check_reserved(kind: str, name: str) -> None:
    found = _LVM_RESERVED.search(name)
    if found:
        raise InvalidName(kind, name, f"LVM reserves {found[0]!r}")
