"""What can be wrong with a volume group, found by looking at the picture alone, and what to run for it.

`lvmqcow.checks.images` adds what only the images and recovery's own planner can tell.

=================================================  ==========  ========================================================
finding                                            severity    what to run
=================================================  ==========  ========================================================
a cut operation: an intent, ``new-V``, ``del-…``   unfinished  ``lvmqcow recover``
a device, or a name in ``/dev``, that is not what  unfinished  ``lvmqcow recover``; where it was no volume's, leaked:
LVM says, or whose LV is gone                                  ``dmsetup``
a cut operation that recovery will not touch       damaged     nothing before somebody looked; what contradicts is named
an intent of another version                       damaged     that version's ``recover``
no current LV                                      damaged     look for it under another name; save the newest snapshot;
                                                               if another tool removed the volume, ``lvmqcow remove``
a layer reads through an LV that is not there      damaged     give it back its name or its tags if it is in the volume
                                                               group, else ``vgcfgrestore --list``
a layer reads through itself                       damaged     compare with the headers, ``qemu-img info``
no readable header on an active LV (it is zeroed,  damaged     keep a copy (``dd``) before anything else
or half formatted without an intent)
header and index tags differ, in parent, size or   damaged     the ``lvchange`` that makes the tags say what the header
options                                                        says, once it is known that the header is right
several tags of a kind, or half an index           damaged     the same ``lvchange``
the volume tags of two volumes on one layer, or    damaged     ``lvchange --deltag`` of the wrong one, ``--addtag``
none on the current LV
a layer smaller than the one it reads through      damaged     look; ``qemu-img`` would cut off or show old bytes
marked corrupt, or its data is in another file     damaged     keep a copy, then ``qemu-img check -r all``
a part of an LV is on a missing physical volume    damaged     bring the disk back, ``vgextend --restoremissing``
a physical volume is missing, is there twice, is   damaged     what ends that state: the table in `lvmqcow.core.fitness`
too small or has old metadata
the volume group is exported, another host's,      refused     the same
shared or read-only, or a device takes no writes
``qemu-img check`` finds corruptions, or fails     damaged     the command, to see them
the same, and the LV is too small for its image:   damaged     ``vgcfgrestore --list``: the LV was larger once
clusters beyond its end count as corruptions
an LV with the tag of one volume and the name of   damaged     the ``lvchange`` that gives it the tags of its name
another
a snapshot the current layer does not read         damaged     look
through
not active, so headers and images were not read    unchecked   ``lvmqcow check --activate``
the current LV cannot hold the fully allocated     warning     ``lvmqcow resize`` to the size it has: the LV grows, also
image (``qemu-img measure``)                                   below a running guest
two LVs of one snapshot, in a layout each          warning     look; one of them has to be given another name
a layer without the tag of its machine             warning     the ``lvchange`` that adds it
an LV with a volume's tag that is named otherwise  leaked      rename it or take the tag away
an LV named like a snapshot, without its tags      leaked      the ``lvchange`` that adds them, or ``lvremove``
a ``del-`` LV of another tool                      leaked      ``lvremove``, if nothing is wiping it
leaked clusters                                    leaked      ``qemu-img check -r leaks``
a state of the volume group that takes away room   noted       the same table
any other LV                                       unmanaged   nothing: it is left alone
=================================================  ==========  ========================================================

Nothing of this is mended by itself. A tag that contradicts a header may be the younger of the two (metadata of a volume
group can be restored, an image copied back), so which is right is for somebody to say; the command is given.

The bytes of a raw volume are a guest's: whatever they look like, they are not read. A frozen layer needs no more room
than it takes, so only the current one is measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lvmqcow.core.consistency import chain_faults, contradictions, volumes_tagged
from lvmqcow.core.fitness import State, conditions
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.intents import Unknown
from lvmqcow.core.lv import LogicalVolume, Stray, StrayKind, index_tags
from lvmqcow.core.names import (
    Format,
    VolumeName,
    as_volume_name,
    device_path,
    dm_name,
    new_lv_name,
    pending_removal_name,
    snapshot_of,
)
from lvmqcow.core.qcow2 import Measure
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.core.wiping import Wiping
from lvmqcow.operations import intents_of
from lvmqcow.units import format_apart, format_size

__all__ = ["Finding", "Severity", "group_findings", "structure", "unchecked"]


_STRAY_TEXTS: Final = {
    StrayKind.DEVICE: ("a device without a logical volume: what it maps is free, or another's", "dmsetup remove {dm}"),
    StrayKind.NODE: ("a device node without a logical volume: an lvm was killed", "dmsetup mknodes {dm}; rm -f {path}"),
    StrayKind.LINK: ("a link in /dev without a logical volume: an lvm was killed", "rm {path}"),
    StrayKind.OTHER: (
        "a file, or a device that LVM did not make, has this name in /dev",
        "look at {path} and /dev/mapper/{dm}: it may hold data; keep a copy before it is removed",
    ),
}


_PART = re.compile(r"(?:snap-.*|snap_|new-)vm-[0-9]+-.+\.qcow2")


class Severity(StrEnum):
    """How bad a finding is, the worst first."""

    DAMAGED = "damaged"
    """The volume contradicts itself; somebody must look. Nothing changes it until then."""
    UNFINISHED = "unfinished"
    """A cut operation; ``recover`` mends it."""
    REFUSED = "refused"
    """The volumes may be well; the volume group as a whole takes no changes."""
    UNCHECKED = "unchecked"
    """It was not active, so it was not looked at: nothing can be said of it."""
    WARNING = "warning"
    """It works, and something about it is not as it should be."""
    LEAKED = "leaked"
    """Space is lost, data is not."""
    NOTED = "noted"
    """Nothing is wrong: somebody wanted it so, and it limits what can be done."""
    UNMANAGED = "unmanaged"
    """Not ours; left alone. Nothing is wrong with that."""


_SEVERITIES: Final = {
    State.EXPORTED: Severity.REFUSED,
    State.ANOTHER_HOST: Severity.REFUSED,
    State.SHARED: Severity.REFUSED,
    State.READ_ONLY: Severity.REFUSED,
    State.MISSING: Severity.DAMAGED,
    State.DUPLICATE: Severity.DAMAGED,
    State.READ_ONLY_DEVICE: Severity.REFUSED,
    State.DEVICE_TOO_SMALL: Severity.DAMAGED,
    State.OLD_METADATA: Severity.DAMAGED,
    State.NOT_ALLOCATABLE: Severity.NOTED,
    State.LV_LIMIT: Severity.NOTED,
    State.ALLOCATION: Severity.NOTED,
}


@dataclass(frozen=True)
class Finding:
    """One thing that was found, on an LV; ``lv`` is empty where it is about the volume group."""

    lv: str
    severity: Severity
    text: str
    advice: str


def structure(vg: VolumeGroup, volume: Volume, measure: Measure) -> tuple[Finding, ...]:
    """All that the names, tags and headers of a volume show.

    What a cut operation left looks broken in ways that its recovery mends, so the rest is judged once that ran.
    """
    found = _unfinished(volume) or _broken(vg, volume)
    return (*(found or _flaws(volume, measure)), *_partial(volume.vg, volume.logical_volumes), *_waiting(volume))


def unchecked(volume: Volume) -> tuple[Finding, ...]:
    """What of a volume was not looked at. Raw volumes hold nothing to look at."""
    idle = [layer.lv.name for layer in volume.layers if not layer.lv.active]
    if volume.name.format is Format.RAW or not idle:
        return ()
    text = f"not active, so neither headers nor images were looked at: {', '.join(idle)}"
    return (Finding(volume.name.text, Severity.UNCHECKED, text, f"lvmqcow check --activate {volume.target}"),)


def group_findings(vg: VolumeGroup, name: VolumeName | None = None) -> tuple[Finding, ...]:
    """What there is to say of the volume group itself, and of LVs that are part of no volume.

    With ``name``, only of those LVs that may have to do with that volume.
    """
    found = [Finding("", _SEVERITIES[each.state], each.text, each.advice) for each in conditions(vg)]
    ours = {lv.name for volume in vg.volumes for lv in volume.logical_volumes}
    for lv in vg.logical_volumes:
        owners = [] if lv.name in ours else _volumes_named_by(vg, lv)
        if lv.name not in ours and (name is None or name in owners or name in volumes_tagged(lv)):
            found += (_unassigned(vg, lv, owners), *_partial(vg.name, [lv]))
    return (*found, *_strays(vg, name))


def _strays(vg: VolumeGroup, name: VolumeName | None) -> Iterator[Finding]:
    for stray in vg.strays:
        owner = vg.owner_of(stray)
        if name in (None, owner):
            yield _stray(vg.name, stray, owner)


def _stray(vg: str, stray: Stray, owner: VolumeName | None) -> Finding:
    text, mend = _STRAY_TEXTS[stray.kind]
    advice = mend.format(dm=dm_name(vg, stray.lv_name), path=device_path(vg, stray.lv_name))
    if stray.kind is StrayKind.OTHER:
        return Finding(stray.lv_name, Severity.DAMAGED, text, advice)
    if owner:
        return Finding(stray.lv_name, Severity.UNFINISHED, text, f"lvmqcow recover {vg}/{owner}")
    return Finding(stray.lv_name, Severity.LEAKED, text, f"if nobody is changing it: {advice}")


def _unfinished(volume: Volume) -> list[Finding]:
    recover = f"lvmqcow recover {volume.target}"
    found = []
    for lv in volume.logical_volumes:
        unknown = [tag for tag, intent in intents_of(lv) if intent is None]
        unknown += [lv.wiping.tag] if isinstance(lv.wiping, Unknown) else []
        text = "an operation of another version of lvmqcow was cut: "
        found += [Finding(lv.name, Severity.DAMAGED, text + tag, "use that version's recover") for tag in unknown]
        if lv in volume.members:
            text = "an operation was cut: "
            known = [tag for tag in lv.intent_tags if tag not in unknown]
            found += [Finding(lv.name, Severity.UNFINISHED, text + tag, recover) for tag in known]
    found += [
        Finding(lv.name, Severity.UNFINISHED, f"{text}: an lvm was killed, or another host changed it", recover)
        for lv in volume.devices_to_restore
        for text in _device_faults(lv)
    ]
    if volume.new is not None:
        found.append(Finding(volume.new.name, Severity.UNFINISHED, "a snapshot was cut", recover))
    found += [
        Finding(layer.lv.name, Severity.UNFINISHED, "it became a template and can still be written to", recover)
        for layer in volume.layers
        if layer.lv.template and layer.lv.writable
    ]
    found += [Finding(lv.name, Severity.UNFINISHED, _cut_removal(lv), recover) for lv in volume.own_pending_removals]
    return found


def _device_faults(lv: LogicalVolume) -> Iterator[str]:
    if lv.suspended:
        yield "its device is not what LVM says"
    if lv.has_inactive_table:
        yield "a table that was never committed waits in its device"
    if lv.wrong_in_dev:
        yield "its name in /dev is missing, or another device's" if lv.active else "it is not active, and is in /dev"


def _cut_removal(lv: LogicalVolume) -> str:
    if not isinstance(lv.wiping, Wiping):
        return "its removal was cut"
    return f"its removal was cut, {format_size(lv.wiping.done_bytes)} of {format_size(lv.size_bytes)} are wiped"


def _waiting(volume: Volume) -> list[Finding]:
    text, advice = "another tool renamed it to remove it", "if none is wiping it, remove it: lvremove {}/{}"
    return [
        Finding(lv.name, Severity.LEAKED, text, advice.format(volume.vg, lv.name))
        for lv in volume.pending_removals
        if lv not in volume.own_pending_removals
    ]


def _broken(vg: VolumeGroup, volume: Volume) -> list[Finding]:
    if volume.layer(volume.name.text) is None:
        return [_no_current(volume)] if volume.layers else []
    found = [
        Finding(layer.lv.name, Severity.DAMAGED, text, _advice(volume, layer))
        for layer in volume.layers
        for text in contradictions(volume, layer)
    ]
    if not all(layer.known for layer in (*volume.layers, *volume.bases)):
        return found  # written by Proxmox VE, and not active: the tree cannot be seen
    look = _look(volume, volume.name.text)
    for lv, text in chain_faults(volume):
        advice = look if volume.layer(lv) else _search(vg, volume, lv)
        found.append(Finding(lv, Severity.DAMAGED, text, advice))
    return found


def _flaws(volume: Volume, measure: Measure) -> list[Finding]:
    if volume.name.format is Format.RAW:
        return []
    found = []
    current = volume.layer(volume.name.text)
    if current is not None and current.virtual_size_bytes is not None:
        size_bytes = current.virtual_size_bytes
        needed = measure(size_bytes, current.options)
        if current.lv.size_bytes < needed:
            grows, has = format_apart(needed, current.lv.size_bytes)
            text = f"its image can grow to {grows} and it has {has}: the guest may find no space"
            advice = f"lvmqcow resize {volume.target} --size {size_bytes}"
            found.append(Finding(current.lv.name, Severity.WARNING, text, advice))
    for layer in volume.layers:
        if layer.snapshot and [each.snapshot for each in volume.layers].count(layer.snapshot) > 1:
            text = f"it is not the only snapshot {layer.snapshot!r}: by that name, neither can be deleted"
            look = f"look with `qemu-img info -U --backing-chain -f qcow2 /dev/{volume.target}`"
            found.append(Finding(layer.lv.name, Severity.WARNING, text, look))
        lacking = [tag for tag in volume.name.tags if tag not in layer.lv.tags]
        if lacking:
            text = f"it lacks {' and '.join(lacking)}"
            found.append(Finding(layer.lv.name, Severity.WARNING, text, _lvchange(volume.vg, layer.lv, add=lacking)))
    return found


def _partial(vg: str, lvs: tuple[LogicalVolume, ...] | list[LogicalVolume]) -> list[Finding]:
    text = "a part of it is on a physical volume that is missing"
    advice = f"bring the disk back, then: vgextend --restoremissing {vg} DEVICE"
    return [Finding(lv.name, Severity.DAMAGED, text, advice) for lv in lvs if lv.partial]


def _unassigned(vg: VolumeGroup, lv: LogicalVolume, owners: list[VolumeName]) -> Finding:
    tagged = volumes_tagged(lv)
    if tagged and owners:
        text = f"it has the tag of {tagged[0]} and the name of a part of {owners[0]}"
        advice = _lvchange(vg.name, lv, drop=[tag for each in tagged for tag in each.tags], add=owners[0].tags)
        return Finding(lv.name, Severity.DAMAGED, text, f"if the name is right: {advice}")
    if tagged:
        advice = _lvchange(vg.name, lv, drop=[each.volume_tag for each in tagged])
        text = f"it has the tag of {tagged[0]} and is not named like a part of it"
        return Finding(lv.name, Severity.LEAKED, text, f"lvrename it, or if it is something else: {advice}")
    if owners:
        advice = _lvchange(vg.name, lv, add=owners[0].tags)
        text = f"it is named like a part of {owners[0]} and has not its tags"
        return Finding(lv.name, Severity.LEAKED, text, f"if it is one: {advice}")
    if _PART.fullmatch(lv.name):
        text = "it is named like a part of a volume that is not there"
        return Finding(lv.name, Severity.LEAKED, text, f"if nobody wants it: lvremove {vg.name}/{lv.name}")
    return Finding(lv.name, Severity.UNMANAGED, "no volume of lvmqcow", "nothing: it is left alone")


def _volumes_named_by(vg: VolumeGroup, lv: LogicalVolume) -> list[VolumeName]:
    """The volumes an LV is part of, if its name is right."""
    named = as_volume_name(lv.name)
    others = {volume.name for volume in vg.volumes} - {named}
    parts = sorted(name for name in others if snapshot_of(lv.name, name) or lv.name == new_lv_name(name))
    return [named, *parts] if named else parts


def _no_current(volume: Volume) -> Finding:
    newest = next((layer.lv.name for layer in volume.layers if not volume.children(layer)), volume.layers[0].lv.name)
    advice = (
        f"`lvs -o +tags {volume.vg}` shows whether it has another name (lvrename it back); what the snapshot held: "
        f"qemu-img convert -f qcow2 -O qcow2 {device_path(volume.vg, newest)} FILE; "
        f"if another tool removed the volume: lvmqcow remove {volume.target}"
    )
    return Finding(volume.name.text, Severity.DAMAGED, "there is no current logical volume", advice)


def _search(vg: VolumeGroup, volume: Volume, missing: str) -> str:
    """What to do about an LV that is not part of the volume and should be."""
    lv = vg.lv(missing)
    if lv is not None:
        stale = [tag for each in volumes_tagged(lv) for tag in each.tags if tag not in volume.name.tags]
        return f"it is there, without the volume's tags: {_lvchange(vg.name, lv, volume.name.tags, stale)}"
    doomed = pending_removal_name(missing, ())
    if vg.lv(doomed) is not None:
        return f"it waits for removal; to keep it: lvrename {vg.name} {doomed} {missing}"
    return f"`vgcfgrestore --list {vg.name}` names the metadata of when it was there; change nothing before that"


def _advice(volume: Volume, layer: Layer) -> str:
    """What to do about a layer that contradicts itself."""
    lv, header = layer.lv, layer.lv.header
    path = device_path(volume.vg, lv.name)
    if header is None:
        return f"keep a copy before anything else: dd if={path} of=FILE bs=1M; restore it, or the snapshot below"
    if reasons := header.layer_reasons(volume.vg):
        check = f"then qemu-img check -f qcow2 {path}" if reasons == header.damage else "let no tool follow it"
        return f"keep a copy before anything else: dd if={path} of=FILE bs=1M; {check}"
    right = index_tags(header.virtual_size_bytes, header.parent_lv(volume.vg), header.options)
    wrong = [tag for tag in lv.index_tags if tag not in right]
    missing = [tag for tag in right if lv.index_tags and tag not in lv.index_tags]
    missing += [tag for tag in volume.name.tags if tag not in lv.tags]
    others = [each.volume_tag for each in volumes_tagged(lv) if each != volume.name]
    if wrong or missing or others:
        return f"if the header is right: {_lvchange(volume.vg, lv, missing, [*wrong, *others])}"
    return _look(volume, lv.name)


def _look(volume: Volume, lv_name: str) -> str:
    """How to see what the headers say; where one leads out of the volume group, only the first."""
    headers = [layer.lv.header for layer in volume.layers if layer.lv.header]
    leads_out = any(header.layer_reasons(volume.vg) for header in headers)
    chain = "" if leads_out else "--backing-chain "
    return f"look with `qemu-img info -U {chain}-f qcow2 {device_path(volume.vg, lv_name)}`"


def _lvchange(
    vg: str, lv: LogicalVolume, add: tuple[str, ...] | list[str] = (), drop: tuple[str, ...] | list[str] = ()
) -> str:
    """The command that adds the tags it has not, and drops those it has."""
    words = [f"--deltag {tag}" for tag in sorted(set(drop) & lv.tags - set(add))]
    words += [f"--addtag {tag}" for tag in add if tag not in lv.tags]
    return " ".join(("lvchange", *words, f"{vg}/{lv.name}"))
