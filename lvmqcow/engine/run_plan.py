"""Runs a plan on a host: step after step, with more room where an image finds none.

A step that fails ends the plan. What is on disk then is what a cut leaves, and `lvmqcow.operations.recovery` goes on
from there.
Where the first step fails, another look at the volume group tells whether anything is cut at all.
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
    """Run all of its steps. ``before`` is the picture that it was planned from.

    Raises:
        UnfitMachine: the machine lacks what a step needs. None was run.
        NothingChanged: the first one failed, and changed nothing; with the cause.
        OperationCut: one failed, or Ctrl-C; with the cause.
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
        return ()  # what failed says more than that nothing can be seen any more
    return more_room(picture, step, failed)


def _cut(host: Host, planned: Plan, before: VolumeGroup, done: int, error: LvmqcowError) -> OperationCut:
    if done == 0 and _changed_nothing(host, planned, before):
        return NothingChanged(planned.operation, planned.target, len(planned.steps), error)
    return OperationCut(planned.operation, planned.target, done, len(planned.steps), error, planned.outcome(done))


def _changed_nothing(host: Host, planned: Plan, before: VolumeGroup) -> bool:
    """Whether the first step, which failed, is known to have left everything as it was.

    Only LVM's own steps can be judged so: a picture does not show what is in an LV. A recovery is not judged at all:
    whatever its first step did, what was cut before is still there to be recovered.
    """
    if planned.recovers or not isinstance(planned.steps[0], LvmStep):
        return False
    try:
        return _facts(host.observe()) == _facts(before)
    except (LvmqcowError, KeyboardInterrupt):
        return False  # nobody knows


def _facts(picture: VolumeGroup) -> object:
    """What LVM and ``/dev`` say of the volume group's LVs, without what only a reader of them knows."""
    return {replace(lv, header=None) for lv in picture.logical_volumes}, frozenset(picture.strays)
