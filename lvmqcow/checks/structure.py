"""The check of a picture: what is wrong with a volume group, and the command to run for each finding.

`lvmqcow.checks.images` adds the findings of ``qemu-img check`` and of the recovery planner.

=================================================  ==========  ========================================================
finding                                            severity    what to run
=================================================  ==========  ========================================================
a cut operation: an intent, ``new-V``, ``del-…``   unfinished  ``lvmqcow recover``
a device, or a name in ``/dev``, that differs      unfinished  ``lvmqcow recover``; if it belongs to no volume, the
from LVM's metadata, or whose LV is gone                       finding is ``leaked``, and the command is ``dmsetup``
a cut operation that recovery refuses              damaged     nothing yet: look at the contradiction that is named
an intent of another version                       damaged     ``lvmqcow recover`` of that version
no current LV                                      damaged     look for it under another name; save the newest snapshot;
                                                               if another tool removed the volume, ``lvmqcow remove``
a layer reads through an LV that is not there      damaged     if the LV is in the volume group, restore its name or its
                                                               tags; else ``vgcfgrestore --list``
a layer reads through itself                       damaged     compare with the headers, ``qemu-img info``
no readable header on an active LV (zeroed, or     damaged     keep a copy (``dd``) before anything else
half formatted without an intent)
header and index tags differ, in parent, size or   damaged     if the header is right, the ``lvchange`` that corrects
options                                                        the tags
several tags of a kind, or not all index tags      damaged     the same ``lvchange``
the volume tags of two volumes on one layer, or    damaged     ``lvchange --deltag`` of the wrong one, ``--addtag``
none on the current LV
a layer with a smaller virtual size than its       damaged     compare the headers; a merge would cut data off or show
parent                                                         old data
marked corrupt, or its data is in another file     damaged     keep a copy, then ``qemu-img check -r all``
a part of an LV is on a missing physical volume    damaged     attach the disk, ``vgextend --restoremissing``
a physical volume is missing, duplicated, too      damaged     see the table in `lvmqcow.core.fitness`
small, or has old metadata
the volume group is exported, another host's,      refused     see the same table
shared or read-only, or a device is read-only
``qemu-img check`` finds corruptions, or fails     damaged     the same command, to see them
the same, and the LV is too small for its image:   damaged     ``vgcfgrestore --list``: the LV may have been larger
clusters beyond its end count as corruptions
an LV with the tag of one volume and the name of   damaged     the ``lvchange`` that gives the LV the tags of its name
another
a snapshot that has no layer in common with the    damaged     compare the headers
current layer
an inactive LV, whose image was not read           unchecked   ``lvmqcow check --activate``
the current LV cannot hold the fully allocated     warning     ``lvmqcow resize`` to the present size: the LV grows. A
image (``qemu-img measure``)                                   guest may keep running
two LVs of one snapshot, one in each layout        warning     rename one of them
a layer without the tag of its machine             warning     the ``lvchange`` that adds the tag
an LV with the tag of a volume and a foreign name  leaked      rename the LV, or drop the tag
an LV named like a snapshot, without its tags      leaked      the ``lvchange`` that adds them, or ``lvremove``
a ``del-`` LV of another tool                      leaked      ``lvremove``, if no process is wiping the LV
leaked clusters                                    leaked      ``qemu-img check -r leaks``
a state of the volume group that reduces room      noted       see the table in `lvmqcow.core.fitness`
any other LV                                       unmanaged   nothing
=================================================  ==========  ========================================================

A check repairs nothing. Where a tag contradicts a header, either of them may be older: the metadata of the volume group
may have been restored, or an image copied back. So a person has to decide, and the finding gives the command.

A check never reads the bytes of a raw volume, because a guest wrote them. It measures only the current layer, because
a snapshot never grows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
    StrayKind.DEVICE: (
        "a device has no logical volume, and it maps extents that are free or another logical volume's",
        "dmsetup remove {dm}",
    ),
    StrayKind.NODE: (
        "a device node has no logical volume: an lvm was killed",
        "dmsetup mknodes {dm}; rm -f {path}",
    ),
    StrayKind.LINK: ("a link in /dev has no logical volume: an lvm was killed", "rm {path}"),
    StrayKind.OTHER: (
        "a file, or a device that LVM did not make, has this name in /dev",
        "look at {path} and /dev/mapper/{dm}: it may hold data; keep a copy before you remove it",
    ),
}


_PART = re.compile(r"(?:snap-.*|snap_|new-)vm-[0-9]+-.+\.qcow2")


class Severity(StrEnum):
    """How bad a finding is, the worst first."""

    DAMAGED = "damaged"
    """Names, tags and headers contradict each other. A person must look; until then lvmqcow refuses changes."""
    UNFINISHED = "unfinished"
    """An operation was cut; ``recover`` finishes or undoes it."""
    REFUSED = "refused"
    """The volume group is in a state in which nothing may be changed. The volumes may be sound."""
    UNCHECKED = "unchecked"
    """A volume was not active, so its images were not read."""
    WARNING = "warning"
    """The volume works, but something about it should be corrected."""
    LEAKED = "leaked"
    """Space is lost, but no data."""
    NOTED = "noted"
    """Nothing is wrong. A setting of the volume group limits what can be done."""
    UNMANAGED = "unmanaged"
    """The LV belongs to no volume, and lvmqcow does not touch it. Nothing is wrong."""


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
    """One finding of a check: what is wrong (``text``) and what to do (``advice``).

    ``lv`` is the name of the LV or volume; empty: the finding is about the volume group.
    """

    lv: str
    severity: Severity
    text: str
    advice: str


def structure(vg: VolumeGroup, volume: Volume, measure: Measure) -> tuple[Finding, ...]:
    """Return the findings about the names, tags and headers of a volume.

    A volume with a cut operation looks damaged until recovery has run. So the check looks for damage only if no
    operation was cut.
    """
    found = _unfinished(volume) or _broken(vg, volume)
    return (*(found or _flaws(volume, measure)), *_partial(volume.vg, volume.logical_volumes), *_waiting(volume))


def unchecked(volume: Volume) -> tuple[Finding, ...]:
    """Report the layers of a volume whose images were not read. A raw volume has no image to read."""
    idle = [layer.lv.name for layer in volume.layers if not layer.lv.active]
    if volume.name.format is Format.RAW or not idle:
        return ()
    text = f"headers and images of inactive logical volumes were not read: {', '.join(idle)}"
    return (Finding(volume.name.text, Severity.UNCHECKED, text, f"lvmqcow check --activate {volume.target}"),)


def group_findings(vg: VolumeGroup, name: VolumeName | None = None) -> tuple[Finding, ...]:
    """Return the findings about the volume group itself, about strays, and about LVs that belong to no volume.

    With ``name``, only those LVs and strays count whose tags or names refer to that volume.
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
    return Finding(stray.lv_name, Severity.LEAKED, text, f"if no process is changing the volume group: {advice}")


def _unfinished(volume: Volume) -> list[Finding]:
    recover = f"lvmqcow recover {volume.target}"
    found = []
    for lv in volume.logical_volumes:
        unknown = [tag for tag, intent in intents_of(lv) if intent is None]
        unknown += [lv.wiping.tag] if isinstance(lv.wiping, Unknown) else []
        text = "an operation of another version of lvmqcow was cut: "
        found += [Finding(lv.name, Severity.DAMAGED, text + tag, "run recover of that version") for tag in unknown]
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
        Finding(layer.lv.name, Severity.UNFINISHED, "this template is still writable", recover)
        for layer in volume.layers
        if layer.lv.template and layer.lv.writable
    ]
    found += [Finding(lv.name, Severity.UNFINISHED, _cut_removal(lv), recover) for lv in volume.own_pending_removals]
    return found


def _device_faults(lv: LogicalVolume) -> Iterator[str]:
    if lv.suspended:
        yield "the device differs from LVM's metadata"
    if lv.has_inactive_table:
        yield "the device holds a second table, which LVM never committed"
    if lv.wrong_in_dev:
        wrong = "the name in /dev is missing or leads to another device"
        yield wrong if lv.active else "this inactive logical volume has a name in /dev"


def _cut_removal(lv: LogicalVolume) -> str:
    if not isinstance(lv.wiping, Wiping):
        return "the removal of this logical volume was cut"
    wiped, size = format_size(lv.wiping.done_bytes), format_size(lv.size_bytes)
    return f"the removal of this logical volume was cut; {wiped} of {size} are wiped"


def _waiting(volume: Volume) -> list[Finding]:
    text = "another tool gave this logical volume a del- name, to remove it"
    advice = "if no process is wiping it: lvremove {}/{}"
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
            text = f"the image can grow to {grows}, but the LV has {has}: the guest may find no space"
            advice = f"lvmqcow resize {volume.target} --size {size_bytes}"
            found.append(Finding(current.lv.name, Severity.WARNING, text, advice))
    for layer in volume.layers:
        if layer.snapshot and [each.snapshot for each in volume.layers].count(layer.snapshot) > 1:
            text = f"two logical volumes claim to be snapshot {layer.snapshot!r}; rename one before you delete it"
            look = f"compare them with `qemu-img info -U --backing-chain -f qcow2 /dev/{volume.target}`"
            found.append(Finding(layer.lv.name, Severity.WARNING, text, look))
        lacking = [tag for tag in volume.name.tags if tag not in layer.lv.tags]
        if lacking:
            text = f"this logical volume lacks {' and '.join(lacking)}"
            found.append(Finding(layer.lv.name, Severity.WARNING, text, _lvchange(volume.vg, layer.lv, add=lacking)))
    return found


def _partial(vg: str, lvs: tuple[LogicalVolume, ...] | list[LogicalVolume]) -> list[Finding]:
    text = "a part of this logical volume is on a physical volume that is missing"
    advice = f"attach the disk, then: vgextend --restoremissing {vg} DEVICE"
    return [Finding(lv.name, Severity.DAMAGED, text, advice) for lv in lvs if lv.partial]


def _unassigned(vg: VolumeGroup, lv: LogicalVolume, owners: list[VolumeName]) -> Finding:
    tagged = volumes_tagged(lv)
    if tagged and owners:
        text = f"this logical volume has the tag of {tagged[0]} and the name of a part of {owners[0]}"
        advice = _lvchange(vg.name, lv, drop=[tag for each in tagged for tag in each.tags], add=owners[0].tags)
        return Finding(lv.name, Severity.DAMAGED, text, f"if the name is right: {advice}")
    if tagged:
        advice = _lvchange(vg.name, lv, drop=[each.volume_tag for each in tagged])
        text = f"this logical volume has the tag of {tagged[0]}, but is not named like a part of that volume"
        return Finding(lv.name, Severity.LEAKED, text, f"lvrename it, or if it is not part of the volume: {advice}")
    if owners:
        advice = _lvchange(vg.name, lv, add=owners[0].tags)
        text = f"this logical volume is named like a part of {owners[0]}, but lacks the tags of that volume"
        return Finding(lv.name, Severity.LEAKED, text, f"if it is part of the volume: {advice}")
    if _PART.fullmatch(lv.name):
        text = "this logical volume is named like a part of a volume that is not there"
        return Finding(lv.name, Severity.LEAKED, text, f"if nobody needs it: lvremove {vg.name}/{lv.name}")
    return Finding(lv.name, Severity.UNMANAGED, "no volume of lvmqcow", "nothing to do: it is left alone")


def _volumes_named_by(vg: VolumeGroup, lv: LogicalVolume) -> list[VolumeName]:
    """Return the volumes that an LV would belong to by its name."""
    named = as_volume_name(lv.name)
    others = {volume.name for volume in vg.volumes} - {named}
    parts = sorted(name for name in others if snapshot_of(lv.name, name) or lv.name == new_lv_name(name))
    return [named, *parts] if named else parts


def _no_current(volume: Volume) -> Finding:
    newest = next((layer.lv.name for layer in volume.layers if not volume.children(layer)), volume.layers[0].lv.name)
    advice = (
        f"`lvs -o +tags {volume.vg}` shows whether it has another name (lvrename it back); to save the newest "
        f"snapshot: qemu-img convert -f qcow2 -O qcow2 {device_path(volume.vg, newest)} FILE; "
        f"if another tool removed the volume: lvmqcow remove {volume.target}"
    )
    return Finding(volume.name.text, Severity.DAMAGED, "the volume has no current logical volume", advice)


def _search(vg: VolumeGroup, volume: Volume, missing: str) -> str:
    """Return the advice for an LV that the volume needs and that is not one of its layers."""
    lv = vg.lv(missing)
    if lv is not None:
        stale = [tag for each in volumes_tagged(lv) for tag in each.tags if tag not in volume.name.tags]
        lvchange = _lvchange(vg.name, lv, volume.name.tags, stale)
        return f"the logical volume exists without the tags of the volume; to add them: {lvchange}"
    doomed = pending_removal_name(missing, ())
    if vg.lv(doomed) is not None:
        return f"the logical volume waits for its removal; to keep it: lvrename {vg.name} {doomed} {missing}"
    return f"change nothing yet; `vgcfgrestore --list {vg.name}` lists earlier metadata, which may still have it"


def _advice(volume: Volume, layer: Layer) -> str:
    """Return the advice for a layer whose name, tags and header disagree."""
    lv, header = layer.lv, layer.lv.header
    path = device_path(volume.vg, lv.name)
    if header is None:
        copy = f"keep a copy before anything else: dd if={path} of=FILE bs=1M"
        return f"{copy}; then restore the LV from a backup, or use the snapshot below it"
    if reasons := header.layer_reasons(volume.vg):
        damaged = reasons == header.damage
        check = f"then qemu-img check -f qcow2 {path}" if damaged else "do not open the image with any tool"
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
    """Return the command that shows the headers; only the first header if one leads out of the volume group."""
    headers = [layer.lv.header for layer in volume.layers if layer.lv.header]
    leads_out = any(header.layer_reasons(volume.vg) for header in headers)
    chain = "" if leads_out else "--backing-chain "
    return f"compare with the headers: qemu-img info -U {chain}-f qcow2 {device_path(volume.vg, lv_name)}"


def _lvchange(vg: str, lv: LogicalVolume, add: Sequence[str] = (), drop: Sequence[str] = ()) -> str:
    """Return the command that adds the tags that the LV lacks, and drops those of ``drop`` that it has."""
    words = [f"--deltag {tag}" for tag in sorted(set(drop) & lv.tags - set(add))]
    words += [f"--addtag {tag}" for tag in add if tag not in lv.tags]
    return " ".join(("lvchange", *words, f"{vg}/{lv.name}"))
