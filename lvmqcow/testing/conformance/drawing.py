"""The layers of a volume group, as a report draws them."""

from __future__ import annotations

from lvmqcow.errors import LvmqcowError
from lvmqcow.storage import Storage
from lvmqcow.testing.conformance.session import Ours, Subject
from lvmqcow.testing.conformance.verdict import Layer

__all__ = ["drawn", "layers_of"]


def layers_of(subject: Subject) -> tuple[Layer, ...]:
    """Return all layers of a subject; none if it cannot show them."""
    return drawn(subject.world.storage) if isinstance(subject, Ours) else ()


def drawn(storage: Storage) -> tuple[Layer, ...]:
    """Return all layers of a volume group, as far as they can be seen: it may be damaged."""
    try:
        picture = storage.picture()
    except LvmqcowError:
        return ()
    return tuple(
        Layer(volume.name.text, layer.snapshot, layer.lv.name, layer.parent, layer.virtual_size_bytes or 0)
        for volume in picture.volumes
        for layer in volume.layers
    )
