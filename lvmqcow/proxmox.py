"""The storage plugin's verbs, under the names that a Proxmox VE storage plugin has for them: thin calls of `Storage`.

They are for readers who know the plugin API: every function says in one line what it is in the rest of the library. A
first argument ``storage`` stands for the API's class, ``storeid`` and ``scfg``. What the API returns as positions or
hashes is returned as a tuple or a dataclass with the same names. What the API dies of is raised as one of
`lvmqcow.errors`.

Sizes are bytes, but for `alloc_image`, which takes KiB as the API does.

The rest of the patch series is steps of plans, and nothing to call: ``lvm_size`` is what planners measure,
``alloc_lvm_image`` and ``lvm_qcow2_format`` are in `lvmqcow.operations.shared.new_volume`, ``alloc_snap_image`` is in
`lvmqcow.operations.snapshot`. There is no ``$running``: the library looks whether something uses a volume, and refuses
what may not happen below a guest (InUse).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lvmqcow.core.names import CURRENT, Format, VolumeName, device_path, parse_volume_name
from lvmqcow.engine.imports import read_size
from lvmqcow.errors import InvalidName, NewerSnapshots, NotPossible, VolumeNotFound
from lvmqcow.info import VolumeInfo
from lvmqcow.operations import Rollback, StreamFormat
from lvmqcow.storage import Storage

__all__ = [
    "PluginData",
    "SnapshotInfo",
    "VolumeSize",
    "activate_volume",
    "alloc_image",
    "clone_image",
    "create_base",
    "deactivate_volume",
    "filesystem_path",
    "find_free_diskname",
    "free_image",
    "get_snap_name",
    "get_snap_volname",
    "list_images",
    "parse_volname",
    "plugindata",
    "rename_volume",
    "volume_export",
    "volume_export_formats",
    "volume_has_feature",
    "volume_import",
    "volume_import_formats",
    "volume_resize",
    "volume_rollback_is_possible",
    "volume_size_info",
    "volume_snapshot",
    "volume_snapshot_delete",
    "volume_snapshot_info",
    "volume_snapshot_rollback",
]


@dataclass(frozen=True)
class PluginData:
    """What a storage of this kind can hold, and what it holds where nothing else is said."""

    content: frozenset[str]
    default_content: frozenset[str]
    format: frozenset[Format]
    default_format: Format


@dataclass(frozen=True)
class VolumeSize:
    """A volume, or a snapshot of it. ``parent`` is a snapshot's name, or what a clone was made of."""

    size_bytes: int | None
    format: Format
    used_bytes: int
    parent: str | None


@dataclass(frozen=True)
class SnapshotInfo:
    """A layer of a volume: ``order`` is 0 for the current one and grows towards the oldest.

    ``parent`` and ``child`` are names of snapshots, or ``current``. Of several children it is the one that the current
    layer reads through.
    """

    order: int
    volname: str
    file: str
    virtual_size_bytes: int | None
    parent: str | None
    child: str | None


_BOTH: Final = frozenset(Format)
_QCOW2: Final = frozenset({Format.QCOW2})
_FEATURES: Final[Mapping[str, Mapping[str, frozenset[Format]]]] = {
    "copy": {"base": _QCOW2, "current": _BOTH, "snap": _QCOW2},
    "rename": {"base": _QCOW2, "current": _BOTH},
    "snapshot": {"current": _QCOW2, "snap": _QCOW2},
    "template": {"current": _QCOW2},
    "clone": {"base": _QCOW2, "snap": _QCOW2},
}
"""By feature, then by what the volume is: a template, the current state, or a snapshot."""


def plugindata() -> PluginData:
    """Which contents and formats there are."""
    return PluginData(frozenset({"images", "rootdir"}), frozenset({"images"}), _BOTH, Format.RAW)


def parse_volname(volname: str) -> tuple[str, str, int, Format]:
    """What a name says: the content type, the name, the machine's number, the format. Raises InvalidName."""
    name = parse_volume_name(volname)
    return "images", name.text, name.vmid, name.format


def get_snap_name(storage: Storage, volname: str, snapname: str | None = None) -> str:
    """The LV of a snapshot that is there, or is to be made; without one, or of ``current``, that of the volume."""
    name = parse_volume_name(volname)
    if snapname in (None, CURRENT):
        return name.text
    return storage.picture(name).volume(name).snapshot_lv(str(snapname))


def get_snap_volname(storage: Storage, volname: str, snapname: str | None = None) -> str:
    """As `get_snap_name`: an LV is called what the volume or snapshot on it is."""
    return get_snap_name(storage, volname, snapname)


def filesystem_path(storage: Storage, volname: str, snapname: str | None = None) -> str:
    """`Volume.path`, whether the LV is there or not."""
    return device_path(storage.vg, get_snap_name(storage, volname, snapname))


def find_free_diskname(storage: Storage, vmid: int, fmt: str = Format.RAW) -> str:
    """`Storage.free_name`. Another process may take it: `alloc_image` without a name is safe against that."""
    return storage.free_name(vmid, _format(fmt)).text


def alloc_image(storage: Storage, vmid: int, fmt: str, name: str | None, size_kib: int) -> str:
    """`Storage.create`, or without a name `Storage.create_disk`; returns the name.

    Raises:
        InvalidName: the name is that of another machine, or the format is none that `plugindata` declares.
        FormatMismatch, AlreadyExists, NoSpace, InvalidSize.
    """
    if name is None:
        return storage.create_disk(vmid, size_kib * 1024, _format(fmt)).name
    if parse_volume_name(name).vmid != vmid:
        raise InvalidName("volume", name, f"it must be vm-{vmid}-<disk>")
    return storage.create(name, size_kib * 1024, _format(fmt)).name


def free_image(storage: Storage, volname: str) -> None:
    """`Volume.remove`: with all its snapshots."""
    storage.volume(volname).remove()


def list_images(storage: Storage, vmid: int | None = None) -> tuple[VolumeInfo, ...]:
    """`Storage.volumes`, of all machines or of one."""
    volumes = storage.volumes()
    return tuple(info for info in volumes if vmid in (None, parse_volume_name(info.name).vmid))


def activate_volume(storage: Storage, volname: str) -> None:
    """`Volume.activate`: with all its snapshots."""
    storage.volume(volname).activate()


def deactivate_volume(storage: Storage, volname: str) -> None:
    """`Volume.deactivate`: with all its snapshots. Raises InUse."""
    storage.volume(volname).deactivate()


def volume_resize(storage: Storage, volname: str, size_bytes: int) -> None:
    """`Volume.resize`."""
    storage.volume(volname).resize(size_bytes)


def volume_size_info(storage: Storage, volname: str, snapname: str | None = None) -> VolumeSize:
    """The size that a guest sees, never that of the LV; what it takes on LVM is ``used_bytes``."""
    name = parse_volume_name(volname)
    volume = storage.picture(name).volume(name)
    layer = volume.snapshot(snapname) if snapname and snapname != CURRENT else volume.current
    below = volume.layer(layer.parent) if layer.parent else None
    base = next(info.base for info in storage.volumes() if info.name == name.text)
    return VolumeSize(
        layer.virtual_size_bytes,
        name.format,
        layer.lv.size_bytes,
        (below.snapshot if below else base) if layer.parent else None,
    )


def volume_snapshot(storage: Storage, volname: str, snap: str) -> None:
    """`Volume.snapshot`."""
    storage.volume(volname).snapshot(snap)


def volume_rollback_is_possible(storage: Storage, volname: str, snap: str, blockers: list[str] | None = None) -> bool:
    """Whether `volume_snapshot_rollback` would be refused; if so, as it would be.

    Raises:
        NewerSnapshots: ``snap`` is not the newest; those in the way are appended to ``blockers``.
        SnapshotNotFound, NotPossible, InUse.
    """
    try:
        storage.plan(Rollback(parse_volume_name(volname), snap))
    except NewerSnapshots as refused:
        if blockers is not None:
            blockers += refused.blockers
        raise
    return True


def volume_snapshot_rollback(storage: Storage, volname: str, snap: str) -> None:
    """`Volume.rollback`: to the newest snapshot."""
    storage.volume(volname).rollback(snap)


def volume_snapshot_delete(storage: Storage, volname: str, snap: str) -> None:
    """`Volume.delete_snapshot`: to whichever side moves less."""
    storage.volume(volname).delete_snapshot(snap)


def volume_snapshot_info(storage: Storage, volname: str) -> Mapping[str, SnapshotInfo]:
    """`Volume.layers` by the names of the snapshots, and under ``current``. Of a raw volume there is nothing to say."""
    name = parse_volume_name(volname)
    layers = storage.layers(name)
    if name.format is Format.RAW:
        return {}
    called = {layer.lv: layer.snapshot or CURRENT for layer in layers}
    child: dict[str, str] = {}
    for layer in layers:  # what the current layer reads through comes first
        if layer.parent:
            child.setdefault(layer.parent, called[layer.lv])
    return {
        called[layer.lv]: SnapshotInfo(
            order,
            layer.lv,
            device_path(storage.vg, layer.lv),
            layer.virtual_size_bytes,
            called.get(layer.parent or ""),
            child.get(layer.lv),
        )
        for order, layer in enumerate(layers)
    }


def volume_has_feature(storage: Storage, feature: str, volname: str, snapname: str | None = None) -> bool:
    """Whether ``copy``, ``rename``, ``snapshot``, ``template`` or ``clone`` can be asked of a volume or a snapshot."""
    info = _info(storage, parse_volume_name(volname))
    kind = "snap" if snapname and snapname != CURRENT else "base" if info.template else "current"
    return info.format in _FEATURES.get(feature, {}).get(kind, frozenset())


def rename_volume(storage: Storage, volname: str, target_vmid: int, target_volname: str | None = None) -> str:
    """`Volume.rename`, to a free name of the machine where none is given; returns the new name."""
    format = parse_volume_name(volname).format
    return storage.volume(volname).rename(target_volname or find_free_diskname(storage, target_vmid, format)).name


def create_base(storage: Storage, volname: str) -> str:
    """`Volume.template`. The name stays: clones read through it."""
    storage.volume(volname).template()
    return volname


def clone_image(storage: Storage, volname: str, vmid: int, snap: str | None = None) -> str:
    """`Volume.clone`, under a free name of the machine; returns that."""
    return storage.volume(volname).clone(find_free_diskname(storage, vmid, Format.QCOW2), snap).name


def volume_export_formats() -> tuple[str, ...]:
    """The streams that `volume_export` can send."""
    return (StreamFormat.RAW_SIZE,)


def volume_export(storage: Storage, stream: int, volname: str, format: str, snapshot: str | None = None) -> None:
    """`Volume.export_stream`: what a guest reads, never the container. Raises NotPossible (the format)."""
    _require_stream(storage, volname, format)
    storage.volume(volname).export_stream(stream, StreamFormat.RAW_SIZE, snapshot)


def volume_import_formats() -> tuple[str, ...]:
    """The streams that `volume_import` can read."""
    return volume_export_formats()


def volume_import(storage: Storage, stream: int, volname: str, format: str) -> str:
    """`Storage.import_stream`: the stream says its size; returns the name. Raises NotPossible (the format)."""
    _require_stream(storage, volname, format)
    return storage.import_stream(stream, volname, read_size(stream)).name


def _require_stream(storage: Storage, volname: str, format: str) -> None:
    if format not in volume_export_formats():
        known = ", ".join(volume_export_formats())
        raise NotPossible(f"{storage.vg}/{volname}", f"there is no stream of format {format!r}", f"ask for {known}")


def _format(fmt: str) -> Format:
    if fmt not in {*Format}:
        raise InvalidName("format", fmt, f"it must be {' or '.join(Format)}")
    return Format(fmt)


def _info(storage: Storage, name: VolumeName) -> VolumeInfo:
    for info in storage.volumes():
        if info.name == name.text:
            return info
    raise VolumeNotFound(storage.vg, name.text)
