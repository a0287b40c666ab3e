"""Run a command in the kind of lab that this machine can run."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from .direct import run_directly
from .doctor import Finding, Status, diagnose, lab_kind
from .environment import lab_environment
from .errors import LabError
from .guest.job import Job
from .machine import probe
from .terminal import is_interactive, raw_terminal, window_size
from .uml.boot import run_in_uml

__all__ = ["DEFAULT_MEMORY_BYTES", "run"]

DEFAULT_MEMORY_BYTES = 2 << 30  # the lab takes memory from the machine only as it uses it


def run(
    command: Sequence[str],
    *,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    disks: Sequence[Path] = (),
) -> int:
    """Run `command` as root in the current directory of a lab; returns its exit status.

    It uses this process's stdin, stdout and stderr. A command killed by a signal has the status
    128 + signal, as in a shell. Raises LabError if the lab itself fails.
    """
    machine = probe()
    kind = lab_kind(machine)
    if kind is None:
        raise LabError("This machine can run no lab.", _what_is_missing(diagnose(machine)))
    interactive = is_interactive()
    job = Job(
        argv=tuple(command),
        environment=lab_environment(os.environ, kind),
        directory=_current_directory(),
        disks=tuple(map(_usable, disks)),
        terminal=interactive,
        separate_errors=not (interactive and os.isatty(2)),
        window=window_size(),
    )
    with raw_terminal() if interactive else contextlib.nullcontext():
        return run_directly(job) if kind == "direct" else run_in_uml(job, memory_bytes)


def _current_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError as error:
        raise LabError("The current directory has been removed.", "Change to one that exists.") from error


def _usable(disk: Path) -> str:
    if not os.access(disk, os.R_OK | os.W_OK):
        raise LabError(
            f"The disk {disk} cannot be opened for reading and writing.",
            f"Create it first: truncate -s 1G {shlex.quote(str(disk))}",
        )
    return os.path.abspath(disk)


def _what_is_missing(findings: Sequence[Finding]) -> str:
    missing = [finding for finding in findings if finding.status is Status.MISSING]
    return "\n".join(f"{finding.text}\n    {finding.mend}" for finding in missing)
