"""I/O errors of the disk in every step: the operation says so, and recovery brings the volume back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Final

from lvmqcow.operations import Deactivate, DeleteSnapshot, Request
from lvmqcow.steps import (
    ImageCopy,
    ImageExport,
    ImageSend,
    LvActivate,
    LvAutoactivation,
    LvDeactivate,
    LvmStep,
    LvRefresh,
    Step,
)
from lvmqcow.testing.cases.operation_table import OPERATIONS
from lvmqcow.testing.cases.scenarios import FILES, planned
from lvmqcow.testing.cases.starts import Starts, breakable_starts, group_name
from lvmqcow.testing.conformance.implementation import OURS, Implementation
from lvmqcow.testing.conformance.suite import Came, Place, Suite, Surroundings, Trial
from lvmqcow.testing.conformance.verdict import Outcome as Cell
from lvmqcow.testing.conformance.violation import require
from lvmqcow.testing.crash.io_error_run import Faulted, Outcome
from lvmqcow.testing.crash.io_error_run import Trial as FaultTrial
from lvmqcow.testing.crash.io_errors import Disk, Fault
from lvmqcow.testing.real_group import needs_real_groups
from lvmqcow.testing.suites.cuts import operation_of
from lvmqcow.testing.suites.real_cuts import GROUP_BYTES

__all__ = ["REAL_FAULTS", "fail_the_disk", "faults_with_every_trait"]

_WRITES_NOTHING: Final = (LvActivate, LvDeactivate, LvRefresh, ImageExport, ImageSend)
"""Steps that write nothing to the disk. Every other fault must be hit at least once."""

Chosen = set[tuple[int, Fault]] | None
"""The steps that fail, and how; None is all of them."""


def fail_the_disk(
    real: Starts, disk: Disk, operation: str, chosen: Chosen, implementation: Implementation = OURS
) -> Came:
    """Let the disk fail in the chosen steps of one operation, at every place; judge what recovery makes of it.

    Raises:
        AssertionError: a success that is none, or a state that recovery does not bring back.
        LvmqcowError: recovery itself fails.
    """
    faulted = Faulted(real, disk, *OPERATIONS[operation], implementation=implementation)
    hits, came = Counter[tuple[type[Step], Fault, Outcome]](), Came()
    for trial in _wanted(chosen, list(faulted.trials())):
        outcome = faulted.outcome(trial)
        hits[type(trial.step), trial.fault, outcome] += 1
        cell = Cell.REFUSED if outcome is Outcome.RAISED else Cell.HELD
        came.add(operation_of(operation), f"EIO on {trial.fault}", cell)
        came.counts[f"faults: EIO on {trial.fault}, {outcome}"] += 1
    for step, fault, outcome in list(hits):
        hit = hits[step, fault, Outcome.RAISED] > 0
        allowed = hit or (fault is Fault.WRITE and step in _WRITES_NOTHING)
        require(allowed, f"{operation}: no fault was hit in {step.__name__}", f"EIO on {fault}", outcome)
    return came


def _wanted(chosen: Chosen, trials: list[FaultTrial]) -> list[FaultTrial]:
    """Return every place of an image step. For LVM commands, and steps that write nothing, only a lost disk."""
    if chosen is None:
        return trials
    new = [trial for trial in trials if (trial.done, trial.fault) in chosen]
    placed = {(trial.done, trial.fault) for trial in new if trial.place and not isinstance(trial.step, LvmStep)}
    return [trial for trial in new if bool(trial.place) == ((trial.done, trial.fault) in placed)]


def _traits(request: Request, step: Step, fault: Fault) -> Hashable:
    """The traits of a fault: an LVM command fails as a whole, an image step fails at a place."""
    match step:
        case LvDeactivate() if isinstance(request, Deactivate):  # this request asks LVM once more
            return type(request), type(step), fault
        case LvAutoactivation():  # only one request does this
            return type(step), fault
        case _ if isinstance(step, LvmStep):
            return type(request), type(step)
        case _ if fault is Fault.WRITE:
            merge = request.merge if isinstance(request, DeleteSnapshot) else None
            return type(request), request.volume.format, merge, type(step), fault
        case ImageCopy():
            return type(step), step.source_format, step.format, fault
        case _:
            return type(step), fault


def faults_with_every_trait() -> Mapping[str, set[tuple[int, Fault]]]:
    """Return the steps that fail, and how, by operation. Operations with the most new traits come first."""
    possible = {
        operation: {
            _traits(request, step, fault): (done, fault)
            for done, step in enumerate(planned(start(), request).steps)
            for fault in (list(Fault)[:: 1 if done % 2 else -1] if isinstance(step, LvmStep) else Fault)
        }
        for operation, (start, request) in OPERATIONS.items()
    }
    rows, seen = dict[str, set[tuple[int, Fault]]](), set[Hashable]()
    while possible:
        operation = max(possible, key=lambda name: len(possible[name].keys() - seen))
        new = possible.pop(operation)
        if new.keys() <= seen:
            break
        rows[operation] = {new[trait] for trait in new.keys() - seen}
        seen |= new.keys()
    return rows


def _trials(random: Random) -> Sequence[str]:
    rows = list(faults_with_every_trait())
    random.shuffle(rows)
    return rows


@contextmanager
def _opened(surroundings: Surroundings) -> Iterator[Trial]:
    chosen = faults_with_every_trait()
    with breakable_starts(group_name("faults"), surroundings.directory, FILES, GROUP_BYTES) as (real, disk):
        yield lambda row: fail_the_disk(real, disk, row, chosen.get(row), surroundings.implementation)


REAL_FAULTS: Final = Suite(
    "faults",
    "the disk fails in every step, at every place that the step reads or writes",
    Place.REAL,
    "the disk fails",
    needs_real_groups,
    _trials,
    _opened,
    operation_of,
)
