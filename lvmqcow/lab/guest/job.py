"""The job of a lab: the file that the host passes to process 1."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

__all__ = ["Job", "read_job", "settle", "write_job"]


@dataclass(frozen=True)
class Job:
    """A command and its surroundings. Strings carry undecodable bytes as surrogate escapes."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str  # the current directory, and the only one that is written through
    disks: tuple[str, ...]  # files or devices; once settled, devices
    terminal: bool  # give the command a terminal of its own
    separate_errors: bool  # keep stderr apart from that terminal
    window: tuple[int, int]  # rows, columns of that terminal
    shown: tuple[str, ...] = ()  # entries of the lab's own places, such as /tmp, that are the machine's


def write_job(job: Job, path: Path) -> None:
    """ASCII JSON: it escapes lone surrogates, so any file name survives."""
    path.write_text(json.dumps(vars(job), ensure_ascii=True), encoding="ascii")


def read_job(path: Path) -> Job:
    """The inverse of `write_job`."""
    fields = json.loads(path.read_text(encoding="ascii"))
    rows, columns = fields["window"]
    return Job(
        argv=tuple(fields["argv"]),
        environment=dict(fields["environment"]),
        directory=str(fields["directory"]),
        disks=tuple(fields["disks"]),
        terminal=bool(fields["terminal"]),
        separate_errors=bool(fields["separate_errors"]),
        window=(int(rows), int(columns)),
        shown=tuple(fields["shown"]),
    )


def settle(job: Job, lvm_home: Path, disks: Sequence[str]) -> Job:
    """Return the job with what only the inside knows: the directory of LVM's home, and the devices of the disks."""
    inside = {"LVM_SYSTEM_DIR": str(lvm_home), "LVMQCOW_LAB_DISKS": " ".join(disks)}
    return replace(job, environment={**job.environment, **inside}, disks=tuple(disks))
