"""Specimens whose steps run wrongly."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Final

from lvmqcow.core.names import device_path
from lvmqcow.engine.host import Host
from lvmqcow.errors import CommandFailed
from lvmqcow.steps import LvRemove, LvRename, QcowCommit, QcowCreate, QcowRebase, QcowRelink, Step
from lvmqcow.testing.specimens.specimen import Run, Specimen, stepped

__all__ = ["SPECIMENS"]


def _absolute_backing(host: Host, step: Step, run: Run) -> None:
    """Name the backing file by its path, which has the name of the volume group in it."""
    if isinstance(step, QcowCreate | QcowRebase) and step.backing:
        step = replace(step, backing=device_path(host.vg, step.backing))
    run(step)


def _failures_ignored(host: Host, step: Step, run: Run) -> None:
    """Go on when a command fails, and say in the end that all is well."""
    with suppress(CommandFailed):
        run(step)


def _last_steps_ignored(host: Host, step: Step, run: Run) -> None:
    """Go on when a rename or a removal fails."""
    try:
        run(step)
    except CommandFailed:
        if not isinstance(step, LvRename | LvRemove):
            raise


def _rebase_without_data(host: Host, step: Step, run: Run) -> None:
    """Name the new backing file, and copy nothing: what a rebase leaves whose header is on the disk before its data."""
    if isinstance(step, QcowRebase) and step.backing:
        run(QcowRelink(step.lv, step.backing))
    else:
        run(step)


def _no_commit(host: Host, step: Step, run: Run) -> None:
    """Say that data was merged, and merge nothing."""
    if not isinstance(step, QcowCommit):
        run(step)


SPECIMENS: Final[tuple[Specimen, ...]] = (
    Specimen(
        "absolute-backing-path",
        "upstream 44b4e42, d0239ba",
        "a renamed volume group loses its chains",
        ("sequences",),
        stepped("absolute-backing-path", _absolute_backing),
    ),
    Specimen(
        "failures-ignored",
        "upstream fc63388, f0f9054, 0864fda",
        "a command fails, and the operation says that it succeeded",
        ("faults",),
        stepped("failures-ignored", _failures_ignored),
    ),
    Specimen(
        "last-steps-ignored",
        "head 1",
        "a delete whose last steps fail says that it succeeded, with the LVs not swapped",
        ("faults",),
        stepped("last-steps-ignored", _last_steps_ignored),
    ),
    Specimen(
        "rebase-without-data",
        "seed 3",
        "the data of a deleted snapshot is lost",
        ("sequences",),
        stepped("rebase-without-data", _rebase_without_data),
    ),
    Specimen(
        "commit-without-data",
        "seed 3",
        "the data of the layer above a deleted snapshot is lost",
        ("sequences",),
        stepped("commit-without-data", _no_commit),
    ),
)
"""Those whose steps are wrong."""
