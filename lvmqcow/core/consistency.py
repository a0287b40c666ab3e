"""Whether the names, tags and headers of a volume tell the same of it."""

from __future__ import annotations

from lvmqcow.core.lv import LogicalVolume, index_tags
from lvmqcow.core.names import (
    Format,
    VolumeName,
)
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.units import format_apart

__all__ = ["chain_faults", "contradictions", "volumes_tagged"]


def contradictions(volume: Volume, layer: Layer) -> tuple[str, ...]:
    """Where a layer's name, tags and header disagree, or the layer with the one below it."""
    if volume.name.format is Format.RAW:
        return ()
    return (*_index(layer.lv), *_volume_tags(volume, layer.lv), *_header(volume, layer), *_sizes(volume, layer))


def _index(lv: LogicalVolume) -> list[str]:
    tags, whole = lv.index_tags, index_tags(0, lv.recorded_parent, lv.recorded_options)
    if not tags or (lv.recorded_size_bytes is not None and len(tags) == len(whole)):
        return []
    return [f"{lv.name} has the tags {', '.join(tags)}, which are not the index of one image"]


def volumes_tagged(lv: LogicalVolume) -> tuple[VolumeName, ...]:
    """The volumes it is a layer of, by its tags; a tag of a raw one means nothing."""
    return tuple(name for name in lv.named_volumes if name.format is Format.QCOW2)


def _volume_tags(volume: Volume, lv: LogicalVolume) -> list[str]:
    """A current LV without the tag is known by its name; the snapshot that it becomes would be known by nothing."""
    volumes = volumes_tagged(lv)
    if not volumes:
        return [f"{lv.name} has not the tag {volume.name.volume_tag}, by which its snapshots are known"]
    return [f"{lv.name} has the tags of {' and '.join(map(str, volumes))}"] if len(volumes) > 1 else []


def _header(volume: Volume, layer: Layer) -> list[str]:
    lv, header = layer.lv, layer.lv.header
    if header is None:
        return [f"{lv.name} has no readable qcow2 header"] if lv.active else []
    found = [f"{lv.name} must not be opened: {reason}" for reason in header.layer_reasons(volume.vg)]
    named = header.parent_lv(volume.vg)
    if named != layer.parent:
        found.append(f"the header of {lv.name} names {named} as backing, its tags {layer.parent}")
    if layer.virtual_size_bytes is not None and header.virtual_size_bytes != layer.virtual_size_bytes:
        says, tagged = format_apart(header.virtual_size_bytes, layer.virtual_size_bytes)
        found.append(f"the header of {lv.name} says {says}, its tags {tagged}")
    if header.options != layer.options:
        found.append(f"the header of {lv.name} says {header.options}, its tags {layer.options}")
    return found


def _sizes(volume: Volume, layer: Layer) -> list[str]:
    parent = volume.layer(layer.parent or "")
    size_bytes, below_bytes = layer.virtual_size_bytes, parent.virtual_size_bytes if parent else None
    if parent is None or size_bytes is None or below_bytes is None or size_bytes >= below_bytes:
        return []
    size, below = format_apart(size_bytes, below_bytes)
    return [f"{layer.lv.name} has {size}, fewer than the {below} of {parent.lv.name} below it"]


def chain_faults(volume: Volume) -> tuple[tuple[str, str], ...]:
    """What is wrong with the tree of a volume's layers, by LV name.

    All lines of it end in one oldest layer. One that the current layer does not read through is a branch, and no fault;
    a line with an oldest layer of its own has lost what it reads through. What a clone's bases read through must be
    there as well.
    """
    found: dict[tuple[str, str], None] = {}
    oldest = {}
    for layer in volume.layers:
        last = volume.below(layer)[-1]
        if last.parent is None or volume.is_base(last.parent):
            oldest[layer.lv.name] = last.lv.name
        elif volume.layer(last.parent) is None:
            found[last.parent, "a layer reads through it and it is not there"] = None
        else:
            found[last.parent, "it reads through itself"] = None
    if volume.bases and (missing := volume.bases[-1].parent):
        there = missing in {base.lv.name for base in volume.bases}
        found[missing, "it reads through itself" if there else "a layer reads through it and it is not there"] = None
    expected = oldest.get(volume.name.text)
    for other in oldest.values() if expected else ():
        if other != expected:
            found[other, "the current layer has no layer in common with it"] = None
    return tuple(found)
