"""A cut anywhere, in any operation or in its recovery, on real volume groups: the same table as the simulated ones'."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace

import pytest

from lvmqcow.checks import Severity, structure
from lvmqcow.model import Volume
from lvmqcow.plans import Plan
from lvmqcow.requests import Request
from lvmqcow.steps import QcowCommit
from lvmqcow.testing.cuts import Place, every_cut
from lvmqcow.testing.sim import SimHost
from tests.real.starts import Starts, starts
from tests.sim.operations import OPERATIONS, Contents, called, changed, expected, with_every_trait
from tests.volumes import FILES, MIB, contents, others, planned, run, sizes_and_tags

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starts]:
    """A volume group that can be put into any state of a simulated one."""
    name = f"cuts-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}"
    with starts(name, tmp_path_factory.mktemp("cuts"), FILES, 768 * MIB) as made:
        yield made


class Judge:
    """The verdict on one operation: what recovery must make of a cut of it, by what the plan says of its outcome."""

    def __init__(self, real: Starts, start: SimHost, request: Request) -> None:
        self._real = real
        self._request = request
        plan = planned(start, request)
        self._commit_point = plan.commit_point
        self._before = contents(start, changed(request))
        self._after = expected(request, contents(start, request.volume))
        self._beside = others(start, changed(request))
        self._undone = sizes_and_tags(start.observe(), index=False)
        self._finished = sizes_and_tags(run(start, *plan.steps).observe(), index=True)
        self._compared: set[Hashable] = set()

    def __call__(self, place: Place, digests: Mapping[str, bytes]) -> None:
        world, where = self._real.world, place.path
        undone = place.done < self._commit_point
        name, wanted = (changed(self._request), self._before) if undone else (called(self._request), self._after)
        with world.readable():
            picture = world.storage.picture()
            if undone:
                assert sizes_and_tags(picture, index=False) == self._undone, where
            else:
                assert sizes_and_tags(picture, index=True) == self._finished, where
            found = {
                finding.severity
                for volume in picture.volumes
                for finding in structure(picture, volume, world.host.measure)
            }
            assert found <= ({Severity.FLAWED} if undone else set()), where
            for volume, holds in {name: wanted, **self._beside}.items():
                if holds:
                    self._require(picture.volume(volume), holds, digests, where)
        assert world.storage.plan_recovery(name.text).steps == (), where
        assert world.leftovers() == (), where

    def _require(self, volume: Volume, wanted: Contents, digests: Mapping[str, bytes], where: str) -> None:
        """It holds what it should. The same bytes in the same chain are looked at once."""
        assert {layer.snapshot for layer in volume.layers} == set(wanted), where
        seen = {layer: tuple(digests[below.lv.name] for below in volume.below(layer)) for layer in volume.layers}
        new = [layer for layer, chain in seen.items() if (wanted[layer.snapshot], chain) not in self._compared]
        for layer in new:
            difference = self._real.world.difference(layer.lv.name, volume.name.format, wanted[layer.snapshot])
            assert difference is None, f"{where}: {difference}"
        if new:
            found = self._real.world.storage.check(volume.name.text)
            assert [finding for finding in found if finding.severity is not Severity.FLAWED] == [], where
        self._compared |= {(wanted[layer.snapshot], seen[layer]) for layer in new}


TRIED = list(OPERATIONS) if os.environ.get("LVMQCOW_CUTS") == "all" else with_every_trait()


@pytest.mark.parametrize("operation", TRIED)
def test_a_cut_anywhere_even_in_recovery_leaves_the_volume_as_before_or_as_after(
    real: Starts, operation: str, record_property: Callable[[str, object], None]
) -> None:
    start, asked = OPERATIONS[operation]
    simulated = start()
    real.build(simulated.history)
    request = real.request(asked)
    storage, plan = real.world.storage, planned(simulated, asked)
    if request == asked:
        assert storage.plan(request).steps == plan.steps
    plan = storage.plan(request)

    tally = every_cut(
        real.world.host,
        real.checkpoints,
        plan,
        lambda: storage.plan_recovery(changed(request).text),
        Judge(real, simulated, asked),
    )
    assert tally.places >= 2 * (len(plan.steps) + 1)
    for what, count in vars(tally).items():
        record_property(f"cuts on real volume groups: {what}", count)


def test_a_recovery_that_does_not_merge_is_found(real: Starts) -> None:
    start, request = OPERATIONS["delete 1 of 1 by push, active"]
    simulated = start()
    real.build(simulated.history)
    storage = real.world.storage

    def careless() -> Plan:
        right = storage.plan_recovery(request.volume.text)
        return replace(right, steps=tuple(step for step in right.steps if not isinstance(step, QcowCommit)))

    with pytest.raises(AssertionError, match="Content mismatch"):
        every_cut(real.world.host, real.checkpoints, storage.plan(request), careless, Judge(real, simulated, request))


def test_a_wrong_outcome_is_found(real: Starts) -> None:
    start, request = OPERATIONS["snapshot over 0, active"]
    simulated = start()
    real.build(simulated.history)
    storage = real.world.storage
    plan = storage.plan(request)
    judge = Judge(real, simulated, request)

    def one_step_off(place: Place, digests: Mapping[str, bytes]) -> None:
        judge(replace(place, done=place.done - 1), digests)

    with pytest.raises(AssertionError, match="snapshot cut after 3 of 4 steps"):
        every_cut(
            real.world.host,
            real.checkpoints,
            plan,
            lambda: storage.plan_recovery(request.volume.text),
            one_step_off,
        )


def test_every_operation_is_tried() -> None:
    assert {type(OPERATIONS[operation][1]) for operation in TRIED} == {
        type(request) for _, request in OPERATIONS.values()
    }
    assert len(TRIED) >= 60
