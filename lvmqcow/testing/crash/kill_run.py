"""Long steps of a plan are killed inside, and long steps of the recovery from that; each time it is judged."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from random import Random
from typing import Final, TypeVar

from lvmqcow.engine.host import Host
from lvmqcow.operations import Plan
from lvmqcow.steps import DataStep, ImageReceive, Step
from lvmqcow.testing.crash.checkpoints import Checkpoint, Checkpoints
from lvmqcow.testing.crash.crash_points import CrashPoint, Oracle
from lvmqcow.testing.crash.kills import Call, Killer, Moment, Timer, Watched

__all__ = ["Mortal", "Sigkills", "by_interest", "in_turn"]

_Spot = TypeVar("_Spot")
_LAST: Final = 3
_GOLDEN_RATIO: Final = 0.618034
"""Multiples of it, modulo 1, are spread evenly however many one takes."""


@dataclass(frozen=True)
class Mortal:
    """A volume group whose long steps can be killed, by ``killer``: ``watched`` was made with its stand-ins ahead."""

    host: Host
    watched: Host
    killer: Killer
    checkpoints: Checkpoints

    def insides(self, plan: Plan) -> list[Inside]:
        """Run the plan to its end, and note what there is inside its long steps."""
        return list(self._insides(plan))

    def run(self, plan: Plan) -> None:
        for step in plan.steps:
            self.host.run(step)

    def _insides(self, plan: Plan) -> Iterator[Inside]:
        for done, step in enumerate(plan.steps):
            if not isinstance(step, DataStep):
                self.host.run(step)
                continue
            before = self.checkpoints.take()
            watched = self.killer.watch(partial(self._run_watched, step))
            if watched.calls:
                yield Inside(plan, done, before, watched)

    def kill(self, inside: Inside, moment: Moment) -> bool:
        """Go there, and have it killed; False: the step ended before."""
        self.checkpoints.put_back(inside.before)
        return self.killer.kill(moment, partial(self._run_watched, inside.step))

    def _run_watched(self, step: Step) -> None:
        if isinstance(step, ImageReceive):
            os.lseek(step.stream, 0, os.SEEK_SET)
        self.watched.run(step)


@dataclass(frozen=True)
class Inside:
    """A long step of a plan of which ``done`` steps are done, and how it was before it."""

    plan: Plan
    done: int
    before: Checkpoint
    watched: Watched

    @property
    def step(self) -> Step:
        return self.plan.steps[self.done]

    @property
    def kind(self) -> str:
        return type(self.step).__name__

    def killed(self, moment: Moment) -> str:
        """What happened, for people."""
        return f"{self.plan.operation} killed in step {self.done + 1} of {len(self.plan.steps)}, {self.kind}, {moment}"


@dataclass(frozen=True)
class Sigkills:
    """Kills steps of one operation, and has what recovery makes of it judged."""

    mortal: Mortal
    recovery: Callable[[], Plan]
    verdict: Oracle

    def of(self, plan: Plan, wanted: int, random: Random) -> Counter[str]:
        """Kill inside its long steps, and inside those of its recovery, until there were so many kills.

        Returns how many of each kind of step were killed. Fewer are there if most steps end before they are killed.

        Raises:
            AssertionError: the verdict's.
            LvmqcowError: recovery itself failed.
        """
        insides = self.mortal.insides(plan)
        chosen = in_turn([(inside, call) for call in by_interest(inside.watched.calls)] for inside in insides)
        kills = Counter[str]()
        for attempt in range(4 * wanted):
            if kills.total() >= wanted:
                break
            by_call = attempt % 4 < 3
            inside, moment = (
                next(chosen, None) or _at_any_call(insides, random) if by_call else _at_random(insides, random)
            )
            if self.mortal.kill(inside, moment):
                kills[inside.kind] += 1
                place = CrashPoint(inside.done, inside.killed(moment))
                if attempt % 4 == 0:
                    kills += self._killed_again(place, random)
                else:
                    self._recovered(place)
        return kills

    def _recovered(self, place: CrashPoint) -> None:
        self.mortal.run(self.recovery())
        self.verdict(place, self.mortal.checkpoints.take().digests)

    def _killed_again(self, place: CrashPoint, random: Random) -> Counter[str]:
        """The same, and from the same state a recovery that is killed, and one after that."""
        insides = self.mortal.insides(self.recovery())
        self.verdict(place, self.mortal.checkpoints.take().digests)
        if not insides:
            return Counter()
        inside = random.choice(insides)
        moment = random.choice(inside.watched.calls)
        if not self.mortal.kill(inside, moment):
            return Counter()
        self._recovered(CrashPoint(place.done, f"{place.path}; {inside.killed(moment)}"))
        return Counter([f"{inside.kind} in recovery"])


def _at_any_call(insides: Sequence[Inside], random: Random) -> tuple[Inside, Call]:
    """Once all were had: other threads, and a recovery that is killed elsewhere, make it a new case."""
    inside = random.choice(insides)
    return inside, random.choice(inside.watched.calls)


def _at_random(insides: Sequence[Inside], random: Random) -> tuple[Inside, Timer]:
    """Some time while a step writes."""
    inside = random.choice(insides)
    return inside, Timer(random.uniform(inside.watched.begun_seconds, inside.watched.done_seconds))


def by_interest(calls: Sequence[Call]) -> Iterator[Call]:
    """The last ones first, which write the tables and the headers that all else hangs on; then some all over."""
    yield from reversed(calls[-_LAST:])
    before = calls[:-_LAST]
    for index in sorted(range(len(before)), key=lambda index: index * _GOLDEN_RATIO % 1):
        yield before[index]


def in_turn(rows: Iterable[Iterable[_Spot]]) -> Iterator[_Spot]:
    """The first of each, then the second of each, and so on."""
    for spots in zip_longest(*([(spot,) for spot in row] for row in rows), fillvalue=()):
        for each in spots:
            yield from each
