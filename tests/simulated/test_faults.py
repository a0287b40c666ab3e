"""Any step of any operation may fail. The error is reported, no data is lost, and full images get more space."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import pytest

from lvmqcow.engine.events import Events
from lvmqcow.engine.locks import NoLocks
from lvmqcow.errors import NoSpace, NothingChanged, OperationCut
from lvmqcow.operations import Activate, Deactivate, Plan, Request
from lvmqcow.steps import LvCreate, LvExtend, LvmStep, LvRemove, Step
from lvmqcow.storage import Storage
from lvmqcow.testing.cases.expected import Contents, called, changed, expected
from lvmqcow.testing.cases.operation_table import OPERATIONS, with_every_trait
from lvmqcow.testing.cases.scenarios import contents, intents, others, planned, run, storage
from lvmqcow.testing.crash.simulated_cuts import begun
from lvmqcow.testing.simulated.host import SimHost

ROWS = pytest.mark.parametrize("operation", with_every_trait())
NO_SPACE = "qemu-img: Block job failed: No space left on device"
EIO = "qemu-img: error while reading at offset 0: Input/output error"
FILLER = "another-tool"


@dataclass(frozen=True)
class Place:
    """A step that is going to fail, and the state that it leaves."""

    plan: Plan
    at: int
    left: SimHost

    def __str__(self) -> str:
        return f"{self.plan.operation}: {self.plan.steps[self.at]} fails, after {self.at} of {len(self.plan.steps)}"


def places(host: SimHost, request: Request) -> Iterator[Place]:
    plan, running = planned(host, request), host.copy()
    for at, step in enumerate(plan.steps):
        yield Place(plan, at, running.copy())
        for half in begun(running, step):
            yield Place(plan, at, half)
        running.run(step)


def allocating(place: Place) -> bool:
    """Whether the step writes to an image whose LV can be extended."""
    return place.plan.steps[place.at].fills is not None


def failing(host: SimHost, place: Place, said: str, then: Callable[[SimHost], None] = lambda host: None) -> Storage:
    """A storage in which the step at that place fails once."""
    position = count()

    def fail(step: Step) -> None:
        if next(position) == place.at:
            host.state.lvs = dict(place.left.state.lvs)
            then(host)
            host.fail_next(said)

    return Storage(host, NoLocks(), Events(begun=fail))


def fill(host: SimHost) -> None:
    """Another tool takes all free extents."""
    picture = host.observe()
    if picture.free_extents:
        host.run(LvCreate(FILLER, picture.free_extents * picture.extent_size_bytes, ()))


def make_room(host: SimHost) -> None:
    if host.observe().lv(FILLER):
        host.run(LvRemove((FILLER,)))


def require(host: SimHost, request: Request, wanted: Contents, finished: bool, where: str) -> None:
    """The volume has the wanted content, and nothing is unfinished or left over."""
    name = called(request) if finished else changed(request)
    assert contents(host, name) == wanted, where
    assert intents(host) == [], where
    assert storage(host).plan_recovery(name.text).steps == (), where


@ROWS
def test_failed_step_raises_and_recovery_follows_the_plan(operation: str) -> None:
    start, request = OPERATIONS[operation]
    host = start()
    before, read, beside = (
        contents(host, changed(request)),
        contents(host, request.volume),
        others(host, changed(request)),
    )
    for place in places(host, request):
        met = host.copy()
        with pytest.raises(OperationCut) as cut:
            failing(met, place, EIO).apply(request)
        assert (cut.value.done, cut.value.steps) == (place.at, len(place.plan.steps)), place
        storage(met).recover(changed(request).text)
        finished = place.at >= place.plan.commit_point
        if isinstance(cut.value, NothingChanged):
            assert place.at == 0, place
            assert isinstance(place.plan.steps[0], LvmStep), place
        else:
            assert cut.value.outcome == place.plan.outcome(place.at), place
        require(met, request, expected(request, read) if finished else before, finished, str(place))
        assert others(met, called(request) if finished else changed(request)) == beside, place


@ROWS
def test_full_image_gets_more_space_and_operation_continues(operation: str) -> None:
    start, request = OPERATIONS[operation]
    host = start()
    read, usual = contents(host, request.volume), run(host, *planned(host, request).steps)
    for place in filter(allocating, places(host, request)):
        met = host.copy()
        failing(met, place, NO_SPACE).apply(request)
        require(met, request, expected(request, read), True, str(place))
        assert met.observe().lv_names == usual.observe().lv_names, place
        assert met.observe().free_extents <= usual.observe().free_extents, place


@ROWS
def test_full_vg_postpones_operation_and_volume_stays_usable(operation: str) -> None:
    start, request = OPERATIONS[operation]
    host = start()
    before, read = contents(host, changed(request)), contents(host, request.volume)
    for place in places(host, request):
        step = place.plan.steps[place.at]
        if not (allocating(place) or isinstance(step, LvCreate | LvExtend)):
            continue
        met = host.copy()
        with pytest.raises(OperationCut) as cut:
            failing(met, place, NO_SPACE, fill).apply(request)
        assert isinstance(cut.value.cause, NoSpace), place
        finished = place.at >= place.plan.commit_point
        wanted = expected(request, read) if finished else before
        require_usable(met, request, [before, wanted], place)
        make_room(met)
        storage(met).recover(changed(request).text)
        require(met, request, wanted, finished, str(place))


def require_usable(host: SimHost, request: Request, states: list[Contents], place: Place) -> None:
    """The volume can be activated without free space, and reads as before the operation or as after it."""
    name = changed(request)
    if None not in states[0]:
        return

    def still_no_space(step: Step) -> None:
        if step.fills or isinstance(step, LvExtend):
            host.fail_next(NO_SPACE)

    for each in (Activate(name), Deactivate(name), Activate(name)):
        Storage(host, NoLocks(), Events(begun=still_no_space)).apply(each)
        assert contents(host, name)[None] in [state[None] for state in states], place
