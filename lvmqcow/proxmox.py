"""The public API under the names of Proxmox VE's storage plugins: thin calls of `Storage`.

This module is for readers who know the plugin API. Every docstring names the method of this library that the function
calls. The first argument, ``storage``, stands for the API's class, ``storeid`` and ``scfg``. A list or hash of the API
is a tuple or a dataclass with the same names here. Where the API dies, an error of `lvmqcow.errors` is raised.

Sizes are bytes. Only `alloc_image` takes KiB, as the API does.

The other functions of the patch series are steps of plans and cannot be called: planners measure what ``lvm_size``
computes, `lvmqcow.operations.shared.new_volume` does what ``alloc_lvm_image`` and ``lvm_qcow2_format`` do, and
`lvmqcow.operations.snapshot` does what ``alloc_snap_image`` does. No function takes ``$running``: the library itself
looks for users of a volume, and raises InUse for operations that a running guest does not allow.
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
    """The contents and formats that a storage of this kind supports, and the defaults."""

    content: frozenset[str]
    default_content: frozenset[str]
    format: frozenset[Format]
    default_format: Format


@dataclass(frozen=True)
class VolumeSize:
    """The size of a volume or snapshot. ``parent`` is the name of a snapshot, or the source of a clone."""

    size_bytes: int | None
    format: Format
    used_bytes: int
    parent: str | None


@dataclass(frozen=True)
class SnapshotInfo:
    """A layer of a volume. ``order`` is 0 for the current layer and grows towards the oldest.

    ``parent`` and ``child`` are names of snapshots, or ``current``. If a layer has several children, ``child`` is the
    one that the current layer reads through.
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
"""The formats that support a feature: by the feature, then for a template, the current state or a snapshot."""


def plugindata() -> PluginData:
    """Return the contents and formats that are supported."""
    return PluginData(frozenset({"images", "rootdir"}), frozenset({"images"}), _BOTH, Format.RAW)


def parse_volname(volname: str) -> tuple[str, str, int, Format]:
    """Return what a name says: content type, name, VMID and format. Raises InvalidName."""
    name = parse_volume_name(volname)
    return "images", name.text, name.vmid, name.format


def get_snap_name(storage: Storage, volname: str, snapname: str | None = None) -> str:
    """Return the name of a snapshot's LV. Without a snapshot, or for ``current``, return that of the volume's LV.

    The snapshot need not exist.
    """
    name = parse_volume_name(volname)
    if snapname in (None, CURRENT):
        return name.text
    return storage.picture(name).volume(name).snapshot_lv(str(snapname))


def get_snap_volname(storage: Storage, volname: str, snapname: str | None = None) -> str:
    """Return the same as `get_snap_name`: the name of a volume is that of its LV."""
    return get_snap_name(storage, volname, snapname)


def filesystem_path(storage: Storage, volname: str, snapname: str | None = None) -> str:
    """Return the same path as `Volume.path`, but also for an LV that does not exist."""
    return device_path(storage.vg, get_snap_name(storage, volname, snapname))


def find_free_diskname(storage: Storage, vmid: int, fmt: str = Format.RAW) -> str:
    """Return a free name (`Storage.free_name`). Another process may take it; `alloc_image` without a name is safe."""
    return storage.free_name(vmid, _format(fmt)).text


def alloc_image(storage: Storage, vmid: int, fmt: str, name: str | None, size_kib: int) -> str:
    """Create a volume (`Storage.create`); without a name, under a free name (`Storage.create_disk`). Returns the name.

    Raises:
        InvalidName: the name has the VMID of another machine, or `plugindata` does not declare the format.
        FormatMismatch, AlreadyExists, NoSpace, InvalidSize.
    """
    if name is None:
        return storage.create_disk(vmid, size_kib * 1024, _format(fmt)).name
    if parse_volume_name(name).vmid != vmid:
        raise InvalidName("volume", name, f"the name must be vm-{vmid}-<disk>")
    return storage.create(name, size_kib * 1024, _format(fmt)).name


def free_image(storage: Storage, volname: str) -> None:
    """Remove a volume with all its snapshots (`Volume.remove`)."""
    storage.volume(volname).remove()


def list_images(storage: Storage, vmid: int | None = None) -> tuple[VolumeInfo, ...]:
    """List the volumes of all machines or of one (`Storage.volumes`)."""
    volumes = storage.volumes()
    return tuple(info for info in volumes if vmid in (None, parse_volume_name(info.name).vmid))


def activate_volume(storage: Storage, volname: str) -> None:
    """Activate a volume with all its snapshots (`Volume.activate`)."""
    storage.volume(volname).activate()


def deactivate_volume(storage: Storage, volname: str) -> None:
    """Deactivate a volume with all its snapshots (`Volume.deactivate`). Raises InUse."""
    storage.volume(volname).deactivate()


def volume_resize(storage: Storage, volname: str, size_bytes: int) -> None:
    """Grow a volume to ``size_bytes`` (`Volume.resize`)."""
    storage.volume(volname).resize(size_bytes)


def volume_size_info(storage: Storage, volname: str, snapname: str | None = None) -> VolumeSize:
    """Return the size that a guest sees, and the size of the LV as ``used_bytes``."""
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
    """Take a snapshot (`Volume.snapshot`)."""
    storage.volume(volname).snapshot(snap)


def volume_rollback_is_possible(storage: Storage, volname: str, snap: str, blockers: list[str] | None = None) -> bool:
    """Return True if `volume_snapshot_rollback` is possible; else raise the error that it would raise.

    Raises:
        NewerSnapshots: ``snap`` is not the newest snapshot. The newer ones are appended to ``blockers``.
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
    """Roll back to the newest snapshot (`Volume.rollback`)."""
    storage.volume(volname).rollback(snap)


def volume_snapshot_delete(storage: Storage, volname: str, snap: str) -> None:
    """Delete a snapshot the way that moves fewer bytes (`Volume.delete_snapshot`)."""
    storage.volume(volname).delete_snapshot(snap)


def volume_snapshot_info(storage: Storage, volname: str) -> Mapping[str, SnapshotInfo]:
    """Return the layers (`Volume.layers`) by snapshot name and under ``current``; empty for a raw volume."""
    name = parse_volume_name(volname)
    layers = storage.layers(name)
    if name.format is Format.RAW:
        return {}
    called = {layer.lv: layer.snapshot or CURRENT for layer in layers}
    child: dict[str, str] = {}
    for layer in layers:  # layers that the current layer reads through come first
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
    """Return whether a volume or snapshot supports ``copy``, ``rename``, ``snapshot``, ``template`` or ``clone``."""
    info = _info(storage, parse_volume_name(volname))
    kind = "snap" if snapname and snapname != CURRENT else "base" if info.template else "current"
    return info.format in _FEATURES.get(feature, {}).get(kind, frozenset())


def rename_volume(storage: Storage, volname: str, target_vmid: int, target_volname: str | None = None) -> str:
    """Rename a volume (`Volume.rename`), to a free name of the machine if none is given. Returns the new name."""
    format = parse_volume_name(volname).format
    return storage.volume(volname).rename(target_volname or find_free_diskname(storage, target_vmid, format)).name


def create_base(storage: Storage, volname: str) -> str:
    """Make a volume a template (`Volume.template`). Its name stays the same."""
    storage.volume(volname).template()
    return volname


def clone_image(storage: Storage, volname: str, vmid: int, snap: str | None = None) -> str:
    """Clone a volume under a free name of the machine (`Volume.clone`). Returns that name."""
    return storage.volume(volname).clone(find_free_diskname(storage, vmid, Format.QCOW2), snap).name


def volume_export_formats() -> tuple[str, ...]:
    """Return the stream formats that `volume_export` can send."""
    return (StreamFormat.RAW_SIZE,)


def volume_export(storage: Storage, stream: int, volname: str, format: str, snapshot: str | None = None) -> None:
    """Send what a guest reads (`Volume.export_stream`). Raises NotPossible: the format is not supported."""
    _require_stream(storage, volname, format)
    storage.volume(volname).export_stream(stream, StreamFormat.RAW_SIZE, snapshot)


def volume_import_formats() -> tuple[str, ...]:
    """Return the stream formats that `volume_import` can read."""
    return volume_export_formats()


def volume_import(storage: Storage, stream: int, volname: str, format: str) -> str:
    """Create a volume from a stream that begins with its size (`Storage.import_stream`). Returns the name.

    Raises:
        NotPossible: the format is not supported.
    """
    _require_stream(storage, volname, format)
    return storage.import_stream(stream, volname, read_size(stream)).name


def _require_stream(storage: Storage, volname: str, format: str) -> None:
    if format not in volume_export_formats():
        known = ", ".join(volume_export_formats())
        raise NotPossible(f"{storage.vg}/{volname}", f"streams of format {format!r} are not supported", f"use {known}")


def _format(fmt: str) -> Format:
    if fmt not in {*Format}:
        raise InvalidName("format", fmt, f"the format must be {' or '.join(Format)}")
    return Format(fmt)


def _info(storage: Storage, name: VolumeName) -> VolumeInfo:
    for info in storage.volumes():
        if info.name == name.text:
            return info
    raise VolumeNotFound(storage.vg, name.text)
