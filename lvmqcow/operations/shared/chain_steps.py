"""Steps that several operations begin or end with: activation, and the index tags."""

from __future__ import annotations

from collections.abc import Iterable

from lvmqcow.core.lv import index_tags
from lvmqcow.core.volume import Layer
from lvmqcow.steps import LvActivate, LvDeactivate, LvRefresh, LvTag, Step

__all__ = ["activate_steps", "deactivate_steps", "index_steps", "refresh_steps"]


def activate_steps(layers: Iterable[Layer]) -> tuple[LvActivate, ...]:
    """The step that activates those of ``layers`` that are not active."""
    inactive = _inactive(layers)
    return (LvActivate(inactive),) if inactive else ()


def deactivate_steps(layers: Iterable[Layer]) -> tuple[LvDeactivate, ...]:
    """The step that undoes `activate_steps`."""
    inactive = _inactive(layers)
    return (LvDeactivate(inactive),) if inactive else ()


def refresh_steps(layers: Iterable[Layer]) -> tuple[LvRefresh, ...]:
    """The step that gives the devices of those that are active the size of their LV: a cut lvextend may not have."""
    active = tuple(layer.lv.name for layer in layers if layer.lv.active)
    return (LvRefresh(active),) if active else ()


def index_steps(layers: Iterable[Layer]) -> tuple[Step, ...]:
    """The steps that give layers known by their header only (written by Proxmox VE) the index tags."""
    return tuple(
        LvTag((layer.lv.name,), add=index_tags(layer.virtual_size_bytes, layer.parent, layer.options))
        for layer in layers
        if not layer.indexed and layer.virtual_size_bytes is not None
    )


def _inactive(layers: Iterable[Layer]) -> tuple[str, ...]:
    return tuple(layer.lv.name for layer in layers if not layer.lv.active)
