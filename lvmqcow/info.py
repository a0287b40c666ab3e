"""What there is to say of a volume and of its layers, for people and programs that list them."""

from __future__ import annotations

from dataclasses import dataclass

from lvmqcow.core.fitness import Condition, conditions
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import Format, VolumeName
from lvmqcow.core.volume import Layer
from lvmqcow.core.volume import Volume as VolumePicture
from lvmqcow.engine.executor import Executor
from lvmqcow.engine.host import Host

__all__ = ["GroupInfo", "LayerInfo", "VolumeInfo", "group_info", "layer_info", "layer_infos", "volume_info"]


@dataclass(frozen=True)
class GroupInfo:
    """The volume group below the volumes. ``free_bytes`` is what LVM would allocate.

    ``conditions`` are the states that it is in (`lvmqcow.core.fitness`); none where it is ready for everything.
    """

    name: str
    free_bytes: int
    allocation_policy: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class VolumeInfo:
    """A volume as `Storage.volumes` lists it. ``lv_size_bytes`` is that of all its LVs together.

    ``virtual_size_bytes`` is None where only the image's header tells, and the LV is not active: never a guess.
    """

    name: str
    format: Format
    virtual_size_bytes: int | None
    lv_size_bytes: int
    snapshots: tuple[str, ...]
    template: bool = False
    base: str | None = None
    """What a clone reads through: ``VOLUME@SNAPSHOT``, or a template's ``VOLUME``."""


@dataclass(frozen=True)
class LayerInfo:
    """One layer of a volume; ``snapshot`` is None for the current one, ``parent`` is an LV name.

    ``allocated_bytes`` is what the image's clusters take; None when the LV is not active, or raw.
    ``virtual_size_bytes`` is as in `VolumeInfo`, and where that is None, so is ``parent``.
    """

    lv: str
    snapshot: str | None
    parent: str | None
    virtual_size_bytes: int | None
    lv_size_bytes: int
    allocated_bytes: int | None
    clones: tuple[str, ...] = ()
    """The volumes that read through it, directly."""


def group_info(vg: VolumeGroup) -> GroupInfo:
    """What a picture shows of the volume group itself."""
    return GroupInfo(vg.name, vg.free_bytes, vg.allocation_policy, conditions(vg))


def volume_info(volume: VolumePicture) -> VolumeInfo:
    """What a picture shows of a volume."""
    current = volume.layer(volume.name.text) or volume.layers[0]
    return VolumeInfo(
        name=volume.name.text,
        format=volume.name.format,
        virtual_size_bytes=current.virtual_size_bytes,
        lv_size_bytes=sum(lv.size_bytes for lv in volume.logical_volumes),
        snapshots=volume.snapshots,
        template=current.lv.template,
        base=volume.bases[0].source if volume.bases else None,
    )


def layer_infos(executor: Executor, name: VolumeName) -> tuple[LayerInfo, ...]:
    """The layers of a volume: current first, then newest to oldest, then other branches.

    Raises:
        VolumeNotFound, Corrupt.
    """
    volume = executor.seen(name).volume(name)
    return tuple(layer_info(executor.host, volume, layer) for layer in (*volume.chain, *volume.branches))


def layer_info(host: Host, volume: VolumePicture, layer: Layer) -> LayerInfo:
    """The same of a layer; what it takes is asked of its image, where that can be read. Raises Corrupt."""
    image = volume.name.format is Format.QCOW2 and _readable(volume, layer)
    return LayerInfo(
        lv=layer.lv.name,
        snapshot=layer.snapshot,
        parent=layer.parent,
        virtual_size_bytes=layer.virtual_size_bytes,
        lv_size_bytes=layer.lv.size_bytes,
        allocated_bytes=host.check(layer.lv.name).allocated_bytes if image else None,
        clones=tuple(sorted({clone.volume.text for clone in volume.clones if clone.parent == layer.lv.name})),
    )


def _readable(volume: VolumePicture, layer: Layer) -> bool:
    """Whether an image can be opened, with all it reads through."""
    return all(read.lv.readable for read in volume.reads(layer))
