"""Run a plan on a host, step by step. If an image finds its LV full, extend the LV and run the step again.

A step that fails ends the plan. The state on disk is then that of a cut, which `lvmqcow.operations.recovery` finishes
or undoes. If the first step fails, a new picture shows whether the step changed anything.
"""

from __future__ import annotations

from dataclasses import replace

from lvmqcow.core.group import VolumeGroup
from lvmqcow.engine.events import Events
from lvmqcow.engine.host import Host
from lvmqcow.errors import (
    CommandFailed,
    Corrupt,
    Interrupted,
    LvmqcowError,
    NoSpace,
    NothingChanged,
    OperationCut,
    UnfitMachine,
)
from lvmqcow.operations import Plan
from lvmqcow.operations.shared.room import more_room
from lvmqcow.steps import LvmStep, Step

__all__ = ["run_plan"]


def run_plan(host: Host, planned: Plan, before: VolumeGroup, events: Events) -> None:
    """Run all steps of a plan. ``before`` is the picture that the plan was made from.

    Raises:
        UnfitMachine: the machine lacks something that a step needs. No step was run.
        NothingChanged: the first step failed and changed nothing; with the cause.
        OperationCut: a step failed or was interrupted with Ctrl-C; with the cause.
    """
    host.require_fit(planned.steps)
    for done, step in enumerate(planned.steps):
        try:
            _run(host, step, events)
        except (CommandFailed, Corrupt, NoSpace, UnfitMachine) as error:
            raise _cut(host, planned, before, done, error) from error
        except KeyboardInterrupt as error:
            raise _cut(host, planned, before, done, Interrupted(step.argv(host.vg)[0])) from error


def _run(host: Host, step: Step, events: Events) -> None:
    while True:
        events.begun(step)
        try:
            return host.run(step, events.progress)
        except CommandFailed as failed:
            before = _room(host, step, failed)
            if not before:
                raise
        for each in before:
            _run(host, each, events)


def _room(host: Host, step: Step, failed: CommandFailed) -> tuple[Step, ...]:
    try:
        picture = host.observe()
    except LvmqcowError:
        return ()  # the caller raises the failure of the step, which says more than this error
    return more_room(picture, step, failed)


def _cut(host: Host, planned: Plan, before: VolumeGroup, done: int, error: LvmqcowError) -> OperationCut:
    if done == 0 and _changed_nothing(host, planned, before):
        return NothingChanged(planned.operation, planned.target, len(planned.steps), error)
    return OperationCut(planned.operation, planned.target, done, len(planned.steps), error, planned.outcome(done))


def _changed_nothing(host: Host, planned: Plan, before: VolumeGroup) -> bool:
    """Return whether the first step, which failed, certainly changed nothing.

    A picture shows this only for LVM steps, because it does not show the content of LVs. For a recovery the answer is
    no: even if its first step changed nothing, the operation that was cut before still has to be recovered.
    """
    if planned.recovers or not isinstance(planned.steps[0], LvmStep):
        return False
    try:
        return _facts(host.observe()) == _facts(before)
    except (LvmqcowError, KeyboardInterrupt):
        return False  # unknown


def _facts(picture: VolumeGroup) -> object:
    """Return what LVM and ``/dev`` show of the LVs, without the image headers."""
    return {replace(lv, header=None) for lv in picture.logical_volumes}, frozenset(picture.strays)
