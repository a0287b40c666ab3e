"""How Proxmox VE 9 sees a volume: by the names of its LVs, and by walking the chain. Written without our own parsers.

It finds a snapshot's name in that of its LV (``^snap_\\Q<volume without .qcow2>\\E_(.*)\\.qcow2$``), its place in what
``qemu-img info --backing-chain`` says, and what to activate by a regular expression over LV names.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import PurePath

__all__ = ["Seen", "activates", "snapshot_info"]


@dataclass(frozen=True)
class Seen:
    """A layer: ``order`` is 0 for the current one, ``parent`` and ``child`` are names of snapshots or ``current``."""

    order: int
    lv: str
    virtual_size_bytes: int
    parent: str | None
    child: str | None


def snapshot_info(vg: str, volume: str) -> dict[str, Seen]:
    """The layers by snapshot, and the live one as ``current``; everything has to be active."""
    argv = ("qemu-img", "info", "--output=json", f"/dev/{vg}/{volume}", "--backing-chain")
    chain = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    names = [_snapshot(PurePath(image["filename"]).name, volume) for image in chain]
    backing = [image.get("backing-filename") for image in chain]
    parents = [_snapshot(PurePath(name).name, volume) if name else None for name in backing]
    return {
        name: Seen(
            order=order,
            lv=PurePath(image["filename"]).name,
            virtual_size_bytes=image["virtual-size"],
            parent=parents[order],
            child=names[order - 1] if order else None,
        )
        for order, (name, image) in enumerate(zip(names, chain, strict=True))
    }


def activates(volume: str, lv_name: str) -> bool:
    """Whether it takes an LV along when it activates or deactivates the volume."""
    name = re.escape(volume.removesuffix(".qcow2"))
    return re.search(rf"^({name}|snap_{name}_.+)\.qcow2$", lv_name) is not None


def _snapshot(lv_name: str, volume: str) -> str:
    if lv_name == volume:
        return "current"
    match = re.search(rf"^snap_{re.escape(volume.removesuffix('.qcow2'))}_(.*)\.qcow2$", lv_name)
    assert match, f"{lv_name} is no snapshot of {volume}"
    return match[1]
