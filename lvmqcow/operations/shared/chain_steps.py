"""Steps with which several operations begin or end: activation, deactivation, refresh and index tags."""

from __future__ import annotations

from collections.abc import Iterable

from lvmqcow.core.lv import index_tags
from lvmqcow.core.volume import Layer
from lvmqcow.steps import LvActivate, LvDeactivate, LvRefresh, LvTag, Step

__all__ = ["activate_steps", "deactivate_steps", "index_steps", "refresh_steps"]


def activate_steps(layers: Iterable[Layer]) -> tuple[LvActivate, ...]:
    """Return the step that activates the inactive ones of ``layers``."""
    inactive = _inactive(layers)
    return (LvActivate(inactive),) if inactive else ()


def deactivate_steps(layers: Iterable[Layer]) -> tuple[LvDeactivate, ...]:
    """Return the step that deactivates the layers that `activate_steps` activates."""
    inactive = _inactive(layers)
    return (LvDeactivate(inactive),) if inactive else ()


def refresh_steps(layers: Iterable[Layer]) -> tuple[LvRefresh, ...]:
    """Return the step that refreshes the active layers: after a cut lvextend, a device may still have the old size."""
    active = tuple(layer.lv.name for layer in layers if layer.lv.active)
    return (LvRefresh(active),) if active else ()


def index_steps(layers: Iterable[Layer]) -> tuple[Step, ...]:
    """Return the steps that write index tags to layers that lack them and whose headers are known (of Proxmox VE)."""
    return tuple(
        LvTag((layer.lv.name,), add=index_tags(layer.virtual_size_bytes, layer.parent, layer.options))
        for layer in layers
        if not layer.indexed and layer.virtual_size_bytes is not None
    )


def _inactive(layers: Iterable[Layer]) -> tuple[str, ...]:
    return tuple(layer.lv.name for layer in layers if not layer.lv.active)
