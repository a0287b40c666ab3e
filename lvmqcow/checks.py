"""What can be wrong with a volume, found by looking at the picture alone, and what to run for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lvmqcow.intents import Unknown
from lvmqcow.model import Layer, Volume
from lvmqcow.names import Format

__all__ = ["Finding", "Severity", "contradictions", "structure"]


class Severity(StrEnum):
    """How bad a finding is."""

    UNFINISHED = "unfinished"
    """A cut operation; ``recover`` mends it."""
    DAMAGED = "damaged"
    """The volume contradicts itself; somebody must look."""
    LEAKED = "leaked"
    """Space is lost, data is not."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    lv: str
    severity: Severity
    text: str
    advice: str


def structure(volume: Volume) -> tuple[Finding, ...]:
    """All that the names, tags and headers of a volume show.

    What a cut operation left looks broken in ways that its recovery mends, so the rest is judged once that ran.
    """
    return (*(_unfinished(volume) or _broken(volume)), *_foreign(volume))


def contradictions(volume: Volume, layer: Layer) -> tuple[str, ...]:
    """Where the header of a layer's image and the index tags disagree."""
    lv, header = layer.lv, layer.lv.header
    if volume.name.format is Format.RAW:
        return ()
    if header is None:
        return (f"{lv.name} has no readable qcow2 header",) if lv.active else ()
    found = []
    named = header.parent_lv(volume.vg)
    if named != layer.parent:
        found.append(f"the header of {lv.name} names {named} as backing, its tags {layer.parent}")
    if header.virtual_size_bytes != layer.virtual_size_bytes:
        says = f"{header.virtual_size_bytes} bytes, its tags {layer.virtual_size_bytes}"
        found.append(f"the header of {lv.name} says {says}")
    return tuple(found)


def _unfinished(volume: Volume) -> list[Finding]:
    recover = f"lvmqcow recover {volume.target}"
    found = []
    for lv in volume.logical_volumes:
        if isinstance(lv.intent, Unknown):
            text = f"an operation of another version of lvmqcow was cut: {lv.intent.tag}"
            found.append(Finding(lv.name, Severity.DAMAGED, text, "use that version's recover"))
        elif lv.intent is not None:
            text = f"an operation was cut: {lv.intent.tag}"
            found.append(Finding(lv.name, Severity.UNFINISHED, text, recover))
    if volume.new is not None:
        found.append(Finding(volume.new.name, Severity.UNFINISHED, "a snapshot was cut", recover))
    found += [Finding(lv.name, Severity.UNFINISHED, "a removal was cut", recover) for lv in volume.doomed if lv.ours]
    return found


def _foreign(volume: Volume) -> list[Finding]:
    text, advice = "another tool renamed it to remove it", "if none is wiping it, remove it: lvremove {}/{}"
    return [
        Finding(lv.name, Severity.LEAKED, text, advice.format(volume.vg, lv.name))
        for lv in volume.doomed
        if not lv.ours
    ]


def _broken(volume: Volume) -> list[Finding]:
    look = f"restore it, or look with `qemu-img info --backing-chain -f qcow2 /dev/{volume.target}`"
    if volume.layer(volume.name.text) is None:
        if not volume.layers:
            return []
        return [Finding(volume.name.text, Severity.DAMAGED, "there is no current logical volume", look)]
    found = [
        Finding(layer.lv.name, Severity.DAMAGED, text, look)
        for layer in volume.layers
        for text in contradictions(volume, layer)
    ]
    if not all(layer.known for layer in volume.layers):
        return found  # written by Proxmox VE, and not active: the chain cannot be seen
    reached: set[str] = set()
    name: str | None = volume.name.text
    while name is not None and name not in reached:
        reached.add(name)
        layer = volume.layer(name)
        if layer is None:
            found.append(Finding(name, Severity.DAMAGED, "a layer reads through it and it is not there", look))
            break
        name = layer.parent
    else:
        if name is not None:
            found.append(Finding(name, Severity.DAMAGED, "it reads through itself", look))
    found += [
        Finding(layer.lv.name, Severity.DAMAGED, "the current layer does not read through this snapshot", look)
        for layer in volume.layers
        if layer.lv.name not in reached
    ]
    return found
