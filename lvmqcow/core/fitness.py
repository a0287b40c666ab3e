"""Whether a volume group may be changed: the states it can be in, and what each of them forbids.

LVM reports most of these and goes on; some it refuses itself, but only while it sees every device, and we show it no
other than the group's own. So all of them are judged here, in one place, before the first step of any request or
recovery. Looking (``list``, ``info``, ``check``) works in all of them, as far as LVM lets anybody look.

==================  ================================  ========  =====================================================
state               what LVM says, as a field         changes   what ends it
==================  ================================  ========  =====================================================
exported            ``vg_exported``                   refused   ``vgimport``
another-host        ``vg_systemid`` is not ours       refused   work there; or ``vgchange --systemid``, lvmsystemid(7)
shared              ``vg_lock_type``                  refused   we do not take lvmlockd's locks: no other way yet
read-only           ``vg_permissions``                refused   ``vgcfgrestore`` of metadata that is writable
missing             ``pv_missing``                    refused   bring it back, ``vgextend --restoremissing``
duplicate           ``pv_duplicate``                  refused   hide or remove the copy: lvm.conf(5) ``global_filter``,
                                                                ``lvmdevices``, ``vgimportclone``
read-only-device    ``/sys/dev/block/…/ro``           refused   ``blockdev --setrw``, or the array's own setting
device-too-small    ``dev_size``, ``pv_size``         consent   give the device its size back, or ``pvresize``
old-metadata        ``vg_seqno``, device by device    consent   ``vgck --updatemetadata``, once it is certain which is
                                                                right
not-allocatable     ``pv_allocatable``                noted     its free space is not counted; ``pvchange -x y``
lv-limit            ``max_lv``                        new LVs   ``vgchange --logicalvolume 0``
allocation          ``vg_allocation_policy``          noted     what it cannot give is not counted; ``vgchange --alloc``
==================  ================================  ========  =====================================================

*refused*: every change, by name, also recovery. *consent*: the same, unless whoever calls accepts that state by its
name, for that one call (``--accept STATE``, `lvmqcow.Storage.accepting`): LVM would go on, and so do we then.
*new LVs*: what makes an LV is refused. *noted*: said, and taken into account.

All that LVM warns of besides is passed on to the user and refuses nothing: an outdated physical volume that is no
longer part of the group, a device that an active LV uses instead of the one that LVM would choose, the trouble of
another group.

A clustered volume group (``vg_clustered``, from before lvm2 2.03) is not here: LVM lets nobody look at it, so it is not
found, and what LVM says of it is in that error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.physical import PhysicalVolume
from lvmqcow.errors import NotPossible, Unchangeable
from lvmqcow.units import format_apart

__all__ = ["ACCEPTABLE", "Condition", "State", "activatable", "conditions", "require_changeable", "require_lv_slot"]


class State(StrEnum):
    """What a volume group can be, other than ready. The names are those of the table above."""

    EXPORTED = "exported"
    ANOTHER_HOST = "another-host"
    SHARED = "shared"
    READ_ONLY = "read-only"
    MISSING = "missing"
    DUPLICATE = "duplicate"
    READ_ONLY_DEVICE = "read-only-device"
    DEVICE_TOO_SMALL = "device-too-small"
    OLD_METADATA = "old-metadata"
    NOT_ALLOCATABLE = "not-allocatable"
    LV_LIMIT = "lv-limit"
    ALLOCATION = "allocation"


ACCEPTABLE: Final = frozenset({State.DEVICE_TOO_SMALL, State.OLD_METADATA})
"""What may be changed all the same, by whoever says so."""

_NOTED: Final = frozenset({State.NOT_ALLOCATABLE, State.LV_LIMIT, State.ALLOCATION})
_READABLE: Final = frozenset({State.MISSING, *ACCEPTABLE})
_RESTRICTIVE: Final = frozenset({"contiguous", "cling", "cling_by_tags"})


@dataclass(frozen=True)
class Condition:
    """A state that a volume group is in: what it means, and what to do. ``refuses``: every change."""

    state: State
    text: str
    advice: str
    refuses: bool


def conditions(vg: VolumeGroup) -> tuple[Condition, ...]:
    """All states that the volume group is in, in the order of the table; none where it is ready."""
    return tuple(
        Condition(state, *said, refuses=state not in _NOTED and state not in vg.accepted)
        for state, said in ((state, judge(vg)) for state, judge in _JUDGES.items())
        if said
    )


def activatable(vg: VolumeGroup) -> bool:
    """Whether LVs may be activated to be looked at: that changes no metadata, but it may take the wrong device."""
    return not any(each.refuses and each.state not in _READABLE for each in conditions(vg))


def require_changeable(vg: VolumeGroup) -> None:
    """Raises Unchangeable where any state of the volume group refuses changes; it names all that do."""
    refusing = [condition for condition in conditions(vg) if condition.refuses]
    if refusing:
        advice = "; ".join(_with_consent(condition) for condition in refusing)
        raise Unchangeable(vg.name, {each.state.value: each.text for each in refusing}, advice)


def require_lv_slot(vg: VolumeGroup) -> None:
    """Raises NotPossible where the volume group may have no more LVs (``max_lv``)."""
    if said := _lv_limit(vg):
        raise NotPossible(vg.name, *said)


def _with_consent(condition: Condition) -> str:
    if condition.state not in ACCEPTABLE:
        return condition.advice
    return f"{condition.advice}; to go on as it is, this once: --accept {condition.state}"


_Said = tuple[str, str] | None


def _exported(vg: VolumeGroup) -> _Said:
    if not vg.exported:
        return None
    return "it is exported, to be taken to another host", f"if it is to stay here: vgimport {vg.name}"


def _another_host(vg: VolumeGroup) -> _Said:
    if vg.owner is None:
        return None
    text = f"it belongs to another host: its system ID is {vg.owner!r}, and that is not this host's"
    take_over = f"vgchange --config 'local/extra_system_ids=[\"{vg.owner}\"]' --systemid THIS_HOSTS_ID {vg.name}"
    advice = f"work on it there, or hand it over with vgexport; if that host is gone for good: {take_over}"
    return text, f"{advice} (this host has to have a system ID for that: lvmsystemid(7))"


def _shared(vg: VolumeGroup) -> _Said:
    if not vg.lock_type:
        return None
    text = f"it is shared between hosts: its lock type is {vg.lock_type}, and lvmqcow does not take these locks"
    return text, f"nothing can be changed from here; for one host alone: vgchange --locktype none {vg.name}"


def _read_only(vg: VolumeGroup) -> _Said:
    if not vg.read_only:
        return None
    return "LVM's metadata says that it is read-only", f"vgcfgrestore --list {vg.name} names metadata from before"


def _missing(vg: VolumeGroup) -> _Said:
    if not vg.missing_physical_volumes:
        return None
    named = _named(vg.physical_volumes, lambda each: each.missing)
    which = f" ({named})" if named else ""
    text = f"{vg.missing_physical_volumes} of its physical volumes are missing{which}: nothing can be changed"
    return text, f"`pvs` names them; once a disk is back: vgextend --restoremissing {vg.name} DEVICE"


def _duplicate(vg: VolumeGroup) -> _Said:
    pairs = [
        f"{' and '.join((each.device, *each.duplicates))} are both physical volume {each.uuid}"
        for each in vg.physical_volumes
        if each.duplicates
    ]
    if not pairs:
        return None
    advice = (
        "detach the copy, or hide it from LVM (global_filter in lvm.conf, or lvmdevices --deldev), "
        "or make it a volume group of its own (vgimportclone)"
    )
    return f"{'; '.join(pairs)}: which is the right one cannot be known", advice


def _read_only_device(vg: VolumeGroup) -> _Said:
    named = _named(vg.physical_volumes, lambda each: each.read_only)
    if not named:
        return None
    text = f"a device takes no writes, so LVM's metadata would be written to the others alone: {named}"
    return text, "make it writable (blockdev --setrw DEVICE, or where the disk comes from)"


def _device_too_small(vg: VolumeGroup) -> _Said:
    small = [
        f"{each.device} has {' of '.join(format_apart(each.device_bytes, each.needed_bytes))}"
        for each in vg.physical_volumes
        if each.too_small
    ]
    if not small:
        return None
    text = f"a device is smaller than the physical volume on it: {', '.join(small)}"
    return text, "give it its size back; if no LV is beyond its end: pvresize DEVICE"


def _old_metadata(vg: VolumeGroup) -> _Said:
    named = _named(vg.physical_volumes, lambda each: each.outdated)
    if not named:
        return None
    text = f"LVM's metadata is older than the volume group's on {named}: it was changed without that"
    advice = (
        f"compare (vgs --devices DEVICE -o vg_seqno {vg.name}); if the newer is right: vgck --updatemetadata {vg.name}"
    )
    return text, advice


def _not_allocatable(vg: VolumeGroup) -> _Said:
    named = _named(vg.physical_volumes, lambda each: not each.allocatable)
    if not named:
        return None
    return f"LVM takes no space from {named}: it is not allocatable", "if it should: pvchange --allocatable y DEVICE"


def _lv_limit(vg: VolumeGroup) -> _Said:
    count, most = len(vg.logical_volumes), vg.max_logical_volumes
    if not most or count < most:
        return None
    text = f"it has {count} logical volumes and may have {most}, so nothing that makes one is possible"
    return text, f"vgchange --logicalvolume 0 {vg.name}"


def _allocation(vg: VolumeGroup) -> _Said:
    if vg.allocation_policy not in _RESTRICTIVE:
        return None
    text = f"its allocation policy is {vg.allocation_policy}: LVM may find no place though there is space"
    return text, f"if that is not wanted: vgchange --alloc normal {vg.name}"


def _named(volumes: Iterable[PhysicalVolume], wanted: Callable[[PhysicalVolume], bool]) -> str:
    return ", ".join(each.name for each in volumes if wanted(each))


_JUDGES: Final[dict[State, Callable[[VolumeGroup], _Said]]] = {
    State.EXPORTED: _exported,
    State.ANOTHER_HOST: _another_host,
    State.SHARED: _shared,
    State.READ_ONLY: _read_only,
    State.MISSING: _missing,
    State.DUPLICATE: _duplicate,
    State.READ_ONLY_DEVICE: _read_only_device,
    State.DEVICE_TOO_SMALL: _device_too_small,
    State.OLD_METADATA: _old_metadata,
    State.NOT_ALLOCATABLE: _not_allocatable,
    State.LV_LIMIT: _lv_limit,
    State.ALLOCATION: _allocation,
}
