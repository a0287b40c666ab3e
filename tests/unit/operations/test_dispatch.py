"""Every dispatch over request, step and intent classes handles all of them and rejects unknown ones."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar, cast, get_args, get_type_hints

import pytest

import lvmqcow
from lvmqcow.checks.structure import Severity
from lvmqcow.core.intents import INTENT_PREFIX, Intent
from lvmqcow.core.lv import TEMPLATE, LogicalVolume
from lvmqcow.core.names import Layout, snapshot_lv_name
from lvmqcow.core.volume import Volume as VolumePicture
from lvmqcow.core.wiping import Wipe, Wiping, parse_wiping, wipe_tags
from lvmqcow.errors import CommandFailed, Corrupt
from lvmqcow.lvm.commands import LvmProcesses
from lvmqcow.lvm.report import Report
from lvmqcow.operations import OPERATIONS as ALL_OPERATIONS
from lvmqcow.operations import Plan, Remove, Request
from lvmqcow.operations.delete import Pulling, Pushing
from lvmqcow.operations.operation import NOTHING_CUT, OnLv, Operation
from lvmqcow.operations.remove import Removing
from lvmqcow.operations.rename import Renaming
from lvmqcow.operations.resize import Resizing
from lvmqcow.operations.rollback import Discarding, RollingBack
from lvmqcow.operations.shared.new_volume import Creating
from lvmqcow.operations.shared.plan import HAPPENED
from lvmqcow.operations.shared.room import more_room
from lvmqcow.qemu.img import QemuImg
from lvmqcow.real_host import RealHost
from lvmqcow.steps import DeviceStep, LvCreate, LvmStep, LvPermission, LvTag, Permission, Step
from lvmqcow.testing.cases.operation_table import OPERATIONS
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    branched,
    chain,
    run,
    state,
    storage,
    template,
    with_a_clone,
)
from lvmqcow.testing.content import Content
from lvmqcow.testing.simulated.host import SimHost
from lvmqcow.volume import Volume
from tests.unit.steps.test_steps import STEPS

S1, S2, S3 = (snapshot_lv_name(DISK, name, Layout.RFC) for name in ("s1", "s2", "s3"))
B1, B2 = (snapshot_lv_name(DISK, name, Layout.RFC) for name in ("b1", "b2"))
NEW = "vm-200-x.qcow2"
PLACES = (DISK.text, S1, S2, S3, B1, B2, f"new-{DISK}", f"del-{S2}", f"del-{DISK}", f"del-{NEW}")
TEXTS = (DISK.text, S1, S2, S3, B1, B2, NEW, NEIGHBOUR.text, "x")
NAMES = (DISK.text, S1, NEW, NEIGHBOUR.text, "x")
SIZES = (4 * MIB, 64 * MIB)


def cloned(host: SimHost) -> SimHost:
    storage(host).volume(DISK.text).clone(NEIGHBOUR.text)
    return host


LEFT_OVER = (*DISK.tags, f"lvmqcow.size={4 * MIB}")
STARTS: dict[str, Callable[[], SimHost]] = {
    "with a branch": lambda: branched((3, 2)),
    "with a clone": lambda: with_a_clone(3),
    "alone": lambda: chain(0),
    "a template with a clone": lambda: cloned(template(2)),
    "a template no more, with a clone": lambda: run(
        cloned(template(2)), LvTag((DISK.text,), drop=(TEMPLATE,)), LvPermission(DISK.text, Permission.WRITE)
    ),
    "with leftovers": lambda: run(chain(3), *(LvCreate(f"del-{lv}", 8 * MIB, LEFT_OVER) for lv in (S3, DISK.text))),
}
INTENTS = [kind for operation in ALL_OPERATIONS for kind in operation.intents]
GIVEN_UP: dict[bool, tuple[type[Intent], ...]] = {
    True: (RollingBack, Discarding, Resizing),
    False: (Pulling, Pushing, Discarding),
}
"""The intents whose recovery may change the content of the LV with the tag (True: current LV; False: snapshot)."""


def every(kind: type[Intent]) -> Iterator[Intent]:
    """The intents of a class: they name LVs of the volume, of other volumes, and missing ones."""
    values = {str: NAMES if kind is Renaming else TEXTS, int: SIZES}
    hints = get_type_hints(kind)
    for given in itertools.product(*(values[hints[field.name]] for field in fields(kind))):
        yield cast(Callable[..., Intent], kind)(*given)


def left(start: SimHost, place: str, intent: Intent) -> SimHost | None:
    """Put the intent on one LV of the volume, made if it is missing. None if that is impossible."""
    if start.observe().lv(place) is not None:
        return run(start, LvTag((place,), add=(intent.tag,)))
    if not place.startswith(("new-", "del-")):
        return None
    return run(start, LvCreate(place, 8 * MIB, (*LEFT_OVER, intent.tag)))


def read(host: SimHost) -> dict[str, Content]:
    layers = [layer for volume in host.observe().volumes for layer in volume.layers]
    return {layer.lv.name: host.read(layer.lv.name) for layer in layers}


def refused(host: SimHost, operate: Callable[[Volume], object]) -> bool:
    try:
        operate(storage(host).volume(DISK.text))
    except Corrupt:
        return True
    return False


def carriers(host: SimHost, intent: Intent) -> list[str]:
    return [lv.name for lv in host.observe().logical_volumes if intent.tag in lv.tags]


def may_go(host: SimHost, intent: Intent, place: str) -> set[str]:
    """The LVs that recovery may change or remove because of the intent."""
    layers = [layer.lv for volume in host.observe().volumes for layer in volume.layers]
    if isinstance(intent, Discarding) and place == DISK.text:  # newer snapshots are removed too
        chain = [DISK.text, S3, S2, S1]
        return set(chain[: chain.index(intent.backing)])
    if isinstance(intent, Discarding):
        return {lv.name for lv in layers if lv.name == place and lv.recorded_parent == intent.backing}
    alone = isinstance(intent, Creating | Removing) and len(layers) == 1
    return {place} if alone or isinstance(intent, GIVEN_UP[place == DISK.text]) else set()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", INTENTS, ids=lambda kind: str(kind.__name__))
@pytest.mark.parametrize("start", STARTS)
def test_intent_on_any_lv_is_finished_or_undone_or_refused(start: str, kind: type[Intent], place: str) -> None:
    begun = STARTS[start]()
    for intent in every(kind):
        host = left(begun, place, intent)
        if host is None:
            return
        before, whole = state(host), read(host)
        if refused(host, lambda volume: volume.recover()):
            assert refused(host, lambda volume: volume.snapshot("more")), f"{intent} on {place}"
            assert state(host) == before, f"{intent} on {place}"
            continue
        assert carriers(host, intent) == [], f"{intent} on {place}: nothing was done"
        after = read(host)
        lost = {name for name, content in whole.items() if after.get(name) != content}
        if kind is Renaming or isinstance(intent, Creating):
            lost = {name for name in lost if whole[name] not in after.values() and whole[name].blocks}
        assert lost <= may_go(begun, intent, place), f"{intent} on {place} lost {lost}"


@dataclass(frozen=True)
class Polishing(OnLv):
    """An intent of a half-written operation: it can be parsed, but has no recovery."""

    verb: ClassVar = "polish"

    def belongs(self, volume: VolumePicture, lv: LogicalVolume) -> bool:
        return lv in volume.members


@pytest.fixture(params=["an operation that recovers nothing", "no operation"])
def half_written(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Intent:
    """Register `Polishing`: as an intent without a recovery, or as one that no operation knows."""
    if request.param != "no operation":
        polish = Operation(requests=(), intents=(Polishing,), recover=NOTHING_CUT, cuts=())
        monkeypatch.setattr("lvmqcow.operations.OPERATIONS", (*ALL_OPERATIONS, polish))
    return Polishing()


@pytest.mark.parametrize("place", PLACES)
def test_intent_without_recovery_stops_every_operation_on_its_volume(half_written: Intent, place: str) -> None:
    host = left(branched((3, 2)), place, half_written)
    assert host is not None
    before, volume = state(host), storage(host).volume(DISK.text)
    operations: dict[str, Callable[[], object]] = {
        "recover": volume.recover,
        "snapshot": lambda: volume.snapshot("more"),
        "rollback": lambda: volume.rollback("s3"),
        "delete": lambda: volume.delete_snapshot("b2"),
        "resize": lambda: volume.resize(64 * MIB),
        "rename": lambda: volume.rename(NEW),
        "copy": lambda: volume.copy(NEW),
        "clone": lambda: volume.clone(NEW, "s1"),
        "activate": volume.activate,
        "deactivate": volume.deactivate,
        "remove": volume.remove,
    }
    for name, operate in operations.items():
        with pytest.raises(Corrupt, match=place):
            operate()
        assert state(host) == before, name
    damaged = [f"{found.lv}: {found.text}" for found in volume.check() if found.severity is Severity.DAMAGED]
    assert any(place in text for text in damaged), damaged


def test_unknown_intent_beside_a_known_one_stops_recovery() -> None:
    tags = (f"{INTENT_PREFIX}pull/{S3}", f"{INTENT_PREFIX}zzz")
    host = run(chain(3), LvCreate(f"del-{S2}", 8 * MIB, (*DISK.tags, *tags)))
    before = state(host)
    with pytest.raises(Corrupt, match="zzz"):
        storage(host).recover(DISK.text)
    assert state(host) == before


@dataclass(frozen=True)
class Polish:
    """A step class that no dispatch knows."""

    lv: str = DISK.text
    lvs: tuple[str, ...] = (DISK.text,)

    def argv(self, vg: str) -> tuple[str, ...]:
        return ("polish", f"{vg}/{self.lv}")


class Recorded:
    """An LVM that records the changes instead of running them."""

    def __init__(self) -> None:
        self.physical_volumes: tuple[str, ...] = ()
        self.sees_all = False
        self.changes: list[tuple[str, ...]] = []

    def report(self, argv: Sequence[str]) -> Report:
        raise AssertionError(argv)

    def change(self, argv: Sequence[str]) -> None:
        self.changes.append(tuple(argv))

    def alone(self, device: str) -> LvmProcesses:
        raise AssertionError(device)

    def close(self) -> None:
        pass


def real_host() -> tuple[RealHost, Recorded]:
    """A real host whose volume group has no devices."""
    lvm = Recorded()
    return RealHost("no-such-group", lvm, QemuImg()), lvm


NO_SPACE = CommandFailed(("qemu-img",), 1, "No space left on device")
DISPATCHES: dict[str, Callable[[Step], object]] = {
    "opens": lambda step: step.opens,
    "disturbed": lambda step: Plan("recover", "sim", DISK, (step,), HAPPENED).disturbed,
    "opens_alone": lambda step: step.opens_alone,
    "fills": lambda step: step.fills,
    "mend": lambda step: step.mend,
    "tool": lambda step: step.tool,
    "more_room": lambda step: more_room(chain(0).observe(), step, NO_SPACE),
    "SimHost.run": lambda step: chain(0).run(step),
    "RealHost.run": lambda step: real_host()[0].run(step),
}


def known_steps() -> list[Step]:
    """At least one step of each class. The LVs ``a`` and ``b`` of most of them do not exist."""
    return [step for step, _ in STEPS]


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_unknown_step_is_an_error_in_every_dispatch(dispatch: str) -> None:
    with pytest.raises((AssertionError, AttributeError, CommandFailed)):
        DISPATCHES[dispatch](cast(Step, Polish()))


@pytest.mark.parametrize("dispatch", DISPATCHES)
@pytest.mark.parametrize("step", known_steps(), ids=lambda step: type(step).__name__)
def test_every_step_is_handled_by_every_dispatch(step: Step, dispatch: str) -> None:
    with suppress(CommandFailed, KeyError):  # its LV or its simulated file does not exist
        DISPATCHES[dispatch](step)


def test_known_steps_cover_every_step_class() -> None:
    assert {type(step) for step in known_steps()} == set(get_args(Step))


@pytest.mark.parametrize(
    "step",
    [step for step in known_steps() if not isinstance(step, DeviceStep)],  # device steps may name missing devices
    ids=lambda step: type(step).__name__,
)
def test_real_host_runs_only_lvm_steps_without_a_device(step: Step) -> None:
    host, lvm = real_host()
    if isinstance(step, LvmStep):
        host.run(step)
        assert lvm.changes == [step.argv(host.vg)]
        return
    with pytest.raises(CommandFailed, match="no block device"):
        host.run(step)
    assert lvm.changes == []


@pytest.mark.parametrize("step", known_steps(), ids=lambda step: type(step).__name__)
def test_step_on_several_lvs_has_parts(step: Step) -> None:
    assert bool(step.parts) == (len(getattr(step, "lvs", ())) > 1)


def test_request_without_wipe_uses_the_wipe_of_the_storage() -> None:
    wiping = {kind for operation in ALL_OPERATIONS for kind in operation.requests if "wipe" in get_type_hints(kind)}
    tried = {type(request) for _, request in OPERATIONS.values() if getattr(request, "wipe", None) is Wipe.ZERO}
    assert wiping == tried
    for name, (start, request) in OPERATIONS.items():
        if getattr(request, "wipe", None) is Wipe.ZERO:
            open_request = cast(Request, replace(cast(Remove, request), wipe=None))
            picture = replace(storage(start()).picture(request.volume), wipe=Wipe.ZERO)
            assert open_request.plan(picture, start()) == request.plan(picture, start()), name


def test_wipe_record_round_trips_for_every_wipe_mode() -> None:
    for wipe in Wipe:
        tags = wipe_tags(wipe)
        assert parse_wiping(tags) == (None if wipe is Wipe.NONE else Wiping(wipe))


def matches() -> Iterator[tuple[str, ast.Match]]:
    root = Path(lvmqcow.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Match):
                yield f"{path.relative_to(root.parent)}:{node.lineno}", node


def tells_apart(node: ast.Match) -> bool:
    """Whether the cases are classes or enumeration members, and not shapes of lists or documents."""
    patterns = [each for case in node.cases for each in getattr(case.pattern, "patterns", [case.pattern])]
    return any(isinstance(each, ast.MatchClass | ast.MatchValue) for each in patterns) and not any(
        isinstance(case.pattern, ast.MatchSequence | ast.MatchMapping) for case in node.cases
    )


HARNESS = tuple(f"lvmqcow/testing/{name}/" for name in ("cases", "crash", "drivers", "processes", "specimens"))
"""Where a case of which nothing is said is often right: requests and verbs are open sets to what tries operations."""


def test_every_match_over_classes_ends_with_assert_never() -> None:
    """Then mypy names a missing case. A catch-all case would hide it."""
    found = dict(matches())
    assert len([node for node in found.values() if tells_apart(node)]) > 6
    for where, node in found.items():
        if tells_apart(node) and not where.startswith(HARNESS):
            last = node.cases[-1]
            assert ast.unparse(last.pattern) == "_", where
            assert ast.unparse(last.body[0]).removeprefix("return ").startswith("assert_never("), where
