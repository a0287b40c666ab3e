"""One virtual disk: its layers, and what an operation that was cut left of it."""

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
    """An LV that is part of a volume: the current one (``snapshot`` is None) or a snapshot."""

    lv: LogicalVolume
    volume: VolumeName
    snapshot: str | None
    parent: str | None
    virtual_size_bytes: int | None

    @property
    def source(self) -> str:
        """How a clone of it names it: ``VOLUME@SNAPSHOT``, or a template's ``VOLUME``."""
        return f"{self.volume}@{self.snapshot}" if self.snapshot else self.volume.text

    @property
    def indexed(self) -> bool:
        return self.lv.recorded_size_bytes is not None

    @property
    def options(self) -> ImageOptions:
        """Those of its image, by tags or by its header; of a raw volume, nothing."""
        return self.lv.header.options if self.lv.header and not self.indexed else self.lv.recorded_options

    @property
    def known(self) -> bool:
        """Whether its parent, size and options are known, by tags or by its header."""
        return self.virtual_size_bytes is not None


@dataclass(frozen=True)
class Volume:
    """One virtual disk: its layers, and what a cut operation left of it.

    ``layout`` says what the LVs of its snapshots are called. ``rename_target`` is its name once the rename
    that was begun on it is done. Until then its layers may have names and tags of either.

    A volume may be a linked clone: its lowest layer reads through ``bases``, layers of other volumes, the nearest
    first. ``clones`` are the layers of other volumes that read through its own, directly. What a clone reads through
    does not change: so an operation on a clone needs no lock but its own.
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
        """All of its LVs, leftovers included."""
        return (*self.members, *self.pending_removals)

    @property
    def members(self) -> tuple[LogicalVolume, ...]:
        """Those that are not out of the way already, under a ``del-`` name."""
        return (*(layer.lv for layer in self.layers), *((self.new,) if self.new else ()))

    @property
    def own_pending_removals(self) -> tuple[LogicalVolume, ...]:
        """Those that are, and that are ours to remove; another tool is about to wipe the others.

        They may be of an earlier volume of the same name: nothing of this one depends on them.
        """
        return tuple(lv for lv in self.pending_removals if lv.ours)

    @property
    def devices_to_restore(self) -> tuple[LogicalVolume, ...]:
        """Those of its LVs, and of those it reads through, whose device has to be put right first."""
        return tuple(lv for lv in (*self.logical_volumes, *(base.lv for base in self.bases)) if lv.devices_to_restore)

    @property
    def convert_target(self) -> VolumeName | None:
        """The volume that its content is on its way into, where it was begun to be converted."""
        intents = (intent for lv in self.logical_volumes if (intent := Converting.among(lv.tags)))
        return next((as_volume_name(intent.new) for intent in intents), None)

    @property
    def current(self) -> Layer:
        """The layer the guest writes to.

        Raises:
            Corrupt: there is none.
        """
        layer = self.layer(self.name.text)
        if layer is None:
            raise Corrupt(self.target, [f"there is no current logical volume {self.name}"])
        return layer

    def layer(self, lv_name: str) -> Layer | None:
        return self._by_lv.get(lv_name)

    def snapshot(self, snapshot: str) -> Layer:
        """The layer of a snapshot.

        Raises:
            SnapshotNotFound: with those that are there.
            Corrupt: two LVs are that snapshot, each in a layout of its own.
        """
        found = [layer for layer in self.layers if layer.snapshot == snapshot]
        if not found:
            raise SnapshotNotFound(self.target, snapshot, self.snapshots)
        if len(found) > 1:
            raise Corrupt(self.target, [f"{layer.lv.name} is snapshot {snapshot!r}" for layer in found])
        return found[0]

    def snapshot_lv(self, snapshot: str) -> str:
        """What the LV of a new snapshot will be called."""
        return snapshot_lv_name(self.name, snapshot, self.layout)

    def children(self, layer: Layer) -> tuple[Layer, ...]:
        """Its own layers that read through ``layer``."""
        return tuple(child for child in self.layers if child.parent == layer.lv.name)

    def clones_of(self, *layers: Layer) -> tuple[str, ...]:
        """The names of the clones that read through any of its ``layers``, be it through others."""
        found = {
            clone.volume.text
            for clone in self.clones
            if (read := self.layer(clone.parent or "")) and not set(layers).isdisjoint(self.below(read))
        }
        return tuple(sorted(found))

    def reads(self, layer: Layer) -> tuple[Layer, ...]:
        """All that has to be active for a layer to be read, as far as it is there: itself, its own, its bases."""
        return (*self.below(layer), *self.bases)

    @cached_property
    def chain(self) -> tuple[Layer, ...]:
        """Current, newest snapshot, …, oldest. The layers of a volume are a tree; this is one line through it.

        Raises:
            Corrupt: no current LV, a parent that is not there, or a circle.
        """
        return self.line(self.current)

    def line(self, layer: Layer) -> tuple[Layer, ...]:
        """A layer and all of the volume that it reads through, down to the oldest.

        Raises:
            Corrupt: a parent that is not there, or a circle.
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
        """Whether that is the layer of another volume that its lowest one reads through."""
        return bool(self.bases) and self.bases[0].lv.name == lv_name

    def below(self, layer: Layer) -> tuple[Layer, ...]:
        """A layer and those of the volume that it reads through, as far as they are there."""
        below = [layer]
        while (parent := self.layer(below[-1].parent or "")) is not None and parent not in below:
            below.append(parent)
        return tuple(below)

    @property
    def branches(self) -> tuple[Layer, ...]:
        """The layers that the current one does not read through, branch by branch, each after its parent."""
        beside = (layer for layer in self.layers if layer not in self._reached)
        return tuple(sorted(beside, key=lambda layer: [below.lv.name for below in reversed(self.below(layer))]))

    @property
    def snapshots(self) -> tuple[str, ...]:
        """Names of the snapshots under the current layer, oldest first; then those of other branches."""
        return tuple(layer.snapshot for layer in (*reversed(self._reached), *self.branches) if layer.snapshot)

    @cached_property
    def _reached(self) -> tuple[Layer, ...]:
        """The chain; nothing where that is damaged."""
        try:
            return self.chain
        except Corrupt:
            return ()
