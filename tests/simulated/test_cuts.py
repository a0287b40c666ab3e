"""Every operation, and its recovery, is stopped at every place. No data is lost and nothing is left over."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable

import pytest

from lvmqcow.checks.structure import Severity
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import VolumeName
from lvmqcow.operations import Convert, Request
from lvmqcow.testing.simulated.host import SimHost
from tests.support.crash_states import cuts
from tests.support.operation_table import (
    OPERATIONS,
    Contents,
    called,
    changed,
    expected,
    expected_active,
    lv_names,
    wipes,
)
from tests.support.scenarios import (
    NEIGHBOUR,
    active,
    contents,
    intents,
    others,
    parents,
    planned,
    rebooted,
    run,
    sizes_and_tags,
    storage,
)

FLAWS = {Severity.WARNING, Severity.UNCHECKED}
"""Findings that a healthy volume may have: its LV is tight, or it is inactive."""

EVERY_OPERATION = pytest.mark.parametrize("operation", OPERATIONS)


def named(request: Request) -> set[VolumeName]:
    """Every volume that a request names."""
    return {value for value in vars(request).values() if isinstance(value, VolumeName)}


def recovered(host: SimHost, name: VolumeName, *others: VolumeName) -> SimHost:
    """Recover by one name. Recovery by the other names of the request then restores devices at most."""
    twin = host.copy()
    storage(twin).recover(name.text)
    left = [plan.operation for other in others for plan in storage(twin).recover(other.text)]
    assert set(left) <= {"restore devices"}, left
    return twin


def severities(host: SimHost) -> set[Severity]:
    return {finding.severity for finding in storage(host).check()}


def base_names(picture: VolumeGroup, name: VolumeName) -> set[str]:
    """The LVs of other volumes among the backing images of this volume."""
    volume = picture.find(name)
    return {base.lv.name for base in volume.bases} if volume else set()


def require_whole(
    host: SimHost, name: VolumeName, wanted: Contents, where: str, flaws: Collection[Severity] = ()
) -> None:
    """The content is as wanted. Nothing is unfinished or left over, and check finds nothing but ``flaws``."""
    assert contents(host, name) == wanted, where
    there = {name: wanted, **others(host, name)}
    layout = host.observe().layout
    assert host.observe().lv_names == {lv for each, holds in there.items() for lv in lv_names(each, holds, layout)}, (
        where
    )
    assert intents(host) == [], where
    wrong = [name for name, lv in host.state.lvs.items() if lv.active and lv.device_bytes != lv.size_bytes]
    wrong += [lv.name for lv in host.observe().logical_volumes if lv.devices_to_restore]
    assert wrong == [], f"{where}: the devices of {wrong} are not what LVM says"
    assert host.observe().strays == (), where
    for lv in host.observe().logical_volumes:
        indexed = [tag.partition("=")[0] for tag in lv.index_tags]
        assert len(indexed) == len(set(indexed)), f"{where}: {lv.name} has {lv.index_tags}"
    assert storage(host).plan_recovery(name.text).steps == (), where
    assert severities(active(host)) <= set(flaws), where


@EVERY_OPERATION
def test_operation_has_its_documented_effect_and_keeps_activation(operation: str) -> None:
    start, request = OPERATIONS[operation]
    host = start()
    before, beside = contents(host, request.volume), others(host, changed(request))
    after = run(host, *planned(host, request).steps)
    require_whole(after, called(request), expected(request, before), operation)
    assert others(after, called(request)) == beside
    assert not (wipes(request) and after.freed_unwiped)
    was = {lv.uuid: lv for lv in host.observe().logical_volumes}
    before_it = host.observe().lv(request.volume.text)
    bases = {lv for picture in (host.observe(), after.observe()) for lv in base_names(picture, request.volume)}
    for lv in after.observe().logical_volumes:
        if lv.name in bases:  # bases stay active, because another clone may need them
            assert lv.active >= was[lv.uuid].active, lv
        elif lv.uuid in was:
            assert lv.active == expected_active(request, was[lv.uuid]), lv
        else:
            assert lv.active == (before_it.active if before_it else True), lv


@EVERY_OPERATION
def test_volume_is_old_or_new_after_any_cut_in_operation_or_recovery(
    operation: str, record_property: Callable[[str, object], None]
) -> None:
    start, request = OPERATIONS[operation]
    host = start()
    name, plan = changed(request), planned(host, request)
    before, read, beside = contents(host, name), contents(host, request.volume), others(host, name)
    assert beside[NEIGHBOUR]
    read_through = parents(storage(active(host)).picture())
    finished = sizes_and_tags(run(host, *plan.steps).observe(), index=True)
    places, met, judged = 0, set[Hashable](), set[Hashable]()
    names = named(request)
    for cut in cuts(host, plan):
        undone = cut.done < plan.commit_point
        wanted = before if undone else expected(request, read)
        for left in (cut.host, rebooted(cut.host)):  # the process died, or the host crashed
            for again in cuts(left, storage(left).plan_recovery(name.text)):
                places += 1
                if (again.host.key, undone) in met:
                    continue
                met.add((again.host.key, undone))
                where = f"{cut}; {again}"
                first = called(request) if len(met) % 2 else name  # recovery works by either name
                whole = recovered(again.host, first, *(names - {first}))
                if (whole.key, undone) in judged:
                    continue
                judged.add((whole.key, undone))
                require_whole(whole, name if undone else called(request), wanted, where, FLAWS if undone else ())
                assert others(whole, name if undone else called(request)) == beside, where
                if not (undone and isinstance(request, Convert)):  # undo does not wipe a half-made copy
                    assert not (wipes(request) and whole.freed_unwiped), where
                if undone:
                    assert sizes_and_tags(whole.observe(), index=False) == sizes_and_tags(
                        host.observe(), index=False
                    ), where
                    assert parents(storage(active(whole)).picture()) == read_through, where
                else:
                    assert sizes_and_tags(whole.observe(), index=True) == finished, where
    record_property("cuts, simulated: places", places)
    record_property("cuts, simulated: states recovered", len(met))
    record_property("cuts, simulated: outcomes judged", len(judged))
    assert places >= 2 * (len(plan.steps) + 1)


@EVERY_OPERATION
def test_check_reports_a_cut_as_unfinished_not_as_damage(operation: str) -> None:
    start, request = OPERATIONS[operation]
    host = start()
    for cut in cuts(host, planned(host, request)):
        found = severities(cut.host) - FLAWS
        unfinished = any(storage(cut.host).plan_recovery(name.text).steps for name in named(request))
        assert found == ({Severity.UNFINISHED} if unfinished else set()), f"{cut}: {storage(cut.host).check()}"


def test_enumeration_covers_at_least_1000_cuts(capsys: pytest.CaptureFixture[str]) -> None:
    every = [cut for start, request in OPERATIONS.values() for cut in cuts(start(), planned(start(), request))]
    inside = sum(cut.inside for cut in every)
    with capsys.disabled():
        print(f"\n{len(OPERATIONS)} operations, {len(every)} cuts, {inside} of them inside a step")
    assert len(OPERATIONS) >= 100
    assert len(every) >= 1000
    assert inside >= 400
