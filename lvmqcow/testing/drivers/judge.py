"""The judge of a driver: each scenario as it is, then cut at every command, on a failing disk, and without space.

A driver helps with nothing: its commands are covered by shims. After each try the volume group is put back, byte for
byte. What must hold: a success is one; after a cut or an error, and a recovery, every volume and snapshot is as before
the request or as after it; and the neighbour never changes.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from lvmqcow.errors import InvalidName, LvmqcowError
from lvmqcow.steps import LvCreate, LvDeactivate, LvRemove
from lvmqcow.testing.cases.starts import Starts
from lvmqcow.testing.conformance.actions import Action
from lvmqcow.testing.conformance.suite import Came
from lvmqcow.testing.conformance.trace import to_document
from lvmqcow.testing.conformance.verdict import Finding, Json, Outcome
from lvmqcow.testing.conformance.violation import Violation, require
from lvmqcow.testing.crash.checkpoints import Checkpoint
from lvmqcow.testing.crash.io_errors import Disk, Fault
from lvmqcow.testing.drivers.client import DriverDied, DriverProcess, Refused
from lvmqcow.testing.drivers.scenarios import SCENARIOS, Scenario, neighbour
from lvmqcow.testing.drivers.shims import At, Shims
from lvmqcow.testing.drivers.subject import DriverSubject
from lvmqcow.testing.model import Model

__all__ = ["DriverJudge", "Way"]

_FILLER: Final = "another-tool"
_PLACES: Final = 4
"""Of a scenario, in one trial: so that a short budget gets to all of them."""


@dataclass(frozen=True)
class Way:
    """One way to disturb a command."""

    name: str
    act: At
    fault: Fault | None = None

    def __str__(self) -> str:
        return self.name


PLAIN: Final = Way("nothing", At.NOTHING)
WAYS: Final = (
    Way("killed after a command", At.AFTER),
    Way("killed before a command", At.BEFORE),
    Way("EIO on write", At.BREAK, Fault.WRITE),
    Way("EIO on read", At.BREAK, Fault.READ),
    Way("no space", At.BREAK),
)


@dataclass
class _Built:
    """A scenario that was built: the volume group, the model before the request and after it."""

    scenario: Scenario
    checkpoint: Checkpoint
    before: Model
    after: Model
    commands: tuple[str, ...] = ()
    works: bool = False
    """Whether the request does what it should, as it is."""
    places: list[tuple[Way, int]] = field(default_factory=list)
    """The ways, and the commands, that were not tried yet."""
    found: set[tuple[str, str]] = field(default_factory=set)


class DriverJudge:
    """Judges one driver on one volume group."""

    def __init__(
        self, argv: Sequence[str], real: Starts, disk: Disk, directory: Path, line: str, random: Random
    ) -> None:
        """``line`` is the command line that repeats a finding, but for the trial."""
        self._random = random
        self._built: dict[str, _Built | None] = {}
        self._argv = tuple(argv)
        self._real = real
        self._disk = disk
        self._directory = directory
        self._line = line
        state = directory / "shims"
        state.mkdir()
        self._shims = Shims.made(state)
        self._empty = real.checkpoints.take()

    def fresh(self) -> DriverSubject:
        """Return the driver on an empty volume group whose free space holds old bytes."""
        self._real.checkpoints.put_back(self._empty)
        extent_size_bytes = self._real.world.host.observe().extent_size_bytes
        return DriverSubject(self._start, extent_size_bytes, self._directory / "driver.golden")

    def second(self) -> DriverSubject:
        """Return the driver once more, on the volume group as it is, without shims."""
        extent_size_bytes = self._real.world.host.observe().extent_size_bytes
        vg, errors = self._real.world.host.vg, self._directory / "second.stderr"
        start = partial(DriverProcess, self._argv, vg, errors)
        return DriverSubject(start, extent_size_bytes, self._directory / "second.golden")

    def trial(self, name: str) -> Came:
        """Try one scenario: as it is, then in a few of the ways; the next trial of it goes on from there.

        ``SCENARIO: WAY, command K`` tries it in that one way.
        """
        scenario_name, _, wanted = name.partition(": ")
        came = Came()
        with closing(self.fresh()) as subject, self._disk.whole_again():
            if scenario_name not in self._built:
                self._built[scenario_name] = self._begun(subject, scenario_name, came)
            built = self._built[scenario_name]
            if built is None:
                return came
            for _ in range(len(built.places) if wanted else _PLACES):
                if not built.places:
                    break
                way, number = built.places.pop(0)
                place = f"{way}, command {number}"
                if wanted in ("", place):
                    self._tried(subject, built, way, number, came, f"{scenario_name}: {place}")
        return came

    def _start(self) -> DriverProcess:
        argv = self._shims.covered(self._argv)
        return DriverProcess(argv, self._real.world.host.vg, self._directory / "driver.stderr")

    def _begun(self, subject: DriverSubject, name: str, came: Came) -> _Built | None:
        """Build a scenario, and try it as it is. None: the driver offers no such thing, or it does not even work so."""
        scenario = SCENARIOS[name]
        if not scenario.kinds <= subject.offers:
            return None
        model, before = subject.new_model(), (*neighbour(), *scenario.before)
        kind = scenario.request.kind
        try:
            for action in before:
                subject.carry_out(action)
                action.change(model, None)
            subject.verify(model)
        except (AssertionError, LvmqcowError) as error:
            if isinstance(error, Refused | InvalidName) and scenario.may_be_refused:
                came.add(kind, PLAIN.name, Outcome.REFUSED)
            else:
                self._add(came, kind, PLAIN, name, error, before, self._shims.commands())
            return None
        built = _Built(scenario, self._real.checkpoints.take(), model.copy(), model.copy())
        trace = (*before, scenario.request)
        self._shims.choose(0, At.NOTHING)
        try:
            self._plain(subject, built)
        except (AssertionError, LvmqcowError) as error:
            self._add(came, kind, PLAIN, name, error, trace, self._shims.commands())
            if not built.works:
                return None
        else:
            came.add(kind, PLAIN.name)
        came.counts["scenarios"] += 1
        built.places = [(way, number) for way in WAYS for number in range(1, len(built.commands) + 1)]
        self._random.shuffle(built.places)
        return built

    def _plain(self, subject: DriverSubject, built: _Built) -> None:
        """The request as it is; then a second one; then everything is removed, and nothing may be left."""
        request = built.scenario.request
        wanted = request.refusal(built.before)
        if wanted is not None:
            self._require_refused(subject, request)
            subject.verify(built.before)
            return
        subject.carry_out(request)
        built.commands = self._shims.commands()
        request.change(built.after, None)
        subject.verify(built.after)
        built.works = True
        if built.scenario.again is not None:
            later = built.after.copy()
            subject.carry_out(built.scenario.again)
            built.scenario.again.change(later, None)
            subject.verify(later)
        subject.remove_everything()
        left = sorted(self._real.world.host.observe().lv_names)
        require(left == [], "logical volumes are left after every volume was removed", "none", left)
        require(subject.wrong_sizes == {}, "the listing has wrong sizes", "the size of the disk", subject.wrong_sizes)

    def _require_refused(self, subject: DriverSubject, request: Action) -> None:
        try:
            subject.carry_out(request)
        except Refused:
            return
        raise Violation(f"{request.kind} succeeded where it must be refused", "a refusal", "success")

    def _tried(self, subject: DriverSubject, built: _Built, way: Way, number: int, came: Came, place: str) -> None:
        kind = built.scenario.request.kind
        self._real.checkpoints.put_back(built.checkpoint)
        subject.restart()
        self._shims.choose(number, way.act)
        outcome = Outcome.HELD
        try:
            try:
                with self._broken(way):
                    subject.carry_out(built.scenario.request)
            except (Refused, DriverDied):
                outcome = Outcome.REFUSED
            commands = self._shims.commands()
            self._shims.choose(0, At.NOTHING)
            subject.restart()
            if outcome is Outcome.HELD:
                subject.verify(built.after)
            else:
                self._recovered(subject, built)
        except (AssertionError, LvmqcowError) as error:
            said = (way.name, _text(error))
            if said not in built.found:
                built.found.add(said)
                trace = (*neighbour(), *built.scenario.before, built.scenario.request)
                self._add(came, kind, way, place, error, trace, self._shims.commands())
            came.add(kind, way.name, Outcome.LOST)
            return
        came.add(kind, way.name, outcome)
        came.counts["places"] += 1
        came.counts["commands"] += len(commands)

    def _recovered(self, subject: DriverSubject, built: _Built) -> None:
        """After a cut or an error: recover, or ask again. Then everything is old or new, and can become new."""
        if subject.recovers:
            subject.recover()
            if self._holds(subject, built.after):
                return
            subject.verify(built.before)
            subject.carry_out(built.scenario.request)
            subject.verify(built.after)
            return
        try:
            subject.carry_out(built.scenario.request)
        except Refused:
            if self._holds(subject, built.after):
                return
            subject.verify(built.before)
            raise
        subject.verify(built.after)

    def _holds(self, subject: DriverSubject, model: Model) -> bool:
        try:
            subject.verify(model)
        except (AssertionError, LvmqcowError):
            return False
        return True

    def _broken(self, way: Way) -> AbstractContextManager[None]:
        if way.act is not At.BREAK:
            return nullcontext()
        fault = way.fault
        if fault is not None:
            return self._shims.breaking(lambda: self._disk.fail(fault), self._disk.mend)
        return self._shims.breaking(self._fill, self._make_room)

    def _fill(self) -> None:
        picture = self._real.world.host.observe()
        if picture.free_extents:
            self._real.world.host.run(LvCreate(_FILLER, picture.free_extents * picture.extent_size_bytes, ()))
            self._real.world.host.run(LvDeactivate((_FILLER,)))

    def _make_room(self) -> None:
        if self._real.world.host.observe().lv(_FILLER):
            self._real.world.host.run(LvRemove((_FILLER,)))

    def _add(
        self,
        came: Came,
        kind: str,
        way: Way,
        place: str,
        error: Exception,
        trace: Sequence[Action],
        commands: tuple[str, ...],
    ) -> None:
        header: dict[str, Json] = {"trace": 1, "subject": shlex.join(self._argv), "world": "real"}
        violation = error if isinstance(error, Violation) else None
        finding = Finding(
            suite="driver",
            operation=kind,
            disturbance=way.name,
            what=f"{place}: {violation.what if violation else _text(error)}",
            expected=violation.expected if violation else "no error",
            found=violation.found if violation else type(error).__name__,
            reproduce=f"{self._line} --only {shlex.quote(place)}",
            trace=(header, *(to_document(action) for action in trace)),
            commands=commands,
        )
        came.findings.append(finding)
        if way is PLAIN:
            came.add(kind, way.name, Outcome.LOST)


def _text(error: Exception) -> str:
    return error.what if isinstance(error, Violation) else str(error)
