"""Cuts of plans on a real volume group: after every step, and again after every step of the recovery from that.

1. run the plan, and take a checkpoint after each step
2. go back to each of them, run recovery, and check that the volume is as it should be
3. do the same from every point *of that recovery*, and of the recovery from there, until no new state comes

A point of a recovery is skipped if a fresh recovery would run exactly the remaining steps. A state that equals an
earlier one, byte for byte, is skipped too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from lvmqcow.engine.host import Host
from lvmqcow.operations import Plan
from lvmqcow.steps import Step
from lvmqcow.testing.crash.checkpoints import Checkpoint, Checkpoints

__all__ = ["CrashKind", "CrashPoint", "Oracle", "Tally", "every_cut"]


class CrashKind(StrEnum):
    """What crashed."""

    PROCESS = "the process"
    """What was active stays so."""
    MACHINE = "the machine"
    """Nothing is active when it comes back."""


@dataclass(frozen=True)
class CrashPoint:
    """Where a plan was cut: after ``done`` steps, or inside the next one. ``path`` says it for people."""

    done: int
    path: str


class Oracle(Protocol):
    """Judges the volume group after recovery."""

    def __call__(self, place: CrashPoint, digests: Mapping[str, bytes]) -> None:
        """Raise AssertionError if anything is lost, left over or not as stated. ``digests`` are those of the LVs."""


@dataclass(frozen=True)
class Tally:
    """How much was tried. ``places`` counts cuts of the plan, and of every recovery in it; ``recoveries`` ran."""

    places: int = 0
    recoveries: int = 0
    outcomes: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.places + other.places, self.recoveries + other.recoveries, self.outcomes + other.outcomes)


def every_cut(host: Host, checkpoints: Checkpoints, plan: Plan, recovery: Callable[[], Plan], verdict: Oracle) -> Tally:
    """Cut ``plan`` at every point, from the present state of the volume group, and judge the result of recovery.

    Raises:
        AssertionError: the verdict's.
        LvmqcowError: recovery itself failed.
    """
    taken = list(_cuts(host, checkpoints, plan))
    tally, judged = Tally(), set[Hashable]()
    for death in CrashKind:
        walk = _Walk(host, checkpoints, recovery, verdict, death, judged)
        for place, checkpoint in taken:
            tally += walk.from_here(place, checkpoint, place.done >= plan.commit_point)
    return tally


def _cuts(host: Host, checkpoints: Checkpoints, plan: Plan) -> Iterator[tuple[CrashPoint, Checkpoint]]:
    for done, step in enumerate(plan.steps):
        place = _place(plan, done)
        here = checkpoints.take()
        yield CrashPoint(done, place), here
        for part in step.parts:
            host.run(part)
            yield CrashPoint(done, f"{place}, inside {type(step).__name__}"), checkpoints.take()
            checkpoints.put_back(here)
        host.run(step)
    yield CrashPoint(len(plan.steps), _place(plan, len(plan.steps))), checkpoints.take()


def _place(plan: Plan, done: int) -> str:
    return f"{plan.operation} cut after {done} of {len(plan.steps)} steps"


class _Walk:
    """All recoveries after one kind of crash. States that were met or judged are remembered."""

    def __init__(
        self,
        host: Host,
        checkpoints: Checkpoints,
        recovery: Callable[[], Plan],
        verdict: Oracle,
        death: CrashKind,
        judged: set[Hashable],
    ) -> None:
        self._host = host
        self._checkpoints = checkpoints
        self._recovery = recovery
        self._verdict = verdict
        self._death = death
        self._met: dict[Hashable, int] = {}
        self._judged = judged

    def from_here(self, place: CrashPoint, checkpoint: Checkpoint, finishes: bool) -> Tally:
        tally = Tally(places=1)
        queue = [(place, self._after_death(checkpoint))]
        while queue:
            here, state = queue.pop()
            key = (state.key, finishes)
            if key in self._met:
                tally += Tally(places=self._met[key])
                continue
            self._checkpoints.put_back(state)
            recovery = self._recovery()
            self._met[key] = len(recovery.steps)
            tally += Tally(places=len(recovery.steps), recoveries=1)
            for done, step in enumerate(recovery.steps):
                if done and self._another_way(recovery.steps[done:]):
                    inner = CrashPoint(place.done, f"{here.path}; {_place(recovery, done)}")
                    queue.append((inner, self._after_death(self._checkpoints.take())))
                self._host.run(step)
            came_out = self._checkpoints.take()
            outcome = (came_out.without_power().key, finishes)
            if outcome not in self._judged:
                self._verdict(CrashPoint(place.done, f"{here.path}, {self._death} died"), came_out.digests)
                self._judged.add(outcome)
                tally += Tally(outcomes=1)
        return tally

    def _another_way(self, rest: tuple[Step, ...]) -> bool:
        """Return whether a recovery that is cut here would continue in another way than it does now."""
        return self._death is CrashKind.MACHINE or self._recovery().steps != rest

    def _after_death(self, checkpoint: Checkpoint) -> Checkpoint:
        return checkpoint.without_power() if self._death is CrashKind.MACHINE else checkpoint
