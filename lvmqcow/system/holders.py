"""Find out what uses a block device. LVM only says that the device is in use.

``/sys/dev/block/M:N/holders`` lists the devices on top of a device, ``/proc/self/mountinfo`` the mounts, and
``/proc/PID/fd`` the processes that have it open. A process in a PID namespace that is not below ours cannot be seen.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from lvmqcow.core.holder import Holder, HolderKind
from lvmqcow.system.requirements import required

__all__ = ["holders"]

_BLOCK_DEVICES: Final = Path("/sys/dev/block")
_ADVICE: Final = "mount what is missing: mount -t proc proc /proc; mount -t sysfs sysfs /sys"


def holders(path: str) -> tuple[Holder, ...]:
    """Return everything that has the block device open; empty if the device does not exist.

    Raises:
        UnfitMachine: ``/proc`` or ``/sys`` is missing, so the users are unknown. This must not count as "unused".
    """
    with required(f"it is unknown what uses {path}", _ADVICE):
        try:
            device = os.stat(path).st_rdev
        except FileNotFoundError:
            return ()
        number = f"{os.major(device)}:{os.minor(device)}"
        os.stat(_BLOCK_DEVICES)
        return (*_processes(device), *_devices(number), *_mounts(number))


def _processes(device: int) -> Iterator[Holder]:
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        with suppress(OSError):  # the process ended meanwhile
            if any(_is_open(fd, device) for fd in (process / "fd").iterdir()):
                yield Holder(HolderKind.PROCESS, (process / "comm").read_text().strip(), int(process.name))


def _is_open(fd: Path, device: int) -> bool:
    try:
        opened = fd.stat()
    except OSError:  # closed meanwhile
        return False
    return stat.S_ISBLK(opened.st_mode) and opened.st_rdev == device


def _devices(number: str) -> Iterator[Holder]:
    above = _BLOCK_DEVICES / number / "holders"
    for device in sorted(above.iterdir()) if above.is_dir() else ():
        name = device / "dm" / "name"
        mapped = f" ({name.read_text().strip()})" if name.exists() else ""
        yield Holder(HolderKind.DEVICE, f"{device.name}{mapped}")


def _mounts(number: str) -> Iterator[Holder]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        _, _, mounted, _, where, *_ = line.split(" ")
        if mounted == number:
            yield Holder(HolderKind.MOUNT, where)
