"""Run a command on this machine's own kernel, which has device-mapper, loop devices and root.

The command gets its own process and mount namespaces and a private home for LVM, which
`guest.direct` makes. The session and the agent inside are the same as with User-mode Linux.
"""

from __future__ import annotations

import os

from .guest.job import Job, write_job
from .inside import guest_program
from .rundir import new_run_directory
from .session import run_session

__all__ = ["run_directly"]


def run_directly(job: Job) -> int:
    """Run the job on this machine's kernel; returns the exit status of its command."""
    with new_run_directory() as run_directory:
        write_job(job, run_directory.path / "job.json")
        return run_session(
            lambda lines: [
                *guest_program("direct"),
                str(run_directory.path),
                *map(str, (lines.output, lines.errors, lines.control_in, lines.control_out)),
            ],
            run_directory,
            environment={"PATH": os.defpath},
        )
