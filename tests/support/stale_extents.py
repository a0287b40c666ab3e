"""Free extents that hold somebody else's bytes: what a careless creation would show to the next guest."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lvmqcow.core.names import device_path
from lvmqcow.lvm.commands import LvmProcesses

OLD_BYTE: Final = 0xAA
_MIB = 1024**2


def fill_free_space(vg: str, free_bytes: int, most_bytes: int) -> None:
    """Write the old byte to all free extents, or to the first ``most_bytes``: LVM gives the first free ones first."""
    lvm = LvmProcesses()
    lvm.change(("lvcreate", "--yes", "--size", f"{free_bytes}b", "--name", "earlier", vg))
    with Path(device_path(vg, "earlier")).open("wb", buffering=0) as device:
        for _ in range(min(free_bytes, most_bytes) // _MIB):
            device.write(bytes([OLD_BYTE]) * _MIB)
    lvm.change(("lvremove", "--yes", f"{vg}/earlier"))
