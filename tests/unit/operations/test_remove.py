"""Removal of whole volumes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lvmqcow.errors import VolumeNotFound
from lvmqcow.operations import Remove
from lvmqcow.steps import LvCreate, LvRemove, LvTag, QcowRelink
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    RAW,
    chain,
    commands,
    contents,
    foreign,
    inactive,
    planned,
    raw_volume,
    refused,
    run,
)
from lvmqcow.testing.simulated.host import SimHost

S1, S2 = (f"snap-s{number}-{DISK}" for number in (1, 2))


def test_remove_tags_every_lv_before_it_removes_any() -> None:
    plan = planned(chain(2), Remove(DISK))
    lvs = f"sim/{S1} sim/{S2} sim/{DISK}"
    assert commands(plan) == [f"lvchange --addtag lvmqcow.intent=remove {lvs}", f"lvremove --yes {lvs}"]
    assert (plan.operation, plan.commit_point) == ("remove", 1)


@pytest.mark.parametrize("met", [inactive, foreign])
def test_remove_plan_is_the_same_for_inactive_and_foreign_volumes(met: Callable[[SimHost], SimHost]) -> None:
    assert planned(met(chain(2)), Remove(DISK)) == planned(chain(2), Remove(DISK))


def test_raw_volume_is_removed_the_same_way() -> None:
    assert commands(planned(raw_volume(), Remove(RAW))) == [
        "lvchange --addtag lvmqcow.intent=remove sim/vm-100-disk-2",
        "lvremove --yes sim/vm-100-disk-2",
    ]


def test_remove_does_not_change_other_volumes() -> None:
    host = chain(2, chain(1, name=NEIGHBOUR))
    after = run(host, *planned(host, Remove(DISK)).steps)
    assert contents(after, NEIGHBOUR) == contents(host, NEIGHBOUR)
    assert {lv.name for lv in after.observe().logical_volumes} == {NEIGHBOUR.text, f"snap-s1-{NEIGHBOUR}"}


@pytest.mark.parametrize(
    "damaged",
    [
        run(chain(2), LvRemove((S1,))),
        run(chain(2), LvRemove((DISK.text,))),
        run(chain(2), QcowRelink(DISK.text, S1)),
        run(chain(2), QcowRelink(S1, S2), LvTag((S1,), add=(f"lvmqcow.parent={S2}",))),
    ],
    ids=["a layer is missing", "no current LV", "header and tags differ", "a circle"],
)
def test_damaged_volume_can_be_removed_completely(damaged: SimHost) -> None:
    assert run(damaged, *planned(damaged, Remove(DISK)).steps).observe().logical_volumes == ()


def test_remove_of_a_missing_volume_is_refused() -> None:
    assert isinstance(refused(chain(1, name=NEIGHBOUR), Remove(DISK)), VolumeNotFound)


def test_tagged_lv_that_is_no_layer_is_not_a_volume() -> None:
    """An administrator may have kept such an LV by hand."""
    stray = run(SimHost(), LvCreate("saved-vm-100-disk-0.qcow2", MIB, DISK.tags))
    assert isinstance(refused(stray, Remove(DISK)), VolumeNotFound)
