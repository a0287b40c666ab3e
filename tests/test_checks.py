from __future__ import annotations

import pytest

from lvmqcow.checks import Severity
from lvmqcow.intents import INTENT_PREFIX, Pulling, Removing
from lvmqcow.names import snapshot_lv_name
from lvmqcow.steps import LvCreate, LvRemove, LvTag, LvZero, QcowRelink, Step
from lvmqcow.testing.sim import SimHost
from tests.volumes import (
    DISK,
    MIB,
    VARIANTS,
    beside,
    chain,
    foreign,
    inactive,
    raw_volume,
    run,
    state,
    storage,
)

S1, S2 = (snapshot_lv_name(DISK, name) for name in ("s1", "s2"))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_nothing_is_wrong_with_a_healthy_volume(variant: str, depth: int) -> None:
    host = VARIANTS[variant](chain(depth))
    before = state(host)
    assert storage(host).check_activating() == ()
    assert storage(host).check_activating(DISK.text) == ()
    assert state(host) == before


def test_nothing_is_wrong_with_a_raw_volume() -> None:
    assert storage(raw_volume()).check() == ()


def test_an_inactive_volume_that_proxmox_ve_wrote_is_not_called_damaged() -> None:
    """Nothing of it was read, so nothing can be said of it."""
    found = storage(inactive(foreign(chain(2)))).check()
    assert {finding.severity for finding in found} == {Severity.UNSEEN}, found


@pytest.mark.parametrize(
    ("damage", "lv", "text"),
    [
        (LvRemove((DISK.text,)), DISK.text, "no current logical volume"),
        (LvRemove((S1,)), S1, "it is not there"),
        (LvTag((S1,), add=(f"lvmqcow.parent={S2}",)), S2, "reads through itself"),
        (LvTag((S2,), drop=(f"lvmqcow.parent={S1}",)), S1, "does not read through this snapshot"),
        (QcowRelink(DISK.text, S1), DISK.text, f"names {S1} as backing, its tags {S2}"),
        (LvTag((DISK.text,), add=("lvmqcow.size=9",), drop=(f"lvmqcow.size={4 * MIB}",)), DISK.text, "its tags 9"),
        (LvZero(DISK.text), DISK.text, "no readable qcow2 header"),
        (LvTag((S1,), add=(f"{INTENT_PREFIX}copy",)), S1, "another version"),
    ],
    ids=[
        *("no current LV", "a missing layer", "a circle", "tags end the chain early", "the header names another"),
        *("the tags have another size", "no header", "an intent of another version"),
    ],
)
def test_damage_is_found_and_placed(damage: Step, lv: str, text: str) -> None:
    found = storage(run(chain(2), damage)).check(DISK.text)
    assert any((finding.lv, finding.severity) == (lv, Severity.DAMAGED) and text in finding.text for finding in found)
    assert all(finding.advice for finding in found)


def test_a_snapshot_that_the_current_layer_does_not_read_through_is_found() -> None:
    found = storage(beside(chain(2), "branch", S1)).check()
    assert [(finding.lv, finding.severity) for finding in found] == [(f"snap-branch-{DISK}", Severity.DAMAGED)]


@pytest.mark.parametrize(
    "cut",
    [
        LvTag((S1,), add=(Removing().tag,)),
        LvTag((S2,), add=(Pulling(DISK.text).tag,)),
        LvCreate(f"new-{DISK}", MIB, (*DISK.tags, "lvmqcow.parent=x")),
        LvCreate(f"del-{DISK}", MIB, (*DISK.tags, "lvmqcow.size=4096")),
    ],
)
def test_what_was_cut_is_unfinished_and_recover_is_the_advice(cut: Step) -> None:
    found = storage(run(chain(2), cut)).check()
    assert {finding.severity for finding in found} == {Severity.UNFINISHED}
    assert {finding.advice for finding in found} == {f"lvmqcow recover sim/{DISK}"}


def test_what_another_tool_is_about_to_remove_is_not_put_on_recover_which_leaves_it_alone() -> None:
    """Proxmox VE wipes its ``del-`` LVs in the background, for hours."""
    host = run(chain(1), LvCreate(f"del-{S1}", MIB, DISK.tags))
    assert storage(host).plan_recovery(DISK.text).steps == ()
    assert [finding for finding in storage(host).check() if "recover" in finding.advice] == []


def test_one_volume_can_be_checked_alone() -> None:
    host: SimHost = run(chain(1), LvRemove((S1,)))
    raw_volume(host)
    assert storage(host).check("vm-100-disk-2") == ()
    assert storage(host).check(DISK.text) != ()
