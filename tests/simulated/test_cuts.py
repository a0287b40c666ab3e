"""Every operation, and its recovery, is stopped at every place. No data is lost and nothing is left over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lvmqcow.checks.structure import Severity
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import VolumeName
from lvmqcow.testing.cases.expected import called, changed, expected, expected_active, named, wipes
from lvmqcow.testing.cases.operation_table import OPERATIONS
from lvmqcow.testing.cases.scenarios import (
    contents,
    others,
    planned,
    run,
    storage,
)
from lvmqcow.testing.crash.simulated_cuts import cuts
from lvmqcow.testing.suites.cuts import FLAWS, cut_everywhere, require_whole, severities

EVERY_OPERATION = pytest.mark.parametrize("operation", OPERATIONS)


def base_names(picture: VolumeGroup, name: VolumeName) -> set[str]:
    """The LVs of other volumes among the backing images of this volume."""
    volume = picture.find(name)
    return {base.lv.name for base in volume.bases} if volume else set()


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
    came = cut_everywhere(operation)
    for what, count in came.counts.items():
        record_property(f"cuts, simulated: {what}", count)
    start, request = OPERATIONS[operation]
    assert came.counts["cuts"] >= 2 * (len(planned(start(), request).steps) + 1)


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
