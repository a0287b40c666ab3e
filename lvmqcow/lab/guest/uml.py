"""Process 1 of a User-mode Linux lab: builds the world over the machine's own files, then serves.

The kernel has mounted the machine's root, read-only, by way of hostfs. On top of it:

    /                       overlay: the machine's files, writes go to memory
    /tmp /run /dev /proc    the lab's own
    /tmp/venv, say          what the command names in one of these: the machine's files, as everywhere
    the current directory   hostfs again, writable: the one way out

A failure here ends process 1, so that the kernel panics: the host shows the console.
"""

from __future__ import annotations

import os
import sys
import termios
from pathlib import Path

from . import kernel
from .agent import Lines, serve
from .job import read_job, settle
from .lvm import furnish
from .shown import hold, show

__all__ = ["main"]

_LVM_HOME = Path("/run/lvmqcow-lab/lvm")


def main() -> None:
    """Build, serve, power off.

    The arguments are the run directory, which holds `job.json`, and the directory of the kernel's modules.
    """
    run_directory, modules = map(Path, sys.argv[1:])
    job = read_job(run_directory / "job.json")
    _load_modules(run_directory, modules)
    _enter_overlay(run_directory)
    shown = hold(job.shown)
    _mount_own_places(modules)
    show(shown)
    _share(job.directory)
    kernel.set_loopback_up()
    kernel.set_host_name("lvmqcow-lab")
    serve(settle(job, furnish(_LVM_HOME), job.disks), _open_lines())
    kernel.power_off()


def _load_modules(run_directory: Path, modules: Path) -> None:
    """Let modprobe find the kernel's modules where the machine keeps them, which is not below /lib."""
    kernel.mount("lab", str(run_directory), "tmpfs", options="mode=755,size=50%")
    (run_directory / "lib").mkdir()
    (run_directory / "lib/modules").symlink_to(modules)
    argv = ["modprobe", "--dirname", str(run_directory), "--all", "overlay", "dm-mod", "loop"]
    if os.spawnv(os.P_WAIT, "/sbin/modprobe", argv) != 0:
        raise SystemExit(f"modprobe finds no overlay, dm-mod and loop in {modules}")


def _enter_overlay(run_directory: Path) -> None:
    """Make an overlay of the machine's files, with writes kept in memory, the root directory."""
    for name in ("upper", "work", "root"):
        (run_directory / name).mkdir()
    layers = f"lowerdir=/,upperdir={run_directory}/upper,workdir={run_directory}/work"
    kernel.mount("lab", f"{run_directory}/root", "overlay", options=layers)
    kernel.pivot_root(f"{run_directory}/root")


def _mount_own_places(kernels_modules: Path) -> None:
    kernel.mount("proc", "/proc", "proc")
    kernel.mount("sysfs", "/sys", "sysfs")
    kernel.mount("devtmpfs", "/dev", "devtmpfs")
    for directory in ("/dev/pts", "/dev/shm"):
        os.makedirs(directory, exist_ok=True)
    kernel.mount("devpts", "/dev/pts", "devpts", options="newinstance,ptmxmode=666,mode=620,gid=5")
    kernel.mount("tmpfs", "/dev/shm", "tmpfs", options="mode=1777")
    for link, target in (("fd", "self/fd"), ("stdin", "self/fd/0"), ("stdout", "self/fd/1"),
                         ("stderr", "self/fd/2")):  # fmt: skip
        os.symlink(f"/proc/{target}", f"/dev/{link}")
    # The lab's memory limits what files hold; sparse files may have any size.
    kernel.mount("tmpfs", "/tmp", "tmpfs", options="mode=1777,size=100%,nr_inodes=0")
    kernel.mount("tmpfs", "/run", "tmpfs", options="mode=755")
    for directory in ("/run/lock", "/run/lvm"):
        os.mkdir(directory)
    # Otherwise the kernel starts /sbin/hotplug for every device that appears.
    Path("/sys/kernel/uevent_helper").write_text("", encoding="ascii")
    modules = Path("/lib/modules", os.uname().release)
    modules.parent.mkdir(parents=True, exist_ok=True)
    if not modules.exists():
        modules.symlink_to(kernels_modules / os.uname().release)


def _share(directory: str) -> None:
    """Share the job's directory. This comes last, because it may be in a directory that was just covered, as /tmp."""
    os.makedirs(directory, exist_ok=True)
    kernel.mount("lab", directory, "hostfs", options=directory)


def _open_lines() -> Lines:
    output, errors, control = (_open_serial(f"/dev/ttyS{number}") for number in range(3))
    return Lines(output, errors, control, os.dup(control))


def _open_serial(path: str) -> int:
    """Open a serial line that passes bytes on unchanged."""
    line = os.open(path, os.O_RDWR | os.O_NOCTTY)
    _, _, control, _, input_speed, output_speed, characters = termios.tcgetattr(line)
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    raw = [0, 0, control | termios.CLOCAL | termios.CREAD, 0, input_speed, output_speed, characters]
    termios.tcsetattr(line, termios.TCSANOW, raw)
    return line
