"""The picture of a volume group that planners work from: immutable, taken at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from lvmqcow.core.intents import (
    Renaming,
)
from lvmqcow.core.lv import LogicalVolume, Stray
from lvmqcow.core.names import (
    Format,
    Layout,
    VolumeName,
    as_volume_name,
    layout_of,
    new_lv_name,
    owner_of_part,
    pending_removal_origin,
    snapshot_of,
)
from lvmqcow.core.physical import PhysicalVolume, allocatable_extents
from lvmqcow.core.qcow2 import Header
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.core.wiping import Wipe
from lvmqcow.errors import VolumeNotFound

__all__ = ["VolumeGroup"]


@dataclass(frozen=True)
class VolumeGroup:
    """One volume group: its space, its logical volumes, and its state (`lvmqcow.core.fitness` judges the state).

    ``free_extents`` counts the extents that LVM would allocate. ``given_layout`` is the layout that the caller chose
    for volumes that have no snapshot yet. ``strays`` are devices and device nodes under names that no LV has.

    ``owner`` is the system ID of another host that owns the volume group; None: this host owns it, or nobody does.
    ``lock_type`` says how several hosts share the volume group; empty: it is not shared. ``max_logical_volumes`` 0 is
    no limit. ``accepted`` names the states in which the caller consents to changes. ``wipe`` says how LVs are wiped
    before their removal if a request does not say.
    """

    name: str
    uuid: str
    extent_size_bytes: int
    free_extents: int
    logical_volumes: tuple[LogicalVolume, ...]
    missing_physical_volumes: int = 0
    given_layout: Layout | None = None
    strays: tuple[Stray, ...] = ()
    physical_volumes: tuple[PhysicalVolume, ...] = ()
    exported: bool = False
    owner: str | None = None
    lock_type: str = ""
    read_only: bool = False
    max_logical_volumes: int = 0
    allocation_policy: str = "normal"
    accepted: frozenset[str] = frozenset()
    wipe: Wipe = Wipe.NONE

    @cached_property
    def layout(self) -> Layout:
        """The layout of a volume's first snapshot: as given, else as that of the snapshots in the volume group."""
        found = (layout_of(lv.name, owner) for lv in self.logical_volumes if (owner := lv.owner))
        return self.given_layout or _shown(found) or Layout.RFC

    @cached_property
    def _by_name(self) -> Mapping[str, LogicalVolume]:
        return {lv.name: lv for lv in self.logical_volumes}

    @property
    def lv_names(self) -> frozenset[str]:
        return frozenset(self._by_name)

    @property
    def free_bytes(self) -> int:
        return self.free_extents * self.extent_size_bytes

    def room_extents(self, lv: LogicalVolume | None = None) -> int:
        """Return how many free extents LVM would give at most to ``lv``, or to a new LV (None).

        The number follows from the allocation policy, so it is an upper bound (`lvmqcow.core.physical`).
        """
        if not self.physical_volumes:
            return self.free_extents
        given = allocatable_extents(self.physical_volumes, self.allocation_policy, lv.uuid if lv else "")
        return min(self.free_extents, given)

    def lv(self, name: str) -> LogicalVolume | None:
        return self._by_name.get(name)

    def with_headers(self, headers: Mapping[str, Header]) -> VolumeGroup:
        """Return the same picture with these image headers, by LV name."""
        lvs = tuple(lv.with_header(headers.get(lv.name, lv.header)) for lv in self.logical_volumes)
        return replace(self, logical_volumes=lvs)

    @cached_property
    def volumes(self) -> tuple[Volume, ...]:
        """All volumes, sorted by name, including those of which only ``new-`` and ``del-`` LVs are left.

        LVs that belong to no volume are left out.
        """
        owned: dict[VolumeName, list[LogicalVolume]] = {}
        for lv in self.logical_volumes:
            if owner := self._owner(lv):
                owned.setdefault(owner, []).append(lv)
        alone = [volume for name in sorted(owned) if (volume := self._assemble(name, owned[name])).logical_volumes]
        layers = {layer.lv.name: layer for volume in alone for layer in volume.layers}
        readers: dict[str, list[Layer]] = {}
        for layer in layers.values():
            named = layer.lv.header.parent_lv(self.name) if layer.lv.header else None
            for parent in {layer.parent, named} - {None}:
                reader = layer if layer.parent == parent else replace(layer, parent=parent)
                readers.setdefault(str(parent), []).append(reader)
        return tuple(_linked(volume, layers, readers) for volume in alone)

    def volume(self, name: VolumeName) -> Volume:
        """Return the volume of that name.

        Raises:
            VolumeNotFound: no LV belongs to the volume, or only LVs that wait for their removal.
        """
        for volume in self.volumes:
            if volume.name == name and volume.members:
                return volume
        raise VolumeNotFound(self.name, name.text)

    def find(self, name: VolumeName) -> Volume | None:
        """Return the volume that is being renamed or converted to that name, else the volume that has it, else None."""
        unfinished = (volume for volume in self.volumes if name in (volume.rename_target, volume.convert_target))
        return next(unfinished, None) or next((volume for volume in self.volumes if volume.name == name), None)

    def owner_of(self, stray: Stray) -> VolumeName | None:
        """Return the volume that a stray belonged to, by the stray's name; None if its name is not one of ours."""
        name = pending_removal_origin(stray.lv_name) or stray.lv_name
        named = (volume.name for volume in self.volumes if snapshot_of(name, volume.name))
        return next(named, None) or owner_of_part(name)

    def strays_of(self, *names: VolumeName) -> tuple[Stray, ...]:
        """Return the strays that belonged to one of these volumes. The volumes need not exist any more."""
        return tuple(stray for stray in self.strays if self.owner_of(stray) in names)

    @property
    def recoverable(self) -> tuple[VolumeName, ...]:
        """The names of all volumes that may have something to recover."""
        gone = {owner for stray in self.strays if (owner := self.owner_of(stray))}
        return tuple(sorted(gone.union(volume.name for volume in self.volumes)))

    @cached_property
    def _renamed(self) -> Mapping[VolumeName, VolumeName]:
        """The old name by the new name, for every unfinished rename."""
        intents = (intent for lv in self.logical_volumes if (intent := Renaming.among(lv.intent_tags)))
        pairs = ((as_volume_name(intent.new), as_volume_name(intent.old)) for intent in intents)
        return {new: old for new, old in pairs if new and old}

    def _owner(self, lv: LogicalVolume) -> VolumeName | None:
        return self._renamed.get(lv.owner, lv.owner) if lv.owner else None

    def _assemble(self, name: VolumeName, own: Sequence[LogicalVolume]) -> Volume:
        rename_target = next((new for new, old in self._renamed.items() if old == name), None)
        names = [name, rename_target] if rename_target else [name]
        snapshots = {lv.name: snapshot for lv in own for each in names if (snapshot := snapshot_of(lv.name, each))}
        currents = {each.text for each in names}
        layers = tuple(
            self._layer(name, lv, snapshots.get(lv.name)) for lv in own if lv.name in currents or lv.name in snapshots
        )
        new = next((lv for lv in own if lv.name == new_lv_name(name)), None)
        pending = tuple(lv for lv in own if pending_removal_origin(lv.name))
        layout = _shown(layout_of(lv.name, each) for lv in own for each in names) or self.layout
        return Volume(self.name, name, layers, new, pending, layout, rename_target)

    def _layer(self, name: VolumeName, lv: LogicalVolume, snapshot: str | None) -> Layer:
        if name.format is Format.RAW:
            return Layer(lv, name, snapshot, None, lv.size_bytes)
        if lv.recorded_size_bytes is not None:
            return Layer(lv, name, snapshot, lv.recorded_parent, lv.recorded_size_bytes)
        if lv.header is not None:
            parent = lv.header.parent_lv(self.name)
            return Layer(lv, name, snapshot, parent, lv.header.virtual_size_bytes)
        return Layer(lv, name, snapshot, None, None)


def _linked(volume: Volume, layers: Mapping[str, Layer], readers: Mapping[str, list[Layer]]) -> Volume:
    """Return the volume with its bases and its clones filled in.

    ``layers`` has the layers of all volumes by LV name, ``readers`` has them by the parent that they read through.
    """
    own = {layer.lv.name for layer in volume.layers}
    outside = sorted(layer.parent for layer in volume.layers if layer.parent and layer.parent not in own)
    bases: list[Layer] = []
    base = next((layers[name] for name in outside if name in layers), None)
    while base is not None and base not in bases:
        bases.append(base)
        base = layers.get(base.parent or "")
    above = (reader for name in sorted(own) for reader in readers.get(name, ()))
    clones = tuple(layer for layer in above if layer.lv.name not in own)
    return replace(volume, bases=tuple(bases), clones=clones) if bases or clones else volume


def _shown(layouts: Iterable[Layout | None]) -> Layout | None:
    """Return the layout that occurs. If both occur, return that of Proxmox VE, which can read no other."""
    found = set(layouts) - {None}
    return Layout.PVE9 if Layout.PVE9 in found else next(iter(found), None)
