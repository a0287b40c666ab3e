"""Questions that recoveries ask about a volume: which LV carries an intent, and which layer reads through which."""

from __future__ import annotations

from collections.abc import Iterable

from lvmqcow.core.lv import LogicalVolume
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.core.wiping import WIPE_PREFIX
from lvmqcow.errors import Corrupt

__all__ = [
    "is_changing",
    "is_current",
    "is_snapshot",
    "is_unread",
    "parent_in_header",
    "reads_through",
    "require_read_by_none_but",
    "wipe_records",
]


def is_changing(volume: Volume, lv: LogicalVolume) -> bool:
    """Return whether the LV is a layer of a volume that is no template."""
    return volume.layer(lv.name) is not None and not any(each.lv.template for each in volume.layers)


def is_current(volume: Volume, lv: LogicalVolume) -> bool:
    """Return whether the LV is the current LV of a volume that is no template."""
    return is_changing(volume, lv) and lv.name == volume.name.text


def is_snapshot(volume: Volume, lv: LogicalVolume) -> bool:
    """Return whether the LV is a snapshot of a volume that is no template."""
    return is_changing(volume, lv) and lv.name != volume.name.text


def is_unread(volume: Volume, lv: LogicalVolume) -> bool:
    """Return whether the LV is a layer that no other layer reads through."""
    layer = volume.layer(lv.name)
    return layer is not None and not volume.children(layer) and not volume.clones_of(layer)


def parent_in_header(volume: Volume, layer: Layer) -> str | None:
    """Return the parent that a layer's header names, or, if the header was not read, the parent that its tags name."""
    return layer.lv.header.parent_lv(volume.vg) if layer.lv.header else layer.parent


def reads_through(volume: Volume, reader: str, read: str) -> bool:
    """Return whether the header of the layer ``reader`` was read and names ``read`` as its parent."""
    layer = volume.layer(reader)
    return layer is not None and layer.lv.header is not None and layer.lv.header.parent_lv(volume.vg) == read


def require_read_by_none_but(volume: Volume, snapshot: Layer, readers: tuple[Layer, ...]) -> None:
    """Refuse to remove a snapshot if a layer of the volume other than ``readers`` reads through it. Raises Corrupt."""
    others = [layer for layer in volume.layers if layer not in readers]
    wrong = [layer.lv.name for layer in others if snapshot.lv.name in (layer.parent, parent_in_header(volume, layer))]
    if wrong:
        removed = f"{snapshot.lv.name}, which would be removed"
        raise Corrupt(volume.target, [f"{name} reads through {removed}" for name in wrong])


def wipe_records(lvs: Iterable[LogicalVolume]) -> tuple[str, ...]:
    """Return the tags of these LVs that record a wipe."""
    return tuple(sorted({tag for lv in lvs for tag in lv.tags if tag.startswith(WIPE_PREFIX)}))
