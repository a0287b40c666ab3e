"""Read a chain of images header by header before qemu-img opens it.

qemu-img follows the headers, not our tags. Planners compare both if the headers were read. This check reads the devices
themselves immediately before they are opened, so it protects every operation and recovery.
"""

from __future__ import annotations

from collections.abc import Callable

from lvmqcow.core.qcow2 import Header
from lvmqcow.errors import Corrupt

__all__ = ["require_harmless", "require_harmless_alone"]


def require_harmless(vg: str, lv: str, read: Callable[[str], Header | None]) -> None:
    """Refuse to open the image on ``lv`` if it, or an image below it, leads out of the volume group.

    ``read`` returns the header on an LV, or None if the LV holds no qcow2 image. It raises FileNotFoundError for an LV
    without a device. Such an LV ends the chain, because qemu-img cannot open it either.

    Raises:
        Corrupt: with the name of the layer and the reasons.
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
        reasons = header.layer_reasons(vg) if header else ("the device holds no qcow2 image",)
        if header is None or reasons:
            raise Corrupt(f"{vg}/{lv}", [f"{name} must not be opened: {reason}" for reason in reasons])
        name = header.parent_lv(vg)


def require_harmless_alone(vg: str, lv: str, read: Callable[[str], Header | None]) -> None:
    """Refuse to open the image on ``lv``, without its backing images, if its header leads out of the volume group.

    A power cut may tear the write of a header: then the backing name has its old text and its new length, and names
    nothing. That is allowed, because the command ignores the backing file and writes its name anew.

    Raises:
        Corrupt: with the reasons.
        FileNotFoundError: the LV has no device.
    """
    header = read(lv)
    reasons = header.relink_reasons(vg) if header else ("the device holds no qcow2 image",)
    if header is None or reasons:
        raise Corrupt(f"{vg}/{lv}", [f"{lv} must not be opened: {reason}" for reason in reasons])
