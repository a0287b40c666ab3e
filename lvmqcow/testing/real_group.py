"""A real volume group on a sparse file, for as long as a suite needs it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lvmqcow.errors import UnfitMachine
from lvmqcow.lvm import loopvg
from lvmqcow.lvm.commands import LvmShell
from lvmqcow.qemu.img import QemuImg
from lvmqcow.real_host import RealHost
from lvmqcow.system.requirements import find_tool, require_device_mapper

__all__ = ["RealGroup", "needs_real_groups", "real_group"]

_TOOLS = ("blkdiscard", "dmsetup", "losetup", "lvm", "qemu-img", "qemu-io", "qemu-nbd")


@dataclass(frozen=True)
class RealGroup:
    """A volume group, and a directory for files beside it."""

    host: RealHost
    directory: Path


def needs_real_groups() -> str | None:
    """Return why there can be no real volume group here; None if there can be one."""
    if os.geteuid() != 0:
        return "real volume groups need root"
    missing = [tool for tool in _TOOLS if find_tool(tool) is None]
    if missing:
        return f"these tools are missing: {', '.join(missing)}"
    try:
        require_device_mapper()
    except UnfitMachine as unfit:
        return str(unfit).splitlines()[0]
    return None


@contextmanager
def real_group(name: str, directory: Path, size_bytes: int) -> Iterator[RealGroup]:
    """Make a volume group in ``directory`` for the block."""
    vg = f"{name}-{os.getpid()}"
    loopvg.create(vg, size_bytes, directory / f"{vg}.img")
    try:
        with closing(RealHost(vg, LvmShell(), QemuImg())) as host:
            yield RealGroup(host, directory)
    finally:
        loopvg.destroy(vg)
