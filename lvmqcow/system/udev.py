"""Find out whether udev makes the device nodes here, and tell LVM and dmsetup if it does not.

libdevmapper leaves the nodes to udev and waits on a semaphore until udev is done. In a container no udev runs, or the
host's udev cannot see the container's semaphores. Then lvcreate fails ("device not cleared") or hangs. With
``DM_DISABLE_UDEV`` in its environment, libdevmapper makes the nodes itself in the ``/dev`` that it sees, and lvm2 does
not ask udev for a list of devices (lvm.conf(5), ``activation/udev_sync``).

The variable is also needed if udev sees our semaphores but makes the nodes in another ``/dev``. The ``/dev`` of most
containers is a snapshot.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["CONTROL", "INITIAL_IPC_NAMESPACE", "KERNELS_DEV", "dev_file_system", "udev_answers", "without_udev"]

CONTROL: Final = Path("/run/udev/control")
"""A socket that exists while udev runs. It may be the host's, mounted into a container."""
INITIAL_IPC_NAMESPACE: Final = "ipc:[4026531839]"
"""The IPC namespace whose semaphores the host's udev sees (include/linux/proc_ns.h)."""
KERNELS_DEV: Final = "devtmpfs"
"""The file system in which the kernel and udev make nodes."""

_IPC_NAMESPACE: Final = Path("/proc/self/ns/ipc")
_MOUNTS: Final = Path("/proc/self/mounts")


def dev_file_system(mounts: Path = _MOUNTS) -> str:
    """Return the type of the file system on ``/dev``: `KERNELS_DEV`, or another one in a container; empty if none.

    Raises:
        OSError: the list of mounts cannot be read.
    """
    lines = [line.split(" ") for line in mounts.read_text(errors="replace").splitlines()]
    return next((kind for _, where, kind, *_ in reversed(lines) if where == "/dev"), "")


def udev_answers(control: Path = CONTROL, ipc_namespace: Path = _IPC_NAMESPACE, mounts: Path = _MOUNTS) -> bool:
    """Return whether udev runs, sees the semaphores of this process, and makes nodes in its ``/dev``.

    If udev runs and the other two are unknown, they count as true.
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
    """Return the variables that lvm and dmsetup need in addition; empty if udev answers."""
    return {} if udev_answers() else {"DM_DISABLE_UDEV": "1"}
