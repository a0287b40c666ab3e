"""Whether the names, tags and headers of a volume agree."""

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
    """List where a layer's name, tags and header disagree, and where the layer disagrees with its parent."""
    if volume.name.format is Format.RAW:
        return ()
    return (*_index(layer.lv), *_volume_tags(volume, layer.lv), *_header(volume, layer), *_sizes(volume, layer))


def _index(lv: LogicalVolume) -> list[str]:
    tags, whole = lv.index_tags, index_tags(0, lv.recorded_parent, lv.recorded_options)
    if not tags or (lv.recorded_size_bytes is not None and len(tags) == len(whole)):
        return []
    return [f"{lv.name} has the tags {', '.join(tags)}, which are not the index tags of one image"]


def volumes_tagged(lv: LogicalVolume) -> tuple[VolumeName, ...]:
    """Return the qcow2 volumes that the LV is a layer of by its tags. The tag of a raw volume says nothing."""
    return tuple(name for name in lv.named_volumes if name.format is Format.QCOW2)


def _volume_tags(volume: Volume, lv: LogicalVolume) -> list[str]:
    """Report a missing or second volume tag.

    A current LV is recognised by its name. The next snapshot gives it another name, and then only the tag identifies
    it.
    """
    volumes = volumes_tagged(lv)
    if not volumes:
        return [f"{lv.name} lacks the tag {volume.name.volume_tag}, which identifies the snapshots of the volume"]
    return [f"{lv.name} has the tags of {' and '.join(map(str, volumes))}"] if len(volumes) > 1 else []


def _header(volume: Volume, layer: Layer) -> list[str]:
    lv, header = layer.lv, layer.lv.header
    if header is None:
        return [f"{lv.name} has no readable qcow2 header"] if lv.active else []
    found = [f"{lv.name} must not be opened: {reason}" for reason in header.layer_reasons(volume.vg)]
    named = header.parent_lv(volume.vg)
    if named != layer.parent:
        header_says, tags_say = named or "no backing file", layer.parent or "no parent"
        found.append(f"the header of {lv.name} names {header_says}, its tags name {tags_say}")
    if layer.virtual_size_bytes is not None and header.virtual_size_bytes != layer.virtual_size_bytes:
        says, tagged = format_apart(header.virtual_size_bytes, layer.virtual_size_bytes)
        found.append(f"the header of {lv.name} gives a virtual size of {says}, its tags give {tagged}")
    if header.options != layer.options:
        found.append(f"the header of {lv.name} gives the options {header.options}, its tags give {layer.options}")
    return found


def _sizes(volume: Volume, layer: Layer) -> list[str]:
    parent = volume.layer(layer.parent or "")
    size_bytes, below_bytes = layer.virtual_size_bytes, parent.virtual_size_bytes if parent else None
    if parent is None or size_bytes is None or below_bytes is None or size_bytes >= below_bytes:
        return []
    size, below = format_apart(size_bytes, below_bytes)
    return [f"{layer.lv.name} has a virtual size of {size}, less than the {below} of its parent {parent.lv.name}"]


def chain_faults(volume: Volume) -> tuple[tuple[str, str], ...]:
    """List what is wrong with the tree of a volume's layers, as pairs of an LV name and a text.

    Every layer must lead down to the same oldest layer. A layer that the current one does not read through belongs to a
    branch, which is no fault. A layer that leads to another oldest layer has lost the layer that it reads through. The
    layers that a clone's bases read through must exist as well.
    """
    missing_text = "a layer reads through this logical volume, which is not there"
    circle_text = "this layer reads through itself"
    found: dict[tuple[str, str], None] = {}
    oldest = {}
    for layer in volume.layers:
        last = volume.below(layer)[-1]
        if last.parent is None or volume.is_base(last.parent):
            oldest[layer.lv.name] = last.lv.name
        elif volume.layer(last.parent) is None:
            found[last.parent, missing_text] = None
        else:
            found[last.parent, circle_text] = None
    if volume.bases and (missing := volume.bases[-1].parent):
        there = missing in {base.lv.name for base in volume.bases}
        found[missing, circle_text if there else missing_text] = None
    expected = oldest.get(volume.name.text)
    for other in oldest.values() if expected else ():
        if other != expected:
            found[other, "the current layer has no layer in common with this snapshot"] = None
    return tuple(found)
