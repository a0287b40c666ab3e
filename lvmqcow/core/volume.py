"""One virtual disk: its layers, and the LVs that an interrupted operation left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from lvmqcow.core.intents import Converting
from lvmqcow.core.lv import LogicalVolume
from lvmqcow.core.names import (
    Layout,
    VolumeName,
    as_volume_name,
    snapshot_lv_name,
)
from lvmqcow.core.qcow2 import ImageOptions
from lvmqcow.errors import Corrupt, SnapshotNotFound

__all__ = ["Layer", "Volume"]


@dataclass(frozen=True)
class Layer:
    """An LV that is part of a volume: the current LV (``snapshot`` is None) or a snapshot.

    ``parent`` is the name of the LV that the layer reads through, its backing file; None if it has no backing file, or
    if neither tags nor header were seen. ``virtual_size_bytes`` is the size that a guest sees; None if unknown.
    """

    lv: LogicalVolume
    volume: VolumeName
    snapshot: str | None
    parent: str | None
    virtual_size_bytes: int | None

    @property
    def source(self) -> str:
        """How users name the layer as the source of a clone: ``VOLUME@SNAPSHOT``, or ``VOLUME`` for a template."""
        return f"{self.volume}@{self.snapshot}" if self.snapshot else self.volume.text

    @property
    def indexed(self) -> bool:
        return self.lv.recorded_size_bytes is not None

    @property
    def options(self) -> ImageOptions:
        """The options of the layer's image, by its tags or by its header. For a raw volume they mean nothing."""
        return self.lv.header.options if self.lv.header and not self.indexed else self.lv.recorded_options

    @property
    def known(self) -> bool:
        """Whether the layer's parent, size and options are known, by its tags or by its header."""
        return self.virtual_size_bytes is not None


@dataclass(frozen=True)
class Volume:
    """One virtual disk: its layers, and the LVs that an interrupted operation left.

    ``layout`` says how the LVs of its snapshots are named. ``new`` is the next current LV of a snapshot that was cut.
    ``pending_removals`` are LVs under a ``del-`` name. ``rename_target`` is the new name of a volume whose rename is
    unfinished; its layers may have the names and tags of either name.

    A volume may be a linked clone: its lowest layer reads through ``bases``, layers of other volumes, the nearest
    first. ``clones`` are the layers of other volumes that read directly through a layer of this one. The bases of a
    clone never change, so an operation on a clone needs only the clone's lock.
    """

    vg: str
    name: VolumeName
    layers: tuple[Layer, ...]
    new: LogicalVolume | None
    pending_removals: tuple[LogicalVolume, ...]
    layout: Layout
    rename_target: VolumeName | None = None
    bases: tuple[Layer, ...] = ()
    clones: tuple[Layer, ...] = ()

    @property
    def target(self) -> str:
        """``VG/VOLUME``, as lvm2 writes it."""
        return f"{self.vg}/{self.name}"

    @cached_property
    def _by_lv(self) -> Mapping[str, Layer]:
        return {layer.lv.name: layer for layer in self.layers}

    @property
    def logical_volumes(self) -> tuple[LogicalVolume, ...]:
        """All LVs of the volume, including those that wait for their removal."""
        return (*self.members, *self.pending_removals)

    @property
    def members(self) -> tuple[LogicalVolume, ...]:
        """The LVs of the volume, without those that wait for their removal under a ``del-`` name."""
        return (*(layer.lv for layer in self.layers), *((self.new,) if self.new else ()))

    @property
    def own_pending_removals(self) -> tuple[LogicalVolume, ...]:
        """The LVs that wait for their removal and that lvmqcow renamed. Another tool removes the others.

        They may have belonged to an earlier volume of the same name. No layer depends on them.
        """
        return tuple(lv for lv in self.pending_removals if lv.ours)

    @property
    def devices_to_restore(self) -> tuple[LogicalVolume, ...]:
        """The LVs of the volume and of its bases whose devices recovery has to repair first."""
        return tuple(lv for lv in (*self.logical_volumes, *(base.lv for base in self.bases)) if lv.devices_to_restore)

    @property
    def convert_target(self) -> VolumeName | None:
        """The volume that this one is being converted to; None if no conversion is unfinished."""
        intents = (intent for lv in self.logical_volumes if (intent := Converting.among(lv.tags)))
        return next((as_volume_name(intent.new) for intent in intents), None)

    @property
    def current(self) -> Layer:
        """The layer that the guest writes to.

        Raises:
            Corrupt: the volume has no current LV.
        """
        layer = self.layer(self.name.text)
        if layer is None:
            raise Corrupt(self.target, [f"there is no current logical volume {self.name}"])
        return layer

    def layer(self, lv_name: str) -> Layer | None:
        return self._by_lv.get(lv_name)

    def snapshot(self, snapshot: str) -> Layer:
        """Return the layer of a snapshot.

        Raises:
            SnapshotNotFound: with the snapshots that exist.
            Corrupt: two LVs claim to be the snapshot, one in each layout.
        """
        found = [layer for layer in self.layers if layer.snapshot == snapshot]
        if not found:
            raise SnapshotNotFound(self.target, snapshot, self.snapshots)
        if len(found) > 1:
            raise Corrupt(self.target, [f"{layer.lv.name} claims to be snapshot {snapshot!r}" for layer in found])
        return found[0]

    def snapshot_lv(self, snapshot: str) -> str:
        """Return the name that the LV of a new snapshot gets."""
        return snapshot_lv_name(self.name, snapshot, self.layout)

    def children(self, layer: Layer) -> tuple[Layer, ...]:
        """Return the layers of this volume that read directly through ``layer``."""
        return tuple(child for child in self.layers if child.parent == layer.lv.name)

    def clones_of(self, *layers: Layer) -> tuple[str, ...]:
        """Return the names of the clones that read through any of these layers, directly or through other layers."""
        found = {
            clone.volume.text
            for clone in self.clones
            if (read := self.layer(clone.parent or "")) and not set(layers).isdisjoint(self.below(read))
        }
        return tuple(sorted(found))

    def reads(self, layer: Layer) -> tuple[Layer, ...]:
        """Return all layers that must be active to read ``layer``: the layer, those below it, and the bases.

        Layers that do not exist are left out.
        """
        return (*self.below(layer), *self.bases)

    @cached_property
    def chain(self) -> tuple[Layer, ...]:
        """The current layer, the newest snapshot, …, the oldest. The layers form a tree; the chain is one line in it.

        Raises:
            Corrupt: the volume has no current LV, a parent is missing, or a layer reads through itself.
        """
        return self.line(self.current)

    def line(self, layer: Layer) -> tuple[Layer, ...]:
        """Return a layer and all layers of the volume that it reads through, down to the oldest.

        Raises:
            Corrupt: a parent is missing, or a layer reads through itself.
        """
        line = [layer]
        while (name := line[-1].parent) is not None and not self.is_base(name):
            parent = self.layer(name)
            if parent is None:
                raise Corrupt(self.target, [f"{line[-1].lv.name} reads through {name}, which is not there"])
            if parent in line:
                raise Corrupt(self.target, [f"{name} reads through itself"])
            line.append(parent)
        if name is not None and (missing := self.bases[-1].parent):
            raise Corrupt(self.target, [f"{self.bases[-1].lv.name} reads through {missing}, which is not there"])
        return tuple(line)

    def is_base(self, lv_name: str) -> bool:
        """Return whether that LV is the layer of another volume that this volume's lowest layer reads through."""
        return bool(self.bases) and self.bases[0].lv.name == lv_name

    def below(self, layer: Layer) -> tuple[Layer, ...]:
        """Return a layer and the layers of the volume that it reads through, up to the first that is missing."""
        below = [layer]
        while (parent := self.layer(below[-1].parent or "")) is not None and parent not in below:
            below.append(parent)
        return tuple(below)

    @property
    def branches(self) -> tuple[Layer, ...]:
        """The layers that the current layer does not read through, branch by branch, each after its parent."""
        beside = (layer for layer in self.layers if layer not in self._reached)
        return tuple(sorted(beside, key=lambda layer: [below.lv.name for below in reversed(self.below(layer))]))

    @property
    def snapshots(self) -> tuple[str, ...]:
        """The names of the snapshots below the current layer, oldest first; then those of other branches."""
        return tuple(layer.snapshot for layer in (*reversed(self._reached), *self.branches) if layer.snapshot)

    @cached_property
    def _reached(self) -> tuple[Layer, ...]:
        """The chain; empty if the chain is damaged."""
        try:
            return self.chain
        except Corrupt:
            return ()
