"""Any step of any operation fails, on volume groups in memory: with an I/O error, or without space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Final

from lvmqcow.engine.events import Events
from lvmqcow.errors import NoSpace, NothingChanged, OperationCut
from lvmqcow.operations import Activate, Deactivate, Plan, Request
from lvmqcow.steps import LvCreate, LvExtend, LvmStep, LvRemove, Step
from lvmqcow.storage import Storage
from lvmqcow.testing.cases.expected import Contents, called, changed, expected
from lvmqcow.testing.cases.operation_table import OPERATIONS, with_every_trait
from lvmqcow.testing.cases.scenarios import contents, intents, others, planned, run, storage
from lvmqcow.testing.conformance.implementation import OURS, Implementation
from lvmqcow.testing.conformance.suite import Came, Place, Suite, Surroundings, Trial
from lvmqcow.testing.conformance.verdict import Outcome
from lvmqcow.testing.conformance.violation import Violation, require
from lvmqcow.testing.crash.simulated_cuts import begun
from lvmqcow.testing.simulated.host import SimHost
from lvmqcow.testing.suites.cuts import operation_of

__all__ = ["FAULTS", "fail_every_step", "find_images_full", "find_the_group_full"]

_NO_SPACE = "qemu-img: Block job failed: No space left on device"
_EIO = "qemu-img: error while reading at offset 0: Input/output error"
_FILLER = "another-tool"


@dataclass(frozen=True)
class _Place:
    """A step that is going to fail, and the state that it leaves."""

    plan: Plan
    at: int
    left: SimHost

    def __str__(self) -> str:
        return f"{self.plan.operation}: {self.plan.steps[self.at]} fails, after {self.at} of {len(self.plan.steps)}"


def _places(host: SimHost, request: Request) -> Iterator[_Place]:
    plan, running = planned(host, request), host.copy()
    for at, step in enumerate(plan.steps):
        yield _Place(plan, at, running.copy())
        for half in begun(running, step):
            yield _Place(plan, at, half)
        running.run(step)


def _allocating(place: _Place) -> bool:
    """Whether the step writes to an image whose LV can be extended."""
    return place.plan.steps[place.at].fills is not None


def _failing(
    ours: Implementation, host: SimHost, place: _Place, said: str, then: Callable[[SimHost], None] = lambda host: None
) -> Storage:
    """A storage in which the step at that place fails once."""
    position = count()

    def fail(step: Step) -> None:
        if next(position) == place.at:
            host.state.lvs = dict(place.left.state.lvs)
            then(host)
            host.fail_next(said)

    return ours.storage(host, events=Events(begun=fail))


def _fill(host: SimHost) -> None:
    """Another tool takes all free extents."""
    picture = host.observe()
    if picture.free_extents:
        host.run(LvCreate(_FILLER, picture.free_extents * picture.extent_size_bytes, ()))


def _make_room(host: SimHost) -> None:
    if host.observe().lv(_FILLER):
        host.run(LvRemove((_FILLER,)))


def _require(host: SimHost, request: Request, wanted: Contents, finished: bool, where: str) -> None:
    """The volume has the wanted content, and nothing is unfinished or left over."""
    name = called(request) if finished else changed(request)
    found = contents(host, name)
    require(found == wanted, f"{where}: {name} holds something else", wanted, found)
    require(intents(host) == [], f"{where}: an intent is left", "none", intents(host))
    rest = storage(host).plan_recovery(name.text).steps
    require(rest == (), f"{where}: recovery is not finished", "no steps", rest)


def fail_every_step(operation: str, ours: Implementation = OURS) -> Came:
    """Let each step fail with an I/O error: the operation says where, and recovery does what the plan says.

    Raises:
        Violation: a success that is none, or a state that recovery does not bring back.
        LvmqcowError: recovery itself fails.
    """
    start, request = OPERATIONS[operation]
    host, came = start(), Came()
    before, read = contents(host, changed(request)), contents(host, request.volume)
    beside = others(host, changed(request))
    for place in _places(host, request):
        met = host.copy()
        cut = _cut(_failing(ours, met, place, _EIO), request, place)
        done = (place.at, len(place.plan.steps))
        require((cut.done, cut.steps) == done, f"{place}: the error names another step", done, (cut.done, cut.steps))
        storage(met).recover(changed(request).text)
        finished = place.at >= place.plan.commit_point
        if isinstance(cut, NothingChanged):
            first = place.at == 0 and isinstance(place.plan.steps[0], LvmStep)
            require(first, f"{place}: it says that nothing changed", "the first step", place.at)
        else:
            outcome = place.plan.outcome(place.at)
            require(cut.outcome == outcome, f"{place}: the error states another outcome", outcome, cut.outcome)
        _require(met, request, expected(request, read) if finished else before, finished, str(place))
        left = others(met, called(request) if finished else changed(request))
        require(left == beside, f"{place}: another volume changed", beside, left)
        came.add(operation_of(operation), "EIO", Outcome.REFUSED)
        came.counts["steps failed"] += 1
    return came


def find_images_full(operation: str, ours: Implementation = OURS) -> Came:
    """Let each step that writes an image find its LV full: it gets more space, and the operation goes on.

    Raises:
        Violation: the volume is not as it should be after the operation.
        LvmqcowError: the operation fails.
    """
    start, request = OPERATIONS[operation]
    host, came = start(), Came()
    read, usual = contents(host, request.volume), run(host, *planned(host, request).steps)
    for place in filter(_allocating, _places(host, request)):
        met = host.copy()
        _failing(ours, met, place, _NO_SPACE).apply(request)
        _require(met, request, expected(request, read), True, str(place))
        names = usual.observe().lv_names
        require(met.observe().lv_names == names, f"{place}: there are other LVs", names, met.observe().lv_names)
        least, free = usual.observe().free_extents, met.observe().free_extents
        require(free <= least, f"{place}: the LV was not extended", f"at most {least} free extents", free)
        came.add(operation_of(operation), "an image is full")
        came.counts["images full"] += 1
    return came


def find_the_group_full(operation: str, ours: Implementation = OURS) -> Came:
    """Let the volume group be full when a step needs space: the volume stays usable, and is recovered later.

    Raises:
        Violation: something is lost, or the volume cannot be used meanwhile.
        LvmqcowError: recovery itself fails.
    """
    start, request = OPERATIONS[operation]
    host, came = start(), Came()
    before, read = contents(host, changed(request)), contents(host, request.volume)
    for place in _places(host, request):
        step = place.plan.steps[place.at]
        if not (_allocating(place) or isinstance(step, LvCreate | LvExtend)):
            continue
        met = host.copy()
        cut = _cut(_failing(ours, met, place, _NO_SPACE, _fill), request, place)
        require(isinstance(cut.cause, NoSpace), f"{place}: the error has another cause", "NoSpace", cut.cause)
        finished = place.at >= place.plan.commit_point
        wanted = expected(request, read) if finished else before
        _require_usable(met, request, [before, wanted], place, ours)
        _make_room(met)
        storage(met).recover(changed(request).text)
        _require(met, request, wanted, finished, str(place))
        came.add(operation_of(operation), "the volume group is full", Outcome.REFUSED)
        came.counts["groups full"] += 1
    return came


def _cut(failing: Storage, request: Request, place: _Place) -> OperationCut:
    try:
        failing.apply(request)
    except OperationCut as cut:
        return cut
    raise Violation(f"{place}: the operation reports success", "OperationCut", "success")


def _require_usable(
    host: SimHost, request: Request, states: list[Contents], place: _Place, ours: Implementation
) -> None:
    """The volume can be activated without free space, and reads as before the operation or as after it."""
    name = changed(request)
    if None not in states[0]:
        return

    def still_no_space(step: Step) -> None:
        if step.fills or isinstance(step, LvExtend):
            host.fail_next(_NO_SPACE)

    for each in (Activate(name), Deactivate(name), Activate(name)):
        ours.storage(host, events=Events(begun=still_no_space)).apply(each)
        found, allowed = contents(host, name)[None], [state[None] for state in states]
        require(found in allowed, f"{place}: the volume reads neither as before nor as after", allowed, found)


def _trials(random: Random) -> Sequence[str]:
    rows = with_every_trait()
    random.shuffle(rows)
    return rows


@contextmanager
def _opened(surroundings: Surroundings) -> Iterator[Trial]:
    def trial(operation: str) -> Came:
        came = Came()
        for fail in (fail_every_step, find_images_full, find_the_group_full):
            came.include(fail(operation, surroundings.implementation))
        return came

    yield trial


FAULTS: Final = Suite(
    "faults",
    "every step of every operation fails, with an I/O error or without space, on volume groups in memory",
    Place.SIMULATED,
    "a step fails",
    lambda: None,
    _trials,
    _opened,
    operation_of,
)
