"""Replay a trace on a subject, and find the shortest trace that still fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from lvmqcow.errors import LvmqcowError
from lvmqcow.testing.conformance.actions import Action
from lvmqcow.testing.conformance.actions.interrupted import Interrupted
from lvmqcow.testing.conformance.session import Session, Subject
from lvmqcow.testing.model import Disks

__all__ = ["Failure", "replay", "shrink"]


@dataclass(frozen=True)
class Failure:
    """A sequence that fails at its last action."""

    actions: tuple[Action, ...]
    error: AssertionError | LvmqcowError


def replay(make: Callable[[], Subject], actions: Sequence[Action]) -> Failure | None:
    """Carry out a sequence on a fresh subject; returns its failure, None if everything holds.

    An action on something that is not there is left out: in a shortened sequence, what made it may be missing.
    """
    with closing(make()) as subject:
        session = Session(subject)
        for action in actions:
            if not _applies(action, session.model.disks):
                continue
            try:
                session.apply(action)
            except (AssertionError, LvmqcowError) as error:
                return Failure(tuple(session.done), error)
    return None


def shrink(make: Callable[[], Subject], failure: Failure, is_over: Callable[[], bool]) -> Failure:
    """Return the shortest sequence found that still fails: leave out ever smaller parts, until no action can go."""
    size = len(failure.actions) // 2
    while size:
        start, shorter = 0, False
        while start < len(failure.actions) - 1 and not is_over():
            rest = failure.actions[:start] + failure.actions[start + size :]
            again = replay(make, rest)
            if again is not None and len(again.actions) < len(failure.actions):
                failure, shorter = again, True
            else:
                start += size
        if is_over():
            break
        if not shorter:
            size //= 2
    return failure


def _applies(action: Action, disks: Disks) -> bool:
    """Return whether what an action names is there. What it makes need not be."""
    if isinstance(action, Interrupted):
        return _applies(action.action, disks)
    volume, snapshot = getattr(action, "volume", None), getattr(action, "snapshot", None)
    if volume is None or action.kind == "create":
        return True
    if volume not in disks:
        return False
    if action.kind == "write" and (not disks[volume].active or disks[volume].template):
        return False
    return snapshot is None or action.kind == "snapshot" or snapshot in disks[volume].snapshots
