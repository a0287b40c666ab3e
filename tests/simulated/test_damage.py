"""Damage of every kind: it is named, nothing is removed for it, and no operation goes on over it silently."""

from __future__ import annotations

from itertools import combinations

import pytest

from lvmqcow.checks.structure import Severity
from lvmqcow.core.names import VolumeName, parse_volume_name
from lvmqcow.engine.events import Events
from lvmqcow.engine.locks import NoLocks
from lvmqcow.errors import LvmqcowError
from lvmqcow.operations import DeleteSnapshot, Grow, Merge, Plan, Rename, Request, Resize, Rollback, Snapshot
from lvmqcow.steps import LvActivate, LvDeactivate
from lvmqcow.storage import Storage
from lvmqcow.testing.simulated.host import SimHost
from tests.support.damage_cases import DAMAGES, Damage
from tests.support.operation_table import called, expected
from tests.support.scenarios import MIB, NEIGHBOUR, active, chain, contents, inactive, state, storage

EVERY_DAMAGE = pytest.mark.parametrize("kind", DAMAGES)


def start() -> SimHost:
    return chain(2, chain(1, None, NEIGHBOUR))


def requests(name: VolumeName) -> list[Request]:
    """Everything that changes a volume and keeps it."""
    return [
        Snapshot(name, "s3"),
        Rollback(name, "s2"),
        *(DeleteSnapshot(name, snapshot, merge) for snapshot in ("s1", "s2") for merge in Merge),
        Resize(name, 64 * MIB),
        Grow(name, 512),
        Rename(name, parse_volume_name("vm-200-disk-7.qcow2")),
    ]


def named(damage: Damage, host: SimHost, findings: str = "check") -> bool:
    found = getattr(storage(host), findings)()
    assert all(finding.text and finding.advice for finding in found)
    return any(
        (finding.lv, finding.severity) == (damage.lv, damage.severity)
        and damage.text in finding.text
        and damage.advice in finding.advice
        for finding in found
    )


@EVERY_DAMAGE
def test_it_is_named_with_what_to_run(kind: str) -> None:
    damage = DAMAGES[kind]
    assert not named(damage, start())
    assert named(damage, damage.on(start())), storage(damage.on(start())).check()


@EVERY_DAMAGE
def test_met_inactive_it_is_named_or_it_is_said_that_nothing_was_looked_at(kind: str) -> None:
    damage = DAMAGES[kind]
    host = inactive(damage.on(start()))
    before = state(host)
    unseen = {finding.lv for finding in storage(host).check() if finding.severity is Severity.UNCHECKED}
    assert named(damage, host) or damage.volume.text in unseen
    assert named(damage, host, "check_activating"), storage(host).check_activating()
    assert state(host) == before


@EVERY_DAMAGE
def test_the_neighbour_is_not_called_damaged_for_it(kind: str) -> None:
    host = DAMAGES[kind].on(start())
    layers = {layer.lv.name for layer in host.observe().volume(NEIGHBOUR).layers}
    assert layers.isdisjoint(finding.lv for finding in storage(host).check())


@EVERY_DAMAGE
def test_recovery_removes_nothing_and_changes_nothing_that_can_be_read(kind: str) -> None:
    host = DAMAGES[kind].on(start())
    before, held = state(host), {lv.uuid for lv in host.observe().logical_volumes}
    unfinished = DAMAGES[kind].severity is Severity.UNFINISHED
    try:
        ran = storage(host).recover()
    except LvmqcowError:
        ran = ()
    if unfinished:
        assert ran
    else:
        assert {lv.uuid for lv in host.observe().logical_volumes} == held
        assert state(host) == before


@EVERY_DAMAGE
def test_no_operation_goes_on_over_it_silently(kind: str) -> None:
    """Refused, and nothing touched; or recovered first, and said so; or it is harmless, and does what it should."""
    damage = DAMAGES[kind]
    for request in requests(damage.volume):
        host = damage.on(start())
        before = state(host)
        damaged = any(finding.severity is Severity.DAMAGED for finding in storage(host).check())
        heard: list[Plan] = []
        try:
            Storage(host, NoLocks(), Events(recovered=heard.append)).apply(request)
        except LvmqcowError:
            assert state(host) == before or heard, request
        else:
            assert not damaged or damage.in_image, request
            held = contents(damage.on(start()), damage.volume)
            assert heard or contents(host, called(request)) == expected(request, held), request
            assert bool(heard) == (damage.severity is Severity.UNFINISHED), request


@pytest.mark.parametrize(
    ("one", "other"), [*combinations(["no header", "a circle", "two sizes", "a missing layer"], 2)]
)
def test_damage_does_not_hide_damage_from_whoever_wants_to_change_something(one: str, other: str) -> None:
    host = start()
    for kind in (one, other):
        try:
            host = DAMAGES[kind].on(host)
        except LvmqcowError:
            pytest.fail("these can be planted together")
    assert {finding.severity for finding in storage(host).check()} == {Severity.DAMAGED}
    for request in requests(DAMAGES[one].volume):
        before = state(host)
        with pytest.raises(LvmqcowError):
            storage(host).apply(request)
        assert state(host) == before


def test_a_raw_volume_is_not_read_whatever_it_looks_like() -> None:
    """A guest can write a qcow2 header to its raw disk, naming any file of the host."""

    class Watched(SimHost):
        def headers(self, lv_names: object) -> dict[str, object]:  # type: ignore[override]
            names = list(lv_names)  # type: ignore[call-overload]
            assert "vm-100-disk-2" not in names
            return dict(super().headers(names))

        def check(self, lv_name: str) -> object:  # type: ignore[override]
            raise AssertionError(lv_name)

    host = Watched()
    storage(host).create("vm-100-disk-2", 4 * MIB)
    assert storage(host).check() == ()
    host.run(LvDeactivate(("vm-100-disk-2",)))
    assert storage(host).check_activating() == ()
    host.run(LvActivate(("vm-100-disk-2",)))
    assert storage(active(host)).check("vm-100-disk-2") == ()
