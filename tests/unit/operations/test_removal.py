"""Removal of LVs: rename, wipe, remove. A second run continues with LVs that are already half removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from lvmqcow.core.holder import Holder, HolderKind
from lvmqcow.core.lv import LogicalVolume
from lvmqcow.core.names import Layout, snapshot_lv_name
from lvmqcow.core.wiping import Wipe
from lvmqcow.errors import InUse
from lvmqcow.operations import Activate, Deactivate, DeleteSnapshot, Merge, Plan, Remove
from lvmqcow.operations.recovery import plan_recovery
from lvmqcow.operations.remove import plan_remove
from lvmqcow.operations.shared.removal import removal_steps
from lvmqcow.steps import LvCreate, LvZeroRange, QcowCreate
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    RAW,
    chain,
    commands,
    contents,
    inactive,
    intents,
    planned,
    raw_volume,
    refused,
    run,
    state,
    storage,
)
from lvmqcow.testing.crash.simulated_cuts import cuts
from lvmqcow.testing.simulated.host import SimHost

CURRENT = DISK.text
S1, S2, S3 = (snapshot_lv_name(DISK, f"s{number}", Layout.RFC) for number in (1, 2, 3))
LV_BYTES = 8 * MIB
ZERO = "blkdiscard --zeroout --step 33554432 --offset"
DISCARD = "blkdiscard --step 33554432 --offset"
BOTH = pytest.mark.parametrize(("wipe", "blkdiscard"), [(Wipe.ZERO, ZERO), (Wipe.DISCARD, DISCARD)])


def cleared(blkdiscard: str, wipe: Wipe, lv: str, size_bytes: int = LV_BYTES) -> list[str]:
    """The commands that wipe one LV in a single segment."""
    return [
        f"{blkdiscard} 0 --length {size_bytes} /dev/sim/{lv}",
        f"lvchange --deltag lvmqcow.wipe={wipe} --addtag lvmqcow.wipe={wipe}/{size_bytes} sim/{lv}",
    ]


@BOTH
def test_remove_renames_the_lvs_before_the_wipe(wipe: Wipe, blkdiscard: str) -> None:
    plan = planned(inactive(chain(1)), Remove(DISK, wipe))
    assert commands(plan) == [
        f"lvchange --addtag lvmqcow.intent=remove --addtag lvmqcow.wipe={wipe} sim/{S1} sim/{CURRENT}",
        f"lvrename sim {S1} del-{S1}",
        f"lvrename sim {CURRENT} del-{CURRENT}",
        f"lvchange --activate ey sim/del-{S1} sim/del-{CURRENT}",
        *cleared(blkdiscard, wipe, f"del-{S1}"),
        *cleared(blkdiscard, wipe, f"del-{CURRENT}"),
        f"lvremove --yes sim/del-{S1} sim/del-{CURRENT}",
    ]
    assert plan.commit_point == 1


@BOTH
def test_remove_refreshes_an_active_raw_volume_before_the_wipe(wipe: Wipe, blkdiscard: str) -> None:
    """Another host may have extended the LV, and the local device would then be too small."""
    assert commands(planned(raw_volume(), Remove(RAW, wipe))) == [
        f"lvchange --addtag lvmqcow.intent=remove --addtag lvmqcow.wipe={wipe} sim/{RAW}",
        f"lvrename sim {RAW} del-{RAW}",
        f"lvchange --refresh sim/del-{RAW}",
        *cleared(blkdiscard, wipe, f"del-{RAW}", 4 * MIB),
        f"lvremove --yes sim/del-{RAW}",
    ]


@BOTH
def test_pull_wipes_the_snapshot_after_relinking_its_child(wipe: Wipe, blkdiscard: str) -> None:
    assert commands(planned(chain(3), DeleteSnapshot(DISK, "s2", Merge.PULL, wipe))) == [
        f"lvchange --addtag lvmqcow.intent=pull/{S3} --addtag lvmqcow.wipe={wipe} sim/{S2}",
        f"qemu-img rebase -p -t directsync -f qcow2 -b {S1} -F qcow2 /dev/sim/{S3}",
        f"lvchange --deltag lvmqcow.parent={S2} --addtag lvmqcow.parent={S1} sim/{S3}",
        f"lvrename sim {S2} del-{S2}",
        f"lvchange --refresh sim/del-{S2}",
        *cleared(blkdiscard, wipe, f"del-{S2}"),
        f"lvremove --yes sim/del-{S2}",
    ]


@BOTH
def test_push_wipes_the_child_and_drops_the_wipe_tag(wipe: Wipe, blkdiscard: str) -> None:
    assert commands(planned(chain(3), DeleteSnapshot(DISK, "s2", Merge.PUSH, wipe))) == [
        f"lvchange --addtag lvmqcow.intent=push/{S2}/{S3} --addtag lvmqcow.wipe={wipe} sim/{S2}",
        f"qemu-img commit -p -d -f qcow2 /dev/sim/{S3}",
        f"lvchange --addtag lvmqcow.wipe={wipe} sim/{S3}",
        f"lvrename sim {S3} del-{S3}",
        f"lvrename sim {S2} {S3}",
        f"lvchange --deltag lvmqcow.intent=push/{S2}/{S3} --deltag lvmqcow.wipe={wipe} sim/{S3}",
        f"lvchange --refresh sim/del-{S3}",
        *cleared(blkdiscard, wipe, f"del-{S3}"),
        f"lvremove --yes sim/del-{S3}",
    ]


def test_remove_without_wipe_does_not_rename_or_activate() -> None:
    for request in (Remove(DISK), Remove(DISK, Wipe.NONE)):
        assert commands(planned(inactive(chain(1)), request)) == [
            f"lvchange --addtag lvmqcow.intent=remove sim/{S1} sim/{CURRENT}",
            f"lvremove --yes sim/{S1} sim/{CURRENT}",
        ]


def test_removal_of_no_lvs_has_no_steps() -> None:
    assert removal_steps(chain(1).observe(), []) == ()


@pytest.mark.parametrize(
    ("record", "parts"),
    [
        ("zero", [(0, 16), (16, 16), (32, 8)]),
        ("zero/17179869184", [(16, 16), (32, 8)]),
        (f"zero/{36 * 1024**3}", [(36, 4)]),
        (f"zero/{40 * 1024**3}", []),
        (f"discard/{32 * 1024**3}", [(32, 8)]),
    ],
)
def test_wipe_of_a_large_lv_resumes_at_its_recorded_segment(record: str, parts: list[tuple[int, int]]) -> None:
    gib = 1024**3
    lv = LogicalVolume("del-x", "uuid", 40 * gib, frozenset({f"lvmqcow.wipe={record}"}), active=False)
    plan = Plan("remove", "sim", DISK, removal_steps(SimHost().observe(), [lv]), Remove.kind.commit)
    wipe, _, reached = record.partition("/")
    expected = [] if not parts else ["lvchange --activate ey sim/del-x"]
    for offset, length in parts:
        done = f"{wipe}/{(offset + length) * gib}"
        old = f"{wipe}/{reached}" if reached else wipe
        reached = str((offset + length) * gib)
        blkdiscard = ZERO if wipe == "zero" else DISCARD
        expected += [
            f"{blkdiscard} {offset * gib} --length {length * gib} /dev/sim/del-x",
            f"lvchange --deltag lvmqcow.wipe={old} --addtag lvmqcow.wipe={done} sim/del-x",
        ]
    assert commands(plan) == [*expected, "lvremove --yes sim/del-x"]


def generations(host: SimHost, lvs: Iterable[str], count: int, *tags: str) -> SimHost:
    """Add LVs of earlier volumes of the same name, with data and the given tags."""
    for lv in lvs:
        for number in range(1, count + 1):
            name = f"del-{number}-{lv}" if number > 1 else f"del-{lv}"
            host = run(host, LvCreate(name, 8 * MIB, (*DISK.tags, *tags)), QcowCreate(name, 4 * MIB))
    return host


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    ("request_", "going"),
    [
        (Remove(DISK, Wipe.ZERO), [S1, S2, CURRENT]),
        (DeleteSnapshot(DISK, "s2", Merge.PULL, Wipe.ZERO), [S2]),
        (DeleteSnapshot(DISK, "s2", Merge.PUSH, Wipe.ZERO), [CURRENT]),
    ],
    ids=["remove", "pull", "push"],
)
def test_doomed_lvs_of_another_tool_are_kept(request_: Remove | DeleteSnapshot, going: list[str], count: int) -> None:
    host = generations(chain(2), going, count)
    theirs = host.observe().lv_names - chain(2).observe().lv_names
    before = state(host)
    plan = planned(host, request_)
    assert [argv[-1] for argv in plan.commands if argv[0] == "lvrename" and "del-" in argv[-1]] == [
        f"del-{count + 1}-{lv}" for lv in going
    ]
    for cut in cuts(host, plan):
        storage(cut.host).recover()
        after = state(cut.host)
        assert {name: after.images[name] for name in theirs} == {name: before.images[name] for name in theirs}, str(cut)
        assert {lv for lv in after.picture.logical_volumes if lv.name in theirs} == {
            lv for lv in before.picture.logical_volumes if lv.name in theirs
        }, str(cut)
        assert {name for name in after.picture.lv_names if name.startswith("del-")} == theirs, str(cut)
        assert cut.host.freed_unwiped == (), str(cut)


@pytest.mark.parametrize("wipe", [Wipe.ZERO, Wipe.DISCARD])
@pytest.mark.parametrize("segment_bytes", [MIB, 3 * MIB, 8 * MIB])
def test_cut_wipe_resumes_at_the_segment_of_the_cut(wipe: Wipe, segment_bytes: int) -> None:
    host = chain(1, None, NEIGHBOUR)
    chain(0, host)
    plan = plan_remove(host.observe(), Remove(DISK, wipe), segment_bytes)
    for cut in cuts(host, plan):
        for met in (cut.host, inactive(cut.host)):
            recovery = plan_recovery(met.observe(), DISK, met.measure)
            done = sum(argv[0] == "blkdiscard" for argv in plan.commands[: cut.done])
            offsets = [argv[argv.index("--offset") + 1] for argv in recovery.commands if argv[0] == "blkdiscard"]
            recorded = done if cut.done and plan.commands[cut.done - 1][0] != "blkdiscard" else done - 1
            if offsets and done:
                assert offsets == [str(recorded * segment_bytes)], str(cut)
            storage(met).recover()
            assert contents(met, NEIGHBOUR) == contents(host, NEIGHBOUR), str(cut)
            assert met.freed_unwiped == (), str(cut)
            assert not any(name.startswith("del-") for name in met.observe().lv_names), str(cut)


def wiping(host: SimHost) -> SimHost:
    """Remove the disk, and stop in the middle of the wipe."""
    return run(host, *plan_remove(host.observe(), Remove(DISK, Wipe.ZERO), segment_bytes=2 * MIB).steps[:-4])


def test_half_wiped_volume_is_not_listed_but_recovered() -> None:
    host = wiping(chain(2))
    assert storage(host).volumes() == ()
    found = storage(host).check()
    assert {(finding.severity.value, finding.advice) for finding in found} == {
        ("unfinished", f"lvmqcow recover sim/{DISK}")
    }
    assert storage(host).check(DISK.text) == found
    assert [plan.operation for plan in storage(host).recover()] == ["finish removal"]
    assert host.observe().logical_volumes == ()
    assert host.freed_unwiped == ()


def test_new_volume_can_use_the_name_of_a_half_wiped_one() -> None:
    """Neither the planner of the new volume nor a recovery takes the old LVs for its own."""
    old = wiping(chain(2))
    new = chain(1, run(old))
    made = contents(new)
    assert set(made) == {None, "s1"}
    assert [lv.name for lv in new.observe().logical_volumes if lv.name.startswith("del-")] == []
    assert new.freed_unwiped == ()


def beside_an_older_generation(host: SimHost) -> SimHost:
    """Add the half-wiped LVs of an older disk of the same name, as another process leaves them."""
    old = wiping(chain(2))
    for lv in old.observe().logical_volumes:
        if lv.name.startswith("del-"):
            host = run(host, LvCreate(lv.name, lv.size_bytes, tuple(sorted(lv.tags))))
    return host


def test_half_wiped_old_volume_does_not_affect_the_new_one() -> None:
    host = beside_an_older_generation(chain(2))
    before = contents(host)
    recovery = storage(host).plan_recovery(CURRENT)
    assert recovery.operation == "finish removal"
    assert {word for argv in recovery.commands if argv[0] == "lvremove" for word in argv[2:]} == {
        f"sim/del-{lv}" for lv in (S1, S2, CURRENT)
    }
    storage(host).recover()
    assert contents(host) == before
    assert intents(host) == []
    assert storage(host).check() == ()


@pytest.mark.parametrize("request_", [Remove(DISK, Wipe.ZERO), DeleteSnapshot(DISK, "s1", Merge.PULL, Wipe.ZERO)])
def test_recovery_finishes_new_and_old_volume_together(
    request_: Remove | DeleteSnapshot,
) -> None:
    """One run of recovery finishes both."""
    host = chain(2)
    for cut in cuts(host, planned(host, request_)):
        met = beside_an_older_generation(cut.host) if not _doomed(cut.host) else cut.host
        storage(met).recover()
        assert not _doomed(met), str(cut)
        assert intents(met) == [], str(cut)
        assert storage(met).recover() == (), str(cut)


def _doomed(host: SimHost) -> set[str]:
    return {name for name in host.observe().lv_names if name.startswith("del-")}


@pytest.mark.parametrize("activate", [True, False])
def test_activation_ignores_lvs_that_are_being_wiped(activate: bool) -> None:
    """These LVs still have the tag of the volume."""
    host = beside_an_older_generation(chain(1) if not activate else inactive(chain(1)))
    was = {lv.name: lv.active for lv in host.observe().logical_volumes if lv.name.startswith("del-")}
    picture = host.observe()
    plan = (Activate(DISK) if activate else Deactivate(DISK)).plan(picture, host)
    assert {lv.name: lv.active for lv in run(host, *plan.steps).observe().logical_volumes if lv.name in was} == was


@pytest.mark.parametrize("lv", [CURRENT, S1])
def test_remove_of_a_volume_in_use_is_refused(lv: str) -> None:
    host = chain(1)
    host.hold(lv, Holder(HolderKind.PROCESS, "qemu", 17))
    assert isinstance(refused(host, Remove(DISK, Wipe.ZERO)), InUse)


def test_recovery_of_a_wipe_is_refused_while_the_lv_is_in_use() -> None:
    host = wiping(chain(0))
    host.hold(f"del-{CURRENT}", Holder(HolderKind.PROCESS, "dd", 18))
    before = state(host)
    with pytest.raises(InUse, match="process 18"):
        storage(host).recover()
    assert state(host) == before


@pytest.mark.parametrize("meet", [lambda host: host, inactive], ids=["active", "inactive"])
@pytest.mark.parametrize("begun", [False, True])
def test_wipe_writes_only_to_active_devices(meet: Callable[[SimHost], SimHost], begun: bool) -> None:
    """Without a device, the write would create a regular file in /dev, in memory."""
    host = meet(wiping(chain(2)) if begun else chain(2))
    plan = storage(host).plan_recovery(CURRENT) if begun else planned(host, Remove(DISK, Wipe.ZERO))
    assert any(isinstance(step, LvZeroRange) for step in plan.steps)
    for step in plan.steps:
        if isinstance(step, LvZeroRange):
            lv = host.observe().lv(step.lv)
            assert lv is not None
            assert lv.active
        host.run(step)
    assert host.freed_unwiped == ()
