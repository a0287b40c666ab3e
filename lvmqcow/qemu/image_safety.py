"""A chain of real images, seen header by header before qemu-img opens it.

qemu-img follows the headers, whatever our tags say. Planners compare the two where the headers were read; this is asked
of the devices themselves, immediately before they are opened, so that it holds for every verb and for recovery.
"""

from __future__ import annotations

from collections.abc import Callable

from lvmqcow.core.qcow2 import Header
from lvmqcow.errors import Corrupt

__all__ = ["require_harmless"]


def require_harmless(vg: str, lv: str, read: Callable[[str], Header | None]) -> None:
    """Refuse an image that leads out of the volume group, itself or through those below it.

    ``read`` gives the header on an LV, None where there is none; an LV without a device ends the chain, for it cannot
    be opened either: FileNotFoundError.

    Raises:
        Corrupt: naming the layer.
    """
    seen: list[str] = []
    name: str | None = lv
    while name is not None:
        if name in seen:
            raise Corrupt(f"{vg}/{lv}", [f"{name} reads through itself"])
        seen.append(name)
        try:
            header = read(name)
        except FileNotFoundError:
            return
        reasons = header.layer_reasons(vg) if header else ("it holds no qcow2 image",)
        if header is None or reasons:
            raise Corrupt(f"{vg}/{lv}", [f"{name} must not be opened: {reason}" for reason in reasons])
        name = header.parent_lv(vg)
