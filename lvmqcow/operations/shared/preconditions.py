"""Refusals that several planners share. Each raises its own error before anything is changed."""

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
    """Refuse if an LV of any kind has one of ``lv_names``. Raises AlreadyExists."""
    if any(vg.lv(lv_name) for lv_name in lv_names):
        raise AlreadyExists(kind, name)


def require_one_reading(vg: VolumeGroup, kind: str, name: str, volume: VolumeName, lv_name: str) -> None:
    """Refuse a new LV name of ``volume`` that could also name a snapshot of another volume. Raises InvalidName.

    Our tags would tell them apart, but Proxmox VE goes by the names.
    """
    for other in vg.volumes:
        if other.name != volume and snapshot_of(lv_name, other.name):
            raise InvalidName(kind, name, f"the LV name {lv_name} could also name a snapshot of {other.name}")


def require_unclaimed(vg: VolumeGroup, volume: VolumeName) -> None:
    """Refuse the name of a new volume if an existing LV has the name of one of its snapshots. Raises InvalidName."""
    for lv in vg.logical_volumes:
        if snapshot_of(lv.name, volume):
            raise InvalidName("volume", volume.text, f"the existing LV {lv.name} could be taken for its snapshot")


def require_qcow2(volume: Volume, operation: str) -> None:
    """Refuse a raw volume. ``operation`` is what raw volumes do not have: ``snapshots``. Raises NotPossible."""
    if volume.name.format is not Format.QCOW2:
        raise NotPossible(
            volume.target,
            f"a raw volume has no {operation}",
            f"`lvmqcow convert {volume.target}` makes it a qcow2 volume, which has {operation}",
        )


def require_changing(volume: Volume, operation: str) -> None:
    """Refuse a template, which never changes. ``operation`` is a noun: ``resize``. Raises NotPossible."""
    if any(layer.lv.template for layer in volume.layers):
        reason = f"the volume is a template, and a template allows no {operation}"
        raise NotPossible(volume.target, reason, "clone it, and use the clone")


def require_no_clones(vg: VolumeGroup, volume: Volume) -> None:
    """Refuse a volume that clones read through, or a template if that cannot be seen. Raises NotPossible."""
    clones = volume.clones_of(*volume.layers)
    if clones:
        raise NotPossible(volume.target, f"{', '.join(clones)} read through it", "flatten or remove these first")
    others = [layer for other in vg.volumes if other.name != volume.name for layer in other.layers]
    unknown = [layer.lv.name for layer in others if not layer.known]
    if unknown and any(layer.lv.template for layer in volume.layers):
        reason = f"the volume is a template, and inactive LVs may read through it: {', '.join(unknown)}"
        advice = f"activate them first: lvchange -aey {' '.join(f'{vg.name}/{name}' for name in unknown)}"
        raise NotPossible(volume.target, reason, advice)


def require_unread(volume: Volume, *layers: Layer) -> None:
    """Refuse to merge, remove or rename layers that clones read through.

    Raises:
        SnapshotHasChildren: for the first of ``layers`` that clones read through; with the names of the clones.
    """
    for layer in layers:
        clones = volume.clones_of(layer)
        if clones:
            raise SnapshotHasChildren(volume.target, str(layer.snapshot), clones, "flatten or remove these first")


def verified_chain(volume: Volume) -> tuple[Layer, ...]:
    """Return the chain after a check that its tags and headers agree.

    Raises:
        Corrupt: tags and headers contradict each other, or the chain is broken.
        NotPossible: a layer has no index tags, and its header was not read.
    """
    seen = (*volume.layers, *volume.bases)
    unknown = [layer.lv.name for layer in seen if not layer.known and not layer.lv.active]
    if unknown:
        names = " ".join(f"{volume.vg}/{name}" for name in unknown)
        reason = "another tool wrote the volume and it is not active, so its chain is unknown"
        raise NotPossible(volume.target, reason, f"activate it first: lvchange -aey {names}")
    chain = volume.chain
    wrong = [text for layer in chain for text in contradictions(volume, layer)]
    if wrong:
        raise Corrupt(volume.target, wrong)
    return chain


def verified_below(volume: Volume, layer: Layer) -> tuple[Layer, ...]:
    """Return a layer and the layers below it, after the check of `verified_chain` on them and on the chain.

    Raises:
        Corrupt, NotPossible: as `verified_chain`.
    """
    chain, below = verified_chain(volume), volume.line(layer)
    wrong = [text for other in below if other not in chain for text in contradictions(volume, other)]
    if wrong:
        raise Corrupt(volume.target, wrong)
    return below


def verified_tree(volume: Volume) -> tuple[Layer, ...]:
    """Return all layers, the chain first, after the check of `verified_chain` on every branch.

    Raises:
        Corrupt, NotPossible: as `verified_chain`.
    """
    chain = verified_chain(volume)
    wrong = [text for layer in volume.layers for text in contradictions(volume, layer)]
    wrong += [f"{lv}: {text}" for lv, text in chain_faults(volume)]
    if wrong:
        raise Corrupt(volume.target, wrong)
    return (*chain, *volume.branches)
