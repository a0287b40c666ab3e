"""The suites that judge a driver."""

from __future__ import annotations

import os
import shlex
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Final, TypeGuard

from lvmqcow.core.names import device_path
from lvmqcow.engine.host import Host
from lvmqcow.steps import LvCreate, LvRemove
from lvmqcow.testing.cases.starts import breakable_starts, group_name
from lvmqcow.testing.conformance.actions import Action
from lvmqcow.testing.conformance.actions.snapshots import Snapshot
from lvmqcow.testing.conformance.actions.volumes import Create, WriteTo
from lvmqcow.testing.conformance.replay import shrink
from lvmqcow.testing.conformance.suite import Budget, Came, Place, Suite, Surroundings, Trial
from lvmqcow.testing.conformance.trace import Trace
from lvmqcow.testing.conformance.verdict import Finding, Outcome
from lvmqcow.testing.conformance.violation import Violation, require
from lvmqcow.testing.content import Write
from lvmqcow.testing.drivers.client import DriverDied, Refused
from lvmqcow.testing.drivers.judge import DriverJudge
from lvmqcow.testing.drivers.scenarios import SCENARIOS
from lvmqcow.testing.drivers.subject import DriverSubject
from lvmqcow.testing.real_group import needs_real_groups
from lvmqcow.testing.suites.sequences import random_sequence

__all__ = ["driver_suites"]

_GROUP_BYTES: Final = 80 * 1024**3
"""Sparse: a large volume must fit."""
_STALE_BYTES: Final = 160 * 1024**2
_STALE: Final = b"\xaa"
_RULES: Final = 10
_ROUNDS: Final = 40
_SHRINK_SECONDS: Final = 60.0
_DISK: Final = "vm-100-disk-0.qcow2"
_TOGETHER: Final = "another driver at the same time"


def driver_suites(command: str) -> tuple[Suite, ...]:
    """Return the suites for a driver: every scenario in every way, random sequences, and two at once."""

    @contextmanager
    def judged(surroundings: Surroundings) -> Iterator[DriverJudge]:
        line = f"lvmqcow verify --driver {shlex.quote(command)} --suite scenarios"
        with breakable_starts(group_name("driver"), surroundings.directory, {}, _GROUP_BYTES) as (real, disk):
            _leave_old_bytes(real.world.host)
            yield DriverJudge(shlex.split(command), real, disk, surroundings.directory, line, Random(surroundings.seed))

    @contextmanager
    def scenarios(surroundings: Surroundings) -> Iterator[Trial]:
        with judged(surroundings) as judge:
            yield judge.trial

    @contextmanager
    def sequences(surroundings: Surroundings) -> Iterator[Trial]:
        with judged(surroundings) as judge:
            yield lambda name: _sequence(judge, f"{surroundings.seed} {name}", command)

    @contextmanager
    def two(surroundings: Surroundings) -> Iterator[Trial]:
        with judged(surroundings) as judge:
            yield lambda name: _two_at_once(judge)

    def kind(trial: str) -> str:
        return SCENARIOS[trial.partition(": ")[0]].request.kind

    about = "each operation: as it is, killed at every command, on a disk that fails, and without space"
    return (
        Suite("scenarios", about, Place.REAL, "nothing", needs_real_groups, _in_turn, scenarios, kind),
        Suite(
            "sequences",
            "random sequences of operations, compared with a model",
            Place.REAL,
            "nothing",
            needs_real_groups,
            lambda random: map(str, count()),
            sequences,
            lambda trial: "sequence",
        ),
        Suite(
            "two-at-once",
            "two drivers on one volume, and on neighbours",
            Place.REAL,
            _TOGETHER,
            needs_real_groups,
            lambda random: map(str, range(10)),
            two,
            lambda trial: "snapshot",
        ),
    )


def _in_turn(random: Random) -> Iterator[str]:
    """All scenarios, again and again: each trial goes on where the last one of its scenario ended."""
    rows = list(SCENARIOS)
    random.shuffle(rows)
    yield from rows * _ROUNDS


def _leave_old_bytes(host: Host) -> None:
    """Fill the start of the volume group, which is given to new volumes first, and leave it free."""
    host.run(LvCreate("old", _STALE_BYTES, ()))
    with Path(device_path(host.vg, "old")).open("r+b", buffering=0) as device:
        for _ in range(_STALE_BYTES // 1024**2):
            device.write(_STALE * 1024**2)
        os.fsync(device.fileno())
    host.run(LvRemove(("old",)))


def _sequence(judge: DriverJudge, seed: str, command: str) -> Came:
    came, failure = random_sequence(judge.fresh, seed, _RULES)
    if failure is not None:
        short = shrink(judge.fresh, failure, Budget(_SHRINK_SECONDS).is_over)
        error, last = short.error, short.actions[-1]
        violation = error if isinstance(error, Violation) else None
        came.findings.append(
            Finding(
                "driver sequences",
                last.kind,
                "nothing",
                violation.what if violation else str(error),
                violation.expected if violation else "no error",
                violation.found if violation else type(error).__name__,
                f"lvmqcow verify --driver {shlex.quote(command)} --replay TRACE.jsonl",
                Trace(short.actions, subject=command, world="real").documents(),
            )
        )
        came.add(last.kind, "nothing", Outcome.LOST)
    return came


def _two_at_once(judge: DriverJudge) -> Came:
    """Two drivers take a snapshot of one volume at the same time, and each makes a volume. Both must be there."""
    came = Came()
    with closing(judge.fresh()) as one, closing(judge.second()) as other:
        model = one.new_model()
        start: tuple[Action, ...] = (Create(_DISK, 4 * 1024**2), WriteTo(_DISK, (Write(0, 2, 1), Write(40, 1, 2))))
        for action in start:
            one.carry_out(action)
            action.change(model, None)
        done, failed = list[Action](), list[Violation]()

        def work(subject: DriverSubject, names: Sequence[str], volume: str) -> None:
            actions = (Snapshot(_DISK, names[0]), Create(volume, 4 * 1024**2), Snapshot(_DISK, names[1]))
            for action in actions:
                try:
                    subject.carry_out(action)
                    done.append(action)
                except Refused:
                    came.add(action.kind, _TOGETHER, Outcome.REFUSED)
                except DriverDied as error:
                    failed.append(error)

        threads = [
            threading.Thread(target=work, args=(one, ("a1", "a2"), "vm-101-disk-0.qcow2")),
            threading.Thread(target=work, args=(other, ("b1", "b2"), "vm-102-disk-0.qcow2")),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        require(failed == [], "a driver died beside another one", "a reply", failed)
        listed = one.snapshots(_DISK)
        for action in sorted(done, key=lambda each: listed.index(each.snapshot) if _is_listed(each, listed) else -1):
            action.change(model, None)
        one.verify(model)
        for action in done:
            came.add(action.kind, _TOGETHER)
        came.counts["operations"] += len(done)
    return came


def _is_listed(action: Action, listed: Sequence[str]) -> TypeGuard[Snapshot]:
    return isinstance(action, Snapshot) and action.snapshot in listed
