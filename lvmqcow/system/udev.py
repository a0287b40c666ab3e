"""Whether udev makes the device nodes here, and what LVM and dmsetup are told where it does not.

libdevmapper leaves the nodes to udev and waits until udev is done, by a semaphore. In a container there is no udev, or
one of the host that cannot see the container's semaphores. An lvcreate then fails ("device not cleared") or waits for
ever. With ``DM_DISABLE_UDEV`` in its environment libdevmapper makes the nodes itself, in whatever ``/dev`` it finds,
and lvm2 asks udev for no list of devices (lvm.conf(5), ``activation/udev_sync``).

The same is needed where udev runs and sees our semaphores, and makes the nodes in another ``/dev`` than ours: that of
most containers is a snapshot.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["CONTROL", "INITIAL_IPC_NAMESPACE", "KERNELS_DEV", "dev_file_system", "udev_answers", "without_udev"]

CONTROL: Final = Path("/run/udev/control")
"""Is there while udev runs, and where the host's is mounted into a container."""
INITIAL_IPC_NAMESPACE: Final = "ipc:[4026531839]"
"""Whose semaphores the host's udev sees (include/linux/proc_ns.h)."""
KERNELS_DEV: Final = "devtmpfs"
"""The file system in which the kernel makes nodes, and udev."""

_IPC_NAMESPACE: Final = Path("/proc/self/ns/ipc")
_MOUNTS: Final = Path("/proc/self/mounts")


def dev_file_system(mounts: Path = _MOUNTS) -> str:
    """What is mounted on ``/dev``: `KERNELS_DEV`, unless this is a container's snapshot; empty for nothing.

    Raises:
        OSError: nobody can tell.
    """
    lines = [line.split(" ") for line in mounts.read_text(errors="replace").splitlines()]
    return next((kind for _, where, kind, *_ in reversed(lines) if where == "/dev"), "")


def udev_answers(control: Path = CONTROL, ipc_namespace: Path = _IPC_NAMESPACE, mounts: Path = _MOUNTS) -> bool:
    """Whether udev runs, sees the semaphores of this process, and makes nodes in its ``/dev``.

    Where nobody can tell the last two, it does.
    """
    try:
        if not stat.S_ISSOCK(control.stat().st_mode):
            return False
    except OSError:
        return False
    try:
        return os.readlink(ipc_namespace) == INITIAL_IPC_NAMESPACE and dev_file_system(mounts) == KERNELS_DEV
    except OSError:
        return True


def without_udev() -> Mapping[str, str]:
    """What the environment of lvm and dmsetup needs besides; nothing where udev answers."""
    return {} if udev_answers() else {"DM_DISABLE_UDEV": "1"}
