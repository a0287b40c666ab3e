"""Random sequences of operations on one volume group. After each operation everything is compared with the model.

A sequence that fails is made as short as possible: on a simulated volume group where it fails there too, else on the
real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from random import Random
from typing import Final

from lvmqcow.core.names import Layout
from lvmqcow.engine.host import Host
from lvmqcow.errors import LvmqcowError
from lvmqcow.testing.conformance.actions import Action, RandomChooser
from lvmqcow.testing.conformance.actions.interrupted import Interrupted
from lvmqcow.testing.conformance.drawing import layers_of
from lvmqcow.testing.conformance.implementation import Implementation
from lvmqcow.testing.conformance.replay import Failure, replay, shrink
from lvmqcow.testing.conformance.session import Ours, Session, Subject
from lvmqcow.testing.conformance.suite import Budget, Came, Place, Suite, Surroundings, Trial
from lvmqcow.testing.conformance.trace import Trace
from lvmqcow.testing.conformance.verdict import Finding, Outcome
from lvmqcow.testing.conformance.violation import Violation
from lvmqcow.testing.crash.recording_host import RecordingHost
from lvmqcow.testing.real_group import RealGroup, needs_real_groups, real_group
from lvmqcow.testing.simulated.host import SimHost
from lvmqcow.testing.worlds import RealWorld, SimWorld

__all__ = ["REAL_SEQUENCES", "SEQUENCES", "Bench", "random_sequence", "replay_suite"]

_OPERATIONS: Final = {Place.SIMULATED: 30, Place.REAL: 12}
"""The rules of a sequence. A short one ends sooner, and a long one reaches deeper."""
_SHRINK_SECONDS: Final = {Place.SIMULATED: 20.0, Place.REAL: 120.0}
_REAL_BYTES: Final = 1024**3
_MEMORY_BYTES: Final = 1024**4

Make = Callable[[], Subject]


def random_sequence(make: Make, seed: str, rules: int) -> tuple[Came, Failure | None]:
    """Follow so many rules, drawn at random, on a fresh subject; returns what was tried, and the failure."""
    chooser, came = RandomChooser(Random(seed)), Came()
    with closing(make()) as subject:
        session = Session(subject)
        error: AssertionError | LvmqcowError | None = None
        try:
            for _ in range(rules):
                session.follow(chooser.pick(session.possible(), "rule"), chooser)
        except (AssertionError, LvmqcowError) as failed:
            error = failed
    for action in session.done[: -1 if error else None]:
        came.add(*_cell(action))
    came.counts.update({"sequences": 1, "operations": len(session.done)})
    return came, Failure(tuple(session.done), error) if error is not None else None


@dataclass(frozen=True)
class Bench:
    """Where sequences are tried: an implementation, in a layout, on a real volume group or in memory."""

    implementation: Implementation
    layout: Layout
    group: RealGroup | None = None

    @property
    def place(self) -> Place:
        return Place.REAL if self.group else Place.SIMULATED

    def subject(self) -> Ours:
        """Return a fresh subject. A real volume group is emptied for it."""
        if self.group is None:
            return Ours(SimWorld(SimHost(size_bytes=_MEMORY_BYTES), self.layout, self.implementation))
        return Ours(RealWorld(self.group.host, self.group.directory, self.layout, self.implementation))

    def simulated(self) -> Bench:
        """Return the same in memory."""
        return replace(self, group=None)

    def noting(self, commands: list[str]) -> Bench:
        """Return the same, whose commands are added to a list."""
        ours = self.implementation

        def noted(host: Host) -> Host:
            return RecordingHost(ours.changed(host), commands)

        return replace(self, implementation=replace(ours, changed=noted))

    def shortest(self, failure: Failure) -> Failure:
        """Return the shortest sequence that fails, searched in memory if the failure shows there."""
        if self.group is not None:
            memory = self.simulated()
            shown = replay(memory.subject, failure.actions)
            if shown is not None:
                short = shrink(memory.subject, shown, Budget(_SHRINK_SECONDS[Place.SIMULATED]).is_over)
                again = replay(self.subject, short.actions)
                if again is not None:
                    return again
        return shrink(self.subject, failure, Budget(_SHRINK_SECONDS[self.place]).is_over)

    def finding(self, failure: Failure, seed: int) -> Finding:
        """Return the finding of a failure: repeat it, to see the layers before and after its last operation."""
        error, commands = failure.error, list[str]()
        with closing(self.noting(commands).subject()) as subject:
            session = Session(subject)
            for action in failure.actions[:-1]:
                session.apply(action)
            before = layers_of(subject)
            commands.clear()
            try:
                session.apply(failure.actions[-1])
            except (AssertionError, LvmqcowError) as again:
                error = again
            after = layers_of(subject)
        what, expected, found = str(error), "no error", type(error).__name__
        if isinstance(error, Violation):
            what, expected, found = error.what, error.expected, error.found
        name = self.implementation.name
        trace = Trace(failure.actions, self.layout, seed, self.place.value, name)
        subject_option = "" if self.implementation.is_ours else f" --specimen {name}"
        return Finding(
            "sequences",
            *_cell(failure.actions[-1]),
            what,
            expected,
            found,
            f"lvmqcow verify --on {self.place}{subject_option} --replay TRACE.jsonl",
            trace.documents(),
            tuple(commands),
            before,
            after,
        )


def _cell(action: Action) -> tuple[str, str]:
    if isinstance(action, Interrupted):
        return action.action.kind, "the machine dies" if action.machine else "the process dies"
    return action.kind, "nothing"


def _sequence(surroundings: Surroundings, group: RealGroup | None) -> Trial:
    def trial(name: str) -> Came:
        bench = Bench(surroundings.implementation, list(Layout)[int(name) % len(Layout)], group)
        came, failure = random_sequence(bench.subject, f"{surroundings.seed} {name}", _OPERATIONS[bench.place])
        if failure is not None:
            finding = bench.finding(bench.shortest(failure), surroundings.seed)
            came.findings.append(finding)
            came.add(finding.operation, finding.disturbance, Outcome.LOST)
        return came

    return trial


def replay_suite(trace: Trace, place: Place) -> Suite:
    """Return a suite whose one trial is the sequence of a trace."""

    def replayed(surroundings: Surroundings, group: RealGroup | None) -> Trial:
        def trial(name: str) -> Came:
            bench = Bench(surroundings.implementation, trace.layout, group)
            failure = replay(bench.subject, trace.actions)
            came = Came()
            came.counts.update({"sequences": 1, "operations": len(trace.actions)})
            for action in trace.actions[: len(failure.actions) - 1 if failure else None]:
                came.add(*_cell(action))
            if failure is not None:
                finding = bench.finding(failure, trace.seed)
                came.findings.append(finding)
                came.add(finding.operation, finding.disturbance, Outcome.LOST)
            return came

        return trial

    @contextmanager
    def opened(surroundings: Surroundings) -> Iterator[Trial]:
        if place is Place.SIMULATED:
            yield replayed(surroundings, None)
            return
        with real_group("replay", surroundings.directory, _REAL_BYTES) as group:
            yield replayed(surroundings, group)

    needs = needs_real_groups if place is Place.REAL else _nothing
    return Suite("replay", "the sequence of a trace", place, "nothing", needs, lambda random: ["trace"], opened)


@contextmanager
def _simulated(surroundings: Surroundings) -> Iterator[Trial]:
    yield _sequence(surroundings, None)


@contextmanager
def _real(surroundings: Surroundings) -> Iterator[Trial]:
    with real_group("sequences", surroundings.directory, _REAL_BYTES) as group:
        yield _sequence(surroundings, group)


def _nothing() -> str | None:
    return None


def _numbers(random: Random) -> Iterator[str]:
    return map(str, count())


_ABOUT: Final = "random sequences of operations, some of them cut; after each, everything is compared with a model"

SEQUENCES: Final = Suite(
    "sequences", _ABOUT, Place.SIMULATED, "nothing", _nothing, _numbers, _simulated, lambda trial: "sequence"
)
REAL_SEQUENCES: Final = Suite(
    "sequences", _ABOUT, Place.REAL, "nothing", needs_real_groups, _numbers, _real, lambda trial: "sequence"
)
