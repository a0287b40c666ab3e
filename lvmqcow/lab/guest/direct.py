"""Process 1 of a lab on a machine that has everything: private namespaces, then serves.

Processes and mounts are the lab's own, and end with it. Devices, /tmp and all files are the
machine's. A /dev that is not the kernel's own (a container's is a snapshot, in which new loop and
dm nodes never appear) is covered with one that is.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from . import kernel
from .agent import Lines, serve
from .job import read_job, settle
from .loop import attach
from .lvm import furnish

__all__ = ["main"]

_LVM_STATE = ("/run/lvm", "/run/lock/lvm")


def main() -> None:
    """Arguments: the run directory, and the four lines: output, errors, control in and out."""
    run_directory = Path(sys.argv[1])
    lines = Lines(*map(int, sys.argv[2:6]))
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
    child = os.fork()
    if child:
        for line in vars(lines).values():
            os.close(line)
        os.waitpid(child, 0)
        return
    kernel.die_with_parent(signal.SIGKILL)
    job = read_job(run_directory / "job.json")
    _make_private(run_directory)
    disks = [attach(disk)[0] for disk in job.disks]  # held open until this process ends
    serve(settle(job, furnish(run_directory / "lvm"), disks), lines)


def _make_private(run_directory: Path) -> None:
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("proc", "/proc", "proc")
    if _file_system_of("/dev") != "devtmpfs":
        _cover_dev(run_directory / "dev")
    for path in _LVM_STATE:
        if os.path.isdir(path):
            kernel.mount("lab", path, "tmpfs", options="mode=755")


def _cover_dev(fresh: Path) -> None:
    """Mount the kernel's own /dev, with the mounts that were below the old one."""
    fresh.mkdir()
    kernel.mount("lab", str(fresh), "devtmpfs")
    for name in ("pts", "shm", "mqueue"):
        if os.path.ismount(f"/dev/{name}") and (fresh / name).is_dir():
            kernel.mount(f"/dev/{name}", str(fresh / name), flags=kernel.MS_BIND)
    kernel.mount(str(fresh), "/dev", flags=kernel.MS_BIND | kernel.MS_REC)


def _file_system_of(mount_point: str) -> str:
    kind = ""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        fields = line.split()
        if fields[1] == mount_point:
            kind = fields[2]  # the last one covers the others
    return kind
