"""The picture of a volume group that planners work from: immutable, taken at one moment.

Tags index what the qcow2 headers say (the parent's LV name, the virtual size, the options where they are not ours), so
that one LVM report suffices and nothing has to be active. A layer without our tags, written by Proxmox VE, is known by
its header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import assert_never

from lvmqcow.core.intents import (
    Converting,
    Creating,
    Discarding,
    Flattening,
    Intent,
    Pulling,
    Pushing,
    Removing,
    Renaming,
    Resizing,
    RollingBack,
    Unknown,
    parse_intent,
)
from lvmqcow.core.names import (
    Format,
    Layout,
    VolumeName,
    as_volume_name,
    doomed_origin,
    layout_of,
    new_lv_name,
    owner_of_part,
    snapshot_lv_name,
    snapshot_of,
)
from lvmqcow.core.physical import PhysicalVolume, allocatable_extents
from lvmqcow.core.qcow2 import OURS, Header, ImageOptions
from lvmqcow.core.wiping import Wiping, parse_wiping
from lvmqcow.errors import Corrupt, SnapshotNotFound, VolumeNotFound

__all__ = [
    "TEMPLATE",
    "Layer",
    "LogicalVolume",
    "Stray",
    "StrayKind",
    "Volume",
    "VolumeGroup",
    "index_tags",
    "parent_tags",
]

_PARENT_PREFIX = "lvmqcow.parent="
_SIZE_PREFIX = "lvmqcow.size="
_OPTIONS_PREFIX = "lvmqcow.image="

TEMPLATE = "lvmqcow.template"
"""The tag of a current LV that never changes again."""


def index_tags(virtual_size_bytes: int, parent: str | None, options: ImageOptions = OURS) -> tuple[str, ...]:
    """The tags that index an image: its virtual size, its parent's LV name if it has one, its options if not ours."""
    return (f"{_SIZE_PREFIX}{virtual_size_bytes}", *parent_tags(parent), *_options_tags(options))


def parent_tags(parent: str | None) -> tuple[str, ...]:
    """The part of `index_tags` that names the parent."""
    return (f"{_PARENT_PREFIX}{parent}",) if parent else ()


def _options_tags(options: ImageOptions) -> tuple[str, ...]:
    if options == OURS:
        return ()
    return (f"{_OPTIONS_PREFIX}{options.cluster_size_bytes}{'/extended_l2' if options.extended_l2 else ''}",)


@dataclass(frozen=True)
class LogicalVolume:
    """One LV as LVM reports it, with its image's header where that was read.

    ``partial``: some of it is on a physical volume that is missing. ``autoactivated``: at every boot, by LVM itself.

    Three things may be wrong with its device, where an lvm was killed while it changed the LV:

    ``suspended``: it is suspended, has no table, or another one than LVM's metadata says. Whoever uses it may wait for
    ever, until it is refreshed. Another host that changed the LV leaves the same.
    ``preloaded``: a second table waits in it that was never committed. The next LVM command that resumes the device
    would put that table in force: it may map extents that are free, or another LV's.
    ``misplaced``: its name in ``/dev`` is missing or leads to another device, or is there though it is not active.

    ``device_number`` is the kernel's, major and minor; it says nothing of the LV itself.
    """

    name: str
    uuid: str
    size_bytes: int
    tags: frozenset[str]
    active: bool
    header: Header | None = None
    partial: bool = False
    writable: bool = True
    autoactivated: bool = False
    suspended: bool = False
    preloaded: bool = False
    misplaced: bool = False
    device_number: tuple[int, int] | None = field(default=None, compare=False)

    @property
    def readable(self) -> bool:
        """Whether its device is there under its name, and answers."""
        return self.active and not (self.suspended or self.misplaced)

    @property
    def unsettled(self) -> bool:
        """Whether its device has to be put right before the LV is used."""
        return self.suspended or self.preloaded or self.misplaced

    @property
    def template(self) -> bool:
        return TEMPLATE in self.tags

    @property
    def intent(self) -> Intent | None:
        return self.intents[0] if self.intents else None

    @property
    def intents(self) -> tuple[Intent, ...]:
        """All it carries; a cut leaves one at most."""
        return tuple(intent for tag in sorted(self.tags) if (intent := parse_intent(tag)))

    @cached_property
    def named_volumes(self) -> tuple[VolumeName, ...]:
        """The volumes that its tags name."""
        named = (as_volume_name(tag.removeprefix("pve-")) for tag in sorted(self.tags) if tag.startswith("pve-vm-"))
        return tuple(name for name in named if name)

    @property
    def ours(self) -> bool:
        """Whether lvmqcow made it, or works on it."""
        return self.intent is not None or self.wiping is not None or self.recorded_size_bytes is not None

    @property
    def wiping(self) -> Wiping | Unknown | None:
        """Whether, and how, it is to be wiped before it is removed."""
        return parse_wiping(self.tags)

    @property
    def recorded_parent(self) -> str | None:
        return self._recorded(_PARENT_PREFIX)

    @property
    def recorded_size_bytes(self) -> int | None:
        text = self._recorded(_SIZE_PREFIX)
        return int(text) if text and text.isdecimal() else None

    @property
    def recorded_options(self) -> ImageOptions:
        """Ours, where no tag says others."""
        match = re.fullmatch(r"([0-9]{1,9})(/extended_l2)?", self._recorded(_OPTIONS_PREFIX) or "")
        return ImageOptions(int(match[1]), extended_l2=match[2] is not None) if match else OURS

    @property
    def index_tags(self) -> tuple[str, ...]:
        """The index tags it has."""
        prefixes = (_PARENT_PREFIX, _SIZE_PREFIX, _OPTIONS_PREFIX)
        return tuple(sorted(tag for tag in self.tags if tag.startswith(prefixes)))

    def _recorded(self, prefix: str) -> str | None:
        values = sorted(tag.removeprefix(prefix) for tag in self.tags if tag.startswith(prefix))
        return values[0] if len(values) == 1 else None


class StrayKind(StrEnum):
    """What is there under a name that no LV has."""

    DEVICE = "device"
    """A device-mapper device of an LV that was removed: its table maps extents that are free, or another LV's."""
    NODE = "node"
    """A device node alone. Its number is another LV's one day."""
    LINK = "link"
    """A link in ``/dev/VG`` that leads nowhere."""
    OTHER = "other"
    """A file, or a device that LVM did not make for this group. It may hold somebody's data: nobody removes it."""


@dataclass(frozen=True)
class Stray:
    """What an lvm that was killed in a removal or a rename leaves in ``/dev``; ``lv_name`` is the name it has there."""

    lv_name: str
    kind: StrayKind


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

    ``layout`` says what the LVs of its snapshots are called. ``becoming`` is what it will be called when the rename
    that was begun on it is done. Until then its layers may have names and tags of either.

    A volume may be a linked clone: its lowest layer reads through ``bases``, layers of other volumes, the nearest
    first. ``clones`` are the layers of other volumes that read through its own, directly. What a clone reads through
    does not change: so an operation on a clone needs no lock but its own.
    """

    vg: str
    name: VolumeName
    layers: tuple[Layer, ...]
    new: LogicalVolume | None
    doomed: tuple[LogicalVolume, ...]
    layout: Layout
    becoming: VolumeName | None = None
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
        return (*self.kept, *self.doomed)

    @property
    def kept(self) -> tuple[LogicalVolume, ...]:
        """Those that are not out of the way already, under a ``del-`` name."""
        return (*(layer.lv for layer in self.layers), *((self.new,) if self.new else ()))

    @property
    def leaving(self) -> tuple[LogicalVolume, ...]:
        """Those that are, and that are ours to remove; another tool is about to wipe the others.

        They may be of an earlier volume of the same name: nothing of this one depends on them.
        """
        return tuple(lv for lv in self.doomed if lv.ours)

    @property
    def unfinished(self) -> bool:
        """Whether an operation on it was cut, or runs, that no guest may meet: but for what is out of the way already.

        A merge can wait, for want of space, as long as each image names what it still reads through.
        """
        cut = self.new is not None or any(lv.intent and not self._can_wait(lv) for lv in self.kept)
        return cut or bool(self.unsettled)

    @property
    def unsettled(self) -> tuple[LogicalVolume, ...]:
        """Those of its LVs, and of those it reads through, whose device has to be put right first."""
        return tuple(lv for lv in (*self.logical_volumes, *(base.lv for base in self.bases)) if lv.unsettled)

    def _can_wait(self, lv: LogicalVolume) -> bool:
        intent = lv.intent
        match intent:
            case Pulling(child=reader) | Pushing(child=reader):
                read = lv.name
            case Flattening(base=read):
                reader = lv.name
            case Creating() | RollingBack() | Discarding() | Removing() | Renaming() | Resizing() | Converting():
                return False
            case Unknown() | None:
                return False
            case _:
                assert_never(intent)
        if reader == read:  # pushed, and under its new name
            return True
        layer = self.layer(reader)
        return layer is not None and layer.lv.header is not None and layer.lv.header.parent_lv(self.vg) == read

    @property
    def converting(self) -> VolumeName | None:
        """The volume that its content is on its way into, where it was begun to be converted."""
        intents = (lv.intent for lv in self.logical_volumes)
        return next((as_volume_name(intent.new) for intent in intents if isinstance(intent, Converting)), None)

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


@dataclass(frozen=True)
class VolumeGroup:
    """One volume group: its space, its logical volumes, and what state it is in (`lvmqcow.core.fitness` judges that).

    ``free_extents`` are those that LVM would allocate. ``given_layout`` is the layout that its user said it has, of
    volumes that show none. ``strays`` are devices and device nodes under names that no LV has.

    ``owner`` is the system ID of the host that it belongs to, where that is another one. ``lock_type`` says how several
    hosts share it; empty: they do not. ``max_logical_volumes`` 0 is no limit. ``accepted`` names the states in which
    its user wants it changed all the same.
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

    @cached_property
    def layout(self) -> Layout:
        """That of new snapshots, where their volume has none yet: as given, else Proxmox VE's if it wrote any here."""
        found = (layout_of(lv.name, owner) for lv in self.logical_volumes if (owner := _owner(lv)))
        return self.given_layout or _shown(found) or Layout.SEED

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
        """How many free extents an LV can get at most, as far as the allocation policy tells; None is a new one."""
        if not self.physical_volumes:
            return self.free_extents
        given = allocatable_extents(self.physical_volumes, self.allocation_policy, lv.uuid if lv else "")
        return min(self.free_extents, given)

    def lv(self, name: str) -> LogicalVolume | None:
        return self._by_name.get(name)

    def with_headers(self, headers: Mapping[str, Header]) -> VolumeGroup:
        """The same picture with image headers filled in, by LV name."""
        lvs = tuple(replace(lv, header=headers.get(lv.name, lv.header)) for lv in self.logical_volumes)
        return replace(self, logical_volumes=lvs)

    @cached_property
    def volumes(self) -> tuple[Volume, ...]:
        """All volumes, by name; those of which only leftovers exist included. Foreign LVs are not among them."""
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
                readers.setdefault(str(parent), []).append(replace(layer, parent=parent))
        return tuple(_linked(volume, layers, readers) for volume in alone)

    def volume(self, name: VolumeName) -> Volume:
        """One volume.

        Raises:
            VolumeNotFound: no LV of that name or with its tag, but for some that wait for their removal.
        """
        for volume in self.volumes:
            if volume.name == name and volume.kept:
                return volume
        raise VolumeNotFound(self.name, name.text)

    def find(self, name: VolumeName) -> Volume | None:
        """The volume that is on its way to that name, or else the one that has it; None if there is neither."""
        unfinished = (volume for volume in self.volumes if name in (volume.becoming, volume.converting))
        return next(unfinished, None) or next((volume for volume in self.volumes if volume.name == name), None)

    def owner_of(self, stray: Stray) -> VolumeName | None:
        """The volume that a stray was a part of, by its name; None if it was nothing of ours."""
        name = doomed_origin(stray.lv_name) or stray.lv_name
        named = (volume.name for volume in self.volumes if snapshot_of(name, volume.name))
        return next(named, None) or owner_of_part(name)

    def strays_of(self, *names: VolumeName) -> tuple[Stray, ...]:
        """The strays that were a part of one of these volumes, which need not be there any more."""
        return tuple(stray for stray in self.strays if self.owner_of(stray) in names)

    @property
    def recoverable(self) -> tuple[VolumeName, ...]:
        """Every name under which something may be left to recover."""
        gone = {owner for stray in self.strays if (owner := self.owner_of(stray))}
        return tuple(sorted(gone.union(volume.name for volume in self.volumes)))

    @cached_property
    def _renamed(self) -> Mapping[VolumeName, VolumeName]:
        """New name to old, for every rename that is not done."""
        intents = (lv.intent for lv in self.logical_volumes)
        pairs = (
            (as_volume_name(intent.new), as_volume_name(intent.old))
            for intent in intents
            if isinstance(intent, Renaming)
        )
        return {new: old for new, old in pairs if new and old}

    def _owner(self, lv: LogicalVolume) -> VolumeName | None:
        owner = _owner(lv)
        return self._renamed.get(owner, owner) if owner else None

    def _assemble(self, name: VolumeName, own: Sequence[LogicalVolume]) -> Volume:
        becoming = next((new for new, old in self._renamed.items() if old == name), None)
        names = [name, becoming] if becoming else [name]
        snapshots = {lv.name: snapshot for lv in own for each in names if (snapshot := snapshot_of(lv.name, each))}
        currents = {each.text for each in names}
        layers = tuple(
            self._layer(name, lv, snapshots.get(lv.name)) for lv in own if lv.name in currents or lv.name in snapshots
        )
        new = next((lv for lv in own if lv.name == new_lv_name(name)), None)
        doomed = tuple(lv for lv in own if doomed_origin(lv.name))
        layout = _shown(layout_of(lv.name, each) for lv in own for each in names) or self.layout
        return Volume(self.name, name, layers, new, doomed, layout, becoming)

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
    """The volume with what it reads through, and what reads through it: all layers by name, and by parent."""
    own = {layer.lv.name for layer in volume.layers}
    outside = sorted(layer.parent for layer in volume.layers if layer.parent and layer.parent not in own)
    bases: list[Layer] = []
    base = next((layers[name] for name in outside if name in layers), None)
    while base is not None and base not in bases:
        bases.append(base)
        base = layers.get(base.parent or "")
    above = (reader for name in sorted(own) for reader in readers.get(name, ()))
    return replace(volume, bases=tuple(bases), clones=tuple(layer for layer in above if layer.lv.name not in own))


def _owner(lv: LogicalVolume) -> VolumeName | None:
    """The volume an LV belongs to: by its volume tag, else (raw, and the leftovers of raw) by its name."""
    named = lv.named_volumes
    if named:
        return named[0] if named[0].format is Format.QCOW2 else None
    return as_volume_name(doomed_origin(lv.name) or lv.name)


def _shown(layouts: Iterable[Layout | None]) -> Layout | None:
    """The one layout of these; of several, Proxmox VE's: it can read no other."""
    found = set(layouts) - {None}
    return Layout.PVE9 if Layout.PVE9 in found else next(iter(found), None)
