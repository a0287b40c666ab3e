"""Check of the structure of volumes: findings, their severity and their advice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from lvmqcow.checks.structure import Severity
from lvmqcow.core.images import ImageCheck
from lvmqcow.core.intents import INTENT_PREFIX
from lvmqcow.core.names import Layout, snapshot_lv_name
from lvmqcow.core.qcow2 import Header
from lvmqcow.errors import CommandFailed
from lvmqcow.operations.delete import Pulling, Pushing
from lvmqcow.operations.remove import Removing
from lvmqcow.steps import LvCreate, LvRemove, LvTag, LvZero, QcowRelink, Step
from lvmqcow.storage import Storage
from lvmqcow.system.flock import FlockLocks
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    VARIANTS,
    branched,
    chain,
    foreign,
    grown,
    half_active,
    inactive,
    raw_volume,
    run,
    state,
    storage,
    tight,
)
from lvmqcow.testing.simulated.host import SimHost

S1, S2 = (snapshot_lv_name(DISK, name, Layout.RFC) for name in ("s1", "s2"))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_healthy_volume_has_no_findings(variant: str, depth: int) -> None:
    host = VARIANTS[variant](chain(depth))
    before = state(host)
    assert storage(host).check_activating() == ()
    assert storage(host).check_activating(DISK.text) == ()
    assert state(host) == before


def test_raw_volume_has_no_findings() -> None:
    assert storage(raw_volume()).check() == ()


def test_inactive_volume_of_proxmox_ve_is_unchecked_not_damaged() -> None:
    """Without tags and without a readable header there is nothing to judge."""
    found = storage(inactive(foreign(chain(2)))).check()
    assert {finding.severity for finding in found} == {Severity.UNCHECKED}, found


@pytest.mark.parametrize(
    ("damage", "lv", "text"),
    [
        (LvRemove((DISK.text,)), DISK.text, "no current logical volume"),
        (LvRemove((S1,)), S1, "which is not there"),
        (LvTag((S1,), add=(f"lvmqcow.parent={S2}",)), S2, "reads through itself"),
        (LvTag((S2,), drop=(f"lvmqcow.parent={S1}",)), S2, f"names {S1}, its tags name no parent"),
        (QcowRelink(DISK.text, S1), DISK.text, f"names {S1}, its tags name {S2}"),
        (LvTag((DISK.text,), add=("lvmqcow.size=9",), drop=(f"lvmqcow.size={4 * MIB}",)), DISK.text, "its tags give 9"),
        (LvZero(DISK.text), DISK.text, "no readable qcow2 header"),
        (LvTag((S1,), add=(f"{INTENT_PREFIX}copy",)), S1, "another version"),
    ],
    ids=[
        *("no current LV", "a missing layer", "a circle", "tags end the chain early", "the header names another"),
        *("the tags have another size", "no header", "an intent of another version"),
    ],
)
def test_damage_is_found_and_attributed_to_its_lv(damage: Step, lv: str, text: str) -> None:
    found = storage(run(chain(2), damage)).check(DISK.text)
    assert any((finding.lv, finding.severity) == (lv, Severity.DAMAGED) and text in finding.text for finding in found)
    assert all(finding.advice for finding in found)


@pytest.mark.parametrize("variant", VARIANTS)
def test_branch_is_healthy(variant: str) -> None:
    found = storage(VARIANTS[variant](branched((3, 2)))).check()
    assert {finding.severity for finding in found} <= {Severity.UNCHECKED}


def test_branch_with_a_missing_parent_is_damaged() -> None:
    b1, b2 = (snapshot_lv_name(DISK, name, Layout.RFC) for name in ("b1", "b2"))
    found = storage(run(branched((2, 1)), LvRemove((b1,)))).check()
    assert {(finding.lv, finding.severity) for finding in found} == {(b1, Severity.DAMAGED)}
    found = storage(run(branched((2, 1)), LvTag((b1,), add=(f"lvmqcow.parent={b2}",), drop=()))).check()
    assert b1 in {finding.lv for finding in found}


def test_lost_parent_tag_is_found_in_an_inactive_volume() -> None:
    """Otherwise its parent looks like the tip of a branch, and could be removed."""
    found = storage(inactive(run(chain(2), LvTag((S2,), drop=(f"lvmqcow.parent={S1}",))))).check()
    (damage,) = (finding for finding in found if finding.severity is not Severity.UNCHECKED)
    assert (damage.lv, damage.severity) == (S1, Severity.DAMAGED)
    assert "no layer in common" in damage.text


@pytest.mark.parametrize(
    "cut",
    [
        LvTag((S1,), add=(Removing().tag,)),
        LvTag((S2,), add=(Pulling(DISK.text).tag,)),
        LvCreate(f"new-{DISK}", MIB, (*DISK.tags, "lvmqcow.parent=x")),
        LvCreate(f"del-{DISK}", MIB, (*DISK.tags, "lvmqcow.size=4096")),
        LvCreate(f"del-{DISK}", MIB, (*DISK.tags, "lvmqcow.wipe=zero/4096")),
    ],
)
def test_cut_operation_is_unfinished_with_recover_as_advice(cut: Step) -> None:
    found = storage(run(chain(2), cut)).check()
    assert {finding.severity for finding in found} == {Severity.UNFINISHED}
    assert {finding.advice for finding in found} == {f"lvmqcow recover sim/{DISK}"}


def test_check_reports_the_progress_of_a_cut_wipe() -> None:
    left = LvCreate(f"del-{DISK}", 8 * MIB, (*DISK.tags, Removing().tag, f"lvmqcow.wipe=zero/{2 * MIB}"))
    (found,) = storage(run(chain(2), left)).check()
    assert found.text == "the removal of this logical volume was cut; 2 MiB of 8 MiB are wiped"


def test_unreadable_wipe_record_is_damage() -> None:
    found = storage(run(chain(2), LvTag((S1,), add=("lvmqcow.wipe=shred",)))).check()
    assert [(finding.lv, finding.severity) for finding in found] == [(S1, Severity.DAMAGED)]
    assert "lvmqcow.wipe=shred" in found[0].text


def test_check_does_not_advise_recover_for_doomed_lvs_of_other_tools() -> None:
    """Proxmox VE wipes its ``del-`` LVs in the background, for hours."""
    host = run(chain(1), LvCreate(f"del-{S1}", MIB, DISK.tags))
    assert storage(host).plan_recovery(DISK.text).steps == ()
    assert [finding for finding in storage(host).check() if "recover" in finding.advice] == []


def test_check_of_one_volume_ignores_the_others() -> None:
    host: SimHost = run(chain(1), LvRemove((S1,)))
    raw_volume(host)
    assert storage(host).check("vm-100-disk-2") == ()
    assert storage(host).check(DISK.text) != ()


def test_advice_for_a_too_small_lv_is_a_resize_that_fixes_it() -> None:
    host = tight()
    (found,) = storage(host).check()
    assert (found.lv, found.severity) == (DISK.text, Severity.WARNING)
    assert found.advice == f"lvmqcow resize sim/{DISK} --size {4 * MIB}"
    storage(host).volume(DISK.text).resize(4 * MIB)
    assert storage(host).check() == (), "the snapshot is frozen: it needs no more than it takes"


def test_check_names_each_unchecked_volume() -> None:
    host = inactive(chain(2, raw_volume()))
    assert [(finding.lv, finding.severity) for finding in storage(host).check()] == [(DISK.text, Severity.UNCHECKED)]
    (found,) = storage(half_active(chain(2))).check()
    assert found.severity is Severity.UNCHECKED
    assert S1 not in found.text


def test_check_does_not_activate_a_locked_volume(tmp_path: Path) -> None:
    host = inactive(chain(1, chain(1), NEIGHBOUR))
    locks = FlockLocks(tmp_path)
    with locks.hold("sim", DISK.text):
        found = Storage(host, locks).check_activating()
    assert [(finding.lv, finding.severity) for finding in found] == [(DISK.text, Severity.UNCHECKED)]
    assert "locked" in found[0].text


def test_check_that_finds_damage_deactivates_everything_again() -> None:
    host = inactive(run(chain(2), LvZero(S1)))
    before = state(host)
    assert Severity.DAMAGED in {finding.severity for finding in storage(host).check_activating()}
    assert state(host) == before


def test_unreadable_image_does_not_stop_the_check_of_others() -> None:
    class Failing(SimHost):
        def check(self, lv_name: str) -> ImageCheck:
            if lv_name == S1:
                raise CommandFailed(("qemu-img", "check"), 1, "Input/output error")
            return super().check(lv_name)

        def headers(self, lv_names: Iterable[str]) -> Mapping[str, Header]:
            names = list(lv_names)
            if NEIGHBOUR.text in names:
                raise CommandFailed(("read", NEIGHBOUR.text), 5, "Input/output error")
            return super().headers(names)

    host = chain(1, Failing())
    storage(host).create(NEIGHBOUR.text, 4 * MIB)
    host.run(LvCreate("root", MIB, ()))
    found = {finding.lv: finding.severity for finding in storage(host).check()}
    assert found == {S1: Severity.DAMAGED, NEIGHBOUR.text: Severity.DAMAGED, "root": Severity.UNMANAGED}


def test_check_says_if_recovery_lacks_space() -> None:
    begun = run(grown(1), LvTag((S1,), add=(Pushing(S1, DISK.text).tag,)))
    full = run(begun, LvCreate("else", begun.observe().free_bytes, ()))
    texts = [finding.text for finding in storage(full).check(DISK.text)]
    assert any("no space" in text for text in texts), texts
