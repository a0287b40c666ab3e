"""Damage of every kind: check names it, recovery removes nothing, and no operation ignores it."""

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
from lvmqcow.testing.cases.expected import called, expected
from lvmqcow.testing.cases.scenarios import MIB, NEIGHBOUR, active, chain, contents, inactive, state, storage
from lvmqcow.testing.simulated.host import SimHost
from tests.support.damage_cases import DAMAGES, Damage

EVERY_DAMAGE = pytest.mark.parametrize("kind", DAMAGES)


def start() -> SimHost:
    return chain(2, chain(1, None, NEIGHBOUR))


def requests(name: VolumeName) -> list[Request]:
    """One request of every kind that changes a volume without removing it."""
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
def test_check_names_each_damage_and_its_fix(kind: str) -> None:
    damage = DAMAGES[kind]
    assert not named(damage, start())
    assert named(damage, damage.on(start())), storage(damage.on(start())).check()


@EVERY_DAMAGE
def test_check_of_inactive_volume_names_damage_or_says_unchecked(kind: str) -> None:
    damage = DAMAGES[kind]
    host = inactive(damage.on(start()))
    before = state(host)
    unseen = {finding.lv for finding in storage(host).check() if finding.severity is Severity.UNCHECKED}
    assert named(damage, host) or damage.volume.text in unseen
    assert named(damage, host, "check_activating"), storage(host).check_activating()
    assert state(host) == before


@EVERY_DAMAGE
def test_check_reports_no_damage_on_an_intact_neighbour(kind: str) -> None:
    host = DAMAGES[kind].on(start())
    layers = {layer.lv.name for layer in host.observe().volume(NEIGHBOUR).layers}
    assert layers.isdisjoint(finding.lv for finding in storage(host).check())


@EVERY_DAMAGE
def test_recovery_of_damage_removes_no_lv_and_changes_no_data(kind: str) -> None:
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
def test_no_operation_ignores_damage(kind: str) -> None:
    """It refuses and changes nothing, or it recovers first and reports that, or the damage is harmless to it."""
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
def test_two_damages_together_are_reported_and_refused(one: str, other: str) -> None:
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


def test_qcow2_header_inside_a_raw_volume_is_never_read() -> None:
    """A guest can write a qcow2 header to its raw disk, and this header can name any file of the host."""

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
