"""The User-mode Linux kernels that a machine may have: Debian's package, or a newer one that `ci/kernel` put beside it.

6.1, which is Debian 12's, takes twice the time of 7.2, and neither it nor 6.12 can run where the CPU has AMX: what
they give ptrace for a process's registers is too small, and the first process dies ("set fp regs failed, errno = 14").
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KERNELS", "LEAST_WITH_AMX", "Kernel", "installed_kernel", "version_of"]


@dataclass(frozen=True)
class Kernel:
    """A User-mode Linux program, and the directory of its modules."""

    program: Path
    modules: Path


KERNELS = (
    Kernel(Path("/usr/local/bin/linux.uml"), Path("/usr/local/lib/uml/modules")),
    Kernel(Path("/usr/bin/linux.uml"), Path("/usr/lib/uml/modules")),
)
"""The kernels that the lab looks for. The one that an administrator installed in /usr/local comes first."""

LEAST_WITH_AMX = (7, 2)
"""The oldest version that was seen to run on a CPU with AMX."""


def installed_kernel(kernels: Sequence[Kernel] = KERNELS) -> Kernel | None:
    """Return the kernel that the lab boots: the first one that is installed."""
    return next((kernel for kernel in kernels if os.access(kernel.program, os.X_OK)), None)


def version_of(kernel: Kernel) -> tuple[int, ...]:
    """Return the version that the program prints; empty if it prints none."""
    said = subprocess.run([kernel.program, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.match(r"(\d+)\.(\d+)", said)
    return tuple(map(int, match.groups())) if match else ()
