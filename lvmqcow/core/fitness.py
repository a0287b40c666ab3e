"""Whether a volume group may be changed: the states it can be in, and what each of them forbids.

LVM reports most of these states and goes on. Some it refuses itself, but only while it sees every device, and we show
it only the devices of the volume group. So this module judges all of them before the first step of any request or
recovery. ``list``, ``info`` and ``check`` work in every state in which LVM can read the volume group.

==================  ================================  ========  =====================================================
state               what LVM says, as a field         changes   what ends it
==================  ================================  ========  =====================================================
exported            ``vg_exported``                   refused   ``vgimport``
another-host        ``vg_systemid`` is not ours       refused   work there; or ``vgchange --systemid``, lvmsystemid(7)
shared              ``vg_lock_type``                  refused   ``vgchange --locktype none``: lvmlockd is not supported
read-only           ``vg_permissions``                refused   ``vgcfgrestore`` of metadata that is writable
missing             ``pv_missing``                    refused   attach the disk, ``vgextend --restoremissing``
duplicate           ``pv_duplicate``                  refused   hide or remove the copy: lvm.conf(5) ``global_filter``,
                                                                ``lvmdevices``, ``vgimportclone``
read-only-device    ``/sys/dev/block/…/ro``           refused   ``blockdev --setrw``, or the array's own setting
device-too-small    ``dev_size``, ``pv_size``         consent   give the device its size back, or ``pvresize``
old-metadata        ``vg_seqno``, device by device    consent   find out which metadata is right, then
                                                                ``vgck --updatemetadata``
not-allocatable     ``pv_allocatable``                noted     its free space is not counted; ``pvchange -x y``
lv-limit            ``max_lv``                        new LVs   ``vgchange --logicalvolume 0``
allocation          ``vg_allocation_policy``          noted     space that it withholds is not counted;
                                                                ``vgchange --alloc``
==================  ================================  ========  =====================================================

*refused*: every change fails with an error that names the state. Recovery is a change too. *consent*: the same, unless
the caller accepts the state by its name for one call (``--accept STATE``, `lvmqcow.Storage.accepting`). LVM would go on
in these states, and with consent so do we. *new LVs*: only operations that create a logical volume are refused.
*noted*: the state is reported and taken into account; it refuses nothing.

Every other warning of LVM is passed on to the user and refuses nothing. Examples are an outdated physical volume that
is no longer part of the volume group, an active LV on a device that LVM would not choose, and problems of another
volume group.

A clustered volume group (``vg_clustered``, from before lvm2 2.03) has no state here. LVM refuses to read it, so the
error is `VolumeGroupNotFound`, with the message of LVM in it.
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
    """A state of a volume group that limits what can be done. The values are the names in the table above."""

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
"""The states in which a caller can consent to changes."""

_NOTED: Final = frozenset({State.NOT_ALLOCATABLE, State.LV_LIMIT, State.ALLOCATION})
_READABLE: Final = frozenset({State.MISSING, *ACCEPTABLE})
_RESTRICTIVE: Final = frozenset({"contiguous", "cling", "cling_by_tags"})


@dataclass(frozen=True)
class Condition:
    """A state that a volume group is in: what it means (``text``) and what to do (``advice``).

    ``refuses``: the state refuses every change.
    """

    state: State
    text: str
    advice: str
    refuses: bool


def conditions(vg: VolumeGroup) -> tuple[Condition, ...]:
    """Return all states that the volume group is in, in the order of the table. An empty result means: ready."""
    return tuple(
        Condition(state, *said, refuses=state not in _NOTED and state not in vg.accepted)
        for state, said in ((state, judge(vg)) for state, judge in _JUDGES.items())
        if said
    )


def activatable(vg: VolumeGroup) -> bool:
    """Return whether LVs may be activated to read them.

    Activation changes no metadata. But while two devices claim to be one physical volume, LVM might map the wrong one.
    """
    return not any(each.refuses and each.state not in _READABLE for each in conditions(vg))


def require_changeable(vg: VolumeGroup) -> None:
    """Refuse a volume group that is in a state in which nothing may be changed.

    Raises:
        Unchangeable: with every state that refuses changes.
    """
    refusing = [condition for condition in conditions(vg) if condition.refuses]
    if refusing:
        advice = "; ".join(_with_consent(condition) for condition in refusing)
        raise Unchangeable(vg.name, {each.state.value: each.text for each in refusing}, advice)


def require_lv_slot(vg: VolumeGroup) -> None:
    """Refuse to create an LV in a volume group that has reached its limit of LVs (``max_lv``).

    Raises:
        NotPossible: with the number of LVs and the limit.
    """
    if said := _lv_limit(vg):
        raise NotPossible(vg.name, *said)


def _with_consent(condition: Condition) -> str:
    if condition.state not in ACCEPTABLE:
        return condition.advice
    return f"{condition.advice}; to change the volume group all the same, this once: --accept {condition.state}"


_Said = tuple[str, str] | None


def _exported(vg: VolumeGroup) -> _Said:
    if not vg.exported:
        return None
    return "the volume group is exported", f"if it is to stay on this host: vgimport {vg.name}"


def _another_host(vg: VolumeGroup) -> _Said:
    if vg.owner is None:
        return None
    text = f"the volume group belongs to another host: its system ID is {vg.owner!r}, not that of this host"
    take_over = f"vgchange --config 'local/extra_system_ids=[\"{vg.owner}\"]' --systemid THIS_HOSTS_ID {vg.name}"
    advice = f"use it on that host, or run vgexport there; if that host is gone for good: {take_over}"
    return text, f"{advice} (this host needs a system ID for that: lvmsystemid(7))"


def _shared(vg: VolumeGroup) -> _Said:
    if not vg.lock_type:
        return None
    text = f"the volume group is shared between hosts: lvmqcow does not take locks of the type {vg.lock_type}"
    return text, f"if only one host will use it from now on: vgchange --locktype none {vg.name}"


def _read_only(vg: VolumeGroup) -> _Said:
    if not vg.read_only:
        return None
    text = "the volume group is read-only in LVM's metadata"
    return text, f"`vgcfgrestore --list {vg.name}` lists earlier metadata; restore one that is writable"


def _missing(vg: VolumeGroup) -> _Said:
    if not vg.missing_physical_volumes:
        return None
    named = _named(vg.physical_volumes, lambda each: each.missing)
    which = f" ({named})" if named else ""
    text = f"{vg.missing_physical_volumes} of its physical volumes are missing{which}: nothing can be changed"
    return text, f"`pvs` lists them; once a disk is back: vgextend --restoremissing {vg.name} DEVICE"


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
        "or turn it into a volume group of its own (vgimportclone)"
    )
    return f"{'; '.join(pairs)}: lvmqcow cannot tell which one is right", advice


def _read_only_device(vg: VolumeGroup) -> _Said:
    named = _named(vg.physical_volumes, lambda each: each.read_only)
    if not named:
        return None
    text = f"a device is read-only, so LVM would write its metadata to the other devices only: {named}"
    return text, "make the device writable (blockdev --setrw DEVICE, or on the storage that provides it)"


def _device_too_small(vg: VolumeGroup) -> _Said:
    small = [
        f"{each.device} has {' of '.join(format_apart(each.device_bytes, each.needed_bytes))}"
        for each in vg.physical_volumes
        if each.too_small
    ]
    if not small:
        return None
    text = f"a device is smaller than the physical volume on it: {', '.join(small)}"
    return text, "restore the size of the device; if no LV lies beyond its end: pvresize DEVICE"


def _old_metadata(vg: VolumeGroup) -> _Said:
    named = _named(vg.physical_volumes, lambda each: each.outdated)
    if not named:
        return None
    text = f"the metadata on {named} is older: the volume group was changed while that device was not there"
    compare = f"compare the devices (vgs --devices DEVICE -o vg_seqno {vg.name})"
    return text, f"{compare}; if the newer metadata is right: vgck --updatemetadata {vg.name}"


def _not_allocatable(vg: VolumeGroup) -> _Said:
    named = _named(vg.physical_volumes, lambda each: not each.allocatable)
    if not named:
        return None
    text = f"LVM allocates no space on {named}, which is not allocatable"
    return text, "if it should: pvchange --allocatable y DEVICE"


def _lv_limit(vg: VolumeGroup) -> _Said:
    count, most = len(vg.logical_volumes), vg.max_logical_volumes
    if not most or count < most:
        return None
    text = f"no logical volume can be created: the volume group has {count}, and its limit is {most}"
    return text, f"to remove the limit: vgchange --logicalvolume 0 {vg.name}"


def _allocation(vg: VolumeGroup) -> _Said:
    if vg.allocation_policy not in _RESTRICTIVE:
        return None
    text = f"the allocation policy is {vg.allocation_policy}: LVM may refuse to allocate though extents are free"
    return text, f"to allow any free extent: vgchange --alloc normal {vg.name}"


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
