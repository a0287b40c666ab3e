"""Run a command under User-mode Linux, on a machine that has no device-mapper or does not let us use it.

User-mode Linux is a Linux kernel that runs as an ordinary process. It boots in a second on the machine's own files. It
needs one of `kernels`, but no KVM, no root and no image. Its process 1 is `guest.uml`.
"""

from __future__ import annotations

import mmap
import os
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import LabError
from ..guest.job import Job, write_job
from ..inside import guest_program
from ..rundir import RunDirectory, new_run_directory
from ..session import LabLines, run_session
from .cpu import claim_cpu
from .kernels import Kernel, installed_kernel
from .named import named_entries

__all__ = ["is_executable_memory", "memory_directories", "run_in_uml"]

_MOST_DISKS = 8
_KERNELS_OWN = ("/dev/", "/proc/", "/sys/")


def run_in_uml(job: Job, memory_bytes: int) -> int:
    """Boot, run the job, end; returns the exit status of its command."""
    kernel = _kernel()
    _refuse_impossible(job)
    with new_run_directory() as run_directory, claim_cpu() as claim:
        disks = _link_disks(job.disks, run_directory)
        nodes = tuple(f"/dev/ubd{chr(ord('a') + number)}" for number in range(len(disks)))
        write_job(replace(job, disks=nodes, shown=named_entries(job)), run_directory.path / "job.json")
        _write_init(run_directory.path / "init", kernel)
        return run_session(
            lambda lines: _command_line(kernel, run_directory.path, lines, disks, memory_bytes),
            run_directory,
            environment={"TMPDIR": str(_memory_directory(memory_bytes)), "PATH": os.defpath},
            cpu=claim.cpu,
            hold=[claim.descriptor],
        )


def memory_directories() -> tuple[Path, ...]:
    """Return the directories in which the kernel's memory, an unlinked file, may be; the best first."""
    return tuple(dict.fromkeys((Path("/dev/shm"), Path(tempfile.gettempdir()), Path("/var/tmp"))))


def is_executable_memory(directory: Path) -> bool:
    """Return whether a file there can be mapped executable, as the processes in the lab are."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.truncate(mmap.PAGESIZE)
            protection = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
            mmap.mmap(file.fileno(), mmap.PAGESIZE, prot=protection).close()
    except OSError:
        return False
    return True


def _refuse_impossible(job: Job) -> None:
    if len(job.disks) > _MOST_DISKS:
        raise LabError(f"{len(job.disks)} disks are too many.", f"Give at most {_MOST_DISKS}.")
    in_kernel = f"{job.directory}/".startswith(_KERNELS_OWN) and not job.directory.startswith("/dev/shm/")
    if job.directory == "/" or in_kernel:
        raise LabError(
            f"The lab cannot share {job.directory}, its current directory, with this machine.",
            "Change to the directory of your project and run it from there.",
        )


def _kernel() -> Kernel:
    kernel = installed_kernel()
    if kernel is None:
        raise LabError("There is no User-mode Linux here.", "apt-get install user-mode-linux")
    return kernel


def _command_line(
    kernel: Kernel, run_directory: Path, lines: LabLines, disks: Sequence[Path], memory_bytes: int
) -> list[str]:
    return [
        str(kernel.program),
        f"mem={memory_bytes // 1024}K",
        *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"),
        f"init={run_directory}/init",
        *(f"uml_dir={run_directory}/", "umid=lab"),
        *("con=null", f"con0=null,fd:{lines.console}", "console=tty0", "quiet"),
        *("ssl=null", f"ssl0=null,fd:{lines.output}", f"ssl1=null,fd:{lines.errors}"),
        f"ssl2=fd:{lines.control_in},fd:{lines.control_out}",
        "pty.legacy_count=0",
        "devtmpfs.mount=0",  # process 1 does it, later: this interpreter and package may be in /dev/shm
        "seccomp=auto",  # twice as fast as ptrace, where kernel and machine can
        # The kernel would spend half of the boot on a benchmark of RAID 6 algorithms, and the lab needs no RAID 6.
        "initcall_blacklist=raid6_select_algo",
        # c: several labs may share the file; d: raw data, whatever its first bytes look like.
        *(f"ubd{number}cd={disk}" for number, disk in enumerate(disks)),
    ]


def _write_init(path: Path, kernel: Kernel) -> None:
    """Write the script that the kernel starts as process 1: this interpreter with the guest side of this package."""
    path.write_text(
        f"#!/bin/sh\nexec {shlex.join(guest_program('uml'))} {path.parent} {kernel.modules}\n",
        encoding="utf-8",
        errors="surrogateescape",
    )
    path.chmod(0o700)


def _link_disks(disks: Sequence[str], run_directory: RunDirectory) -> list[Path]:
    """Return names without colons and commas, which separate parameters on the kernel's command line."""
    links = []
    for number, disk in enumerate(disks):
        link = run_directory.path / f"disk{number}"
        link.symlink_to(disk)
        links.append(link)
    return links


def _memory_directory(memory_bytes: int) -> Path:
    for directory in memory_directories():
        if is_executable_memory(directory):
            free = os.statvfs(directory)
            if free.f_bavail * free.f_frsize >= memory_bytes:
                return directory
    tried = ", ".join(map(str, memory_directories()))
    raise LabError(
        f"None of {tried} has {memory_bytes >> 20} MiB free and allows executable mappings.",
        "Ask for less with --memory, or point TMPDIR to a directory on a larger file system.",
    )
