"""What several planners refuse, each by its own error, before anything is touched."""

from __future__ import annotations

from lvmqcow.core.consistency import chain_faults, contradictions
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import Format, VolumeName, snapshot_of
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.errors import AlreadyExists, Corrupt, InvalidName, NotPossible, SnapshotHasChildren

__all__ = [
    "require_changing",
    "require_free_name",
    "require_no_clones",
    "require_one_reading",
    "require_qcow2",
    "require_unclaimed",
    "require_unread",
    "verified_below",
    "verified_chain",
    "verified_tree",
]


def require_free_name(vg: VolumeGroup, kind: str, name: str, *lv_names: str) -> None:
    """Raises AlreadyExists if any of ``lv_names`` is taken, by whatever kind of LV."""
    if any(vg.lv(lv_name) for lv_name in lv_names):
        raise AlreadyExists(kind, name)


def require_one_reading(vg: VolumeGroup, kind: str, name: str, volume: VolumeName, lv_name: str) -> None:
    """Raises InvalidName if another volume could take ``lv_name``, which is to be one of ``volume``, for its snapshot.

    Who goes by the tags does not; Proxmox VE goes by the names.
    """
    for other in vg.volumes:
        if other.name != volume and snapshot_of(lv_name, other.name):
            raise InvalidName(kind, name, f"the name {lv_name} could be that of a snapshot of {other.name}")


def require_unclaimed(vg: VolumeGroup, volume: VolumeName) -> None:
    """Raises InvalidName if an LV that is there could be taken for a snapshot of ``volume``, which is not there yet."""
    for lv in vg.logical_volumes:
        if snapshot_of(lv.name, volume):
            raise InvalidName("volume", volume.text, f"{lv.name}, which is there, could be taken for its snapshot")


def require_qcow2(volume: Volume, operation: str) -> None:
    """Raises NotPossible for a raw volume."""
    if volume.name.format is not Format.QCOW2:
        raise NotPossible(
            volume.target,
            f"a raw volume has no {operation}",
            f"`lvmqcow convert {volume.target}` makes it qcow2, which has",
        )


def require_changing(volume: Volume, operation: str) -> None:
    """Raises NotPossible for a template, which does not change."""
    if any(layer.lv.template for layer in volume.layers):
        raise NotPossible(
            volume.target, f"it is a template: there is no {operation} of it", "clone it, and use the clone"
        )


def require_no_clones(vg: VolumeGroup, volume: Volume) -> None:
    """Raises NotPossible for a volume that clones read through, with their names; also where that cannot be seen."""
    clones = volume.clones_of(*volume.layers)
    if clones:
        raise NotPossible(volume.target, f"{', '.join(clones)} read through it", "flatten or remove these first")
    others = [layer for other in vg.volumes if other.name != volume.name for layer in other.layers]
    unknown = [layer.lv.name for layer in others if not layer.known]
    if unknown and any(layer.lv.template for layer in volume.layers):
        reason = f"it is a template, and whether {', '.join(unknown)} read through it cannot be seen"
        advice = f"activate what is not active: lvchange -aey {' '.join(f'{vg.name}/{name}' for name in unknown)}"
        raise NotPossible(volume.target, reason, advice)


def require_unread(volume: Volume, *layers: Layer) -> None:
    """What a clone reads through is not merged, removed or renamed.

    Raises:
        SnapshotHasChildren: for the first of the ``layers`` that clones read through, which are named.
    """
    for layer in layers:
        clones = volume.clones_of(layer)
        if clones:
            raise SnapshotHasChildren(volume.target, str(layer.snapshot), clones, "flatten or remove these first")


def verified_chain(volume: Volume) -> tuple[Layer, ...]:
    """The chain, once it is certain that tags and headers tell the same of it.

    Raises:
        Corrupt: they contradict each other, or the chain is broken.
        NotPossible: a layer has no index tags, and its header was not read.
    """
    seen = (*volume.layers, *volume.bases)
    unknown = [layer.lv.name for layer in seen if not layer.known and not layer.lv.active]
    if unknown:
        names = " ".join(f"{volume.vg}/{name}" for name in unknown)
        reason = "it was written by another tool and is not active, so its chain was not seen"
        raise NotPossible(volume.target, reason, f"activate it first: lvchange -aey {names}")
    chain = volume.chain
    wrong = [text for layer in chain for text in contradictions(volume, layer)]
    if wrong:
        raise Corrupt(volume.target, wrong)
    return chain


def verified_below(volume: Volume, layer: Layer) -> tuple[Layer, ...]:
    """A layer and those it reads through, once it is certain that tags and headers tell the same of them.

    Raises:
        Corrupt, NotPossible: as `verified_chain`, which holds too.
    """
    chain, below = verified_chain(volume), volume.line(layer)
    wrong = [text for other in below if other not in chain for text in contradictions(volume, other)]
    if wrong:
        raise Corrupt(volume.target, wrong)
    return below


def verified_tree(volume: Volume) -> tuple[Layer, ...]:
    """All layers, chain first, once it is certain what reads through what: as `verified_chain`, for every branch."""
    chain = verified_chain(volume)
    wrong = [text for layer in volume.layers for text in contradictions(volume, layer)]
    wrong += [f"{lv}: {text}" for lv, text in chain_faults(volume)]
    if wrong:
        raise Corrupt(volume.target, wrong)
    return (*chain, *volume.branches)
