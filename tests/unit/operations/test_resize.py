"""Resizing of raw and qcow2 volumes."""

from __future__ import annotations

import pytest

from lvmqcow.core.holder import Holder, HolderKind
from lvmqcow.core.names import VolumeName
from lvmqcow.errors import Corrupt, InvalidSize, LvmqcowError, NoSpace, NotPossible, VolumeNotFound
from lvmqcow.operations import DeleteSnapshot, Grow, Merge, Resize, Rollback
from lvmqcow.steps import LvCreate, LvExtend, LvRemove, LvTag, QcowRelink
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
    state,
    storage,
    tight,
)
from lvmqcow.testing.content import Content
from lvmqcow.testing.simulated.host import SimHost

S1 = "snap-s1-vm-100-disk-0.qcow2"
QCOW2_INTENT = f"lvmqcow.intent=resize/{4 * MIB}/{64 * MIB}"
QCOW2 = [
    f"lvchange --addtag {QCOW2_INTENT} sim/{DISK}",
    f"lvextend --size {68 * MIB}b sim/{DISK}",
    f"qemu-img resize -q -f qcow2 /dev/sim/{DISK} {64 * MIB}",
    f"lvchange --deltag {QCOW2_INTENT} --deltag lvmqcow.size={4 * MIB} --addtag lvmqcow.size={64 * MIB} sim/{DISK}",
]
RAW_INTENT = f"lvmqcow.intent=resize/{4 * MIB}/{64 * MIB}"
RAW_STEPS = [
    f"lvchange --addtag {RAW_INTENT} sim/{RAW}",
    f"lvextend --size {64 * MIB}b sim/{RAW}",
    f"blkdiscard --zeroout --step 33554432 --offset {4 * MIB} --length {60 * MIB} /dev/sim/{RAW}",
    f"lvchange --deltag {RAW_INTENT} sim/{RAW}",
]


def resized(host: SimHost, request: Resize | Grow) -> SimHost:
    return run(host, *planned(host, request).steps)


def test_resize_extends_the_lv_before_the_image_under_one_intent() -> None:
    plan = planned(chain(1), Resize(DISK, 64 * MIB))
    assert commands(plan) == QCOW2
    assert (plan.operation, plan.commit_point) == ("resize", 2)


def test_resize_of_a_raw_volume_zeroes_only_the_new_part() -> None:
    plan = planned(raw_volume(), Resize(RAW, 64 * MIB))
    assert commands(plan) == RAW_STEPS
    assert plan.commit_point == 2


def test_resize_does_not_extend_an_lv_that_is_large_enough() -> None:
    """``lvextend`` to the current size of an LV is an error."""
    plan = planned(chain(0), Resize(DISK, 5 * MIB))
    assert [type(step) for step in plan.steps if isinstance(step, LvExtend)] == []
    assert plan.commit_point == 1
    again = resized(run(chain(0), LvExtend(DISK.text, 68 * MIB)), Resize(DISK, 64 * MIB))
    assert contents(again)[None].size_bytes == 64 * MIB


def test_resize_activates_an_inactive_volume_temporarily() -> None:
    plan = planned(inactive(chain(1)), Resize(DISK, 64 * MIB))
    activate, deactivate = (f"lvchange --activate {how} sim/{DISK} sim/{S1}" for how in ("ey", "n"))
    assert commands(plan) == [activate, *QCOW2, deactivate]
    assert plan.commit_point == 3


def test_resize_first_indexes_layers_written_by_proxmox_ve() -> None:
    plan = planned(foreign(chain(1)), Resize(DISK, 64 * MIB))
    assert commands(plan) == [
        f"lvchange --addtag lvmqcow.size={4 * MIB} --addtag lvmqcow.parent={S1} sim/{DISK}",
        f"lvchange --addtag lvmqcow.size={4 * MIB} sim/{S1}",
        *QCOW2,
    ]


@pytest.mark.parametrize("name", [DISK, RAW])
def test_resize_to_the_current_size_does_nothing(name: VolumeName) -> None:
    request = Resize(name, 64 * MIB)
    host = resized(chain(1, raw_volume()), request)
    before = state(host)
    assert planned(host, request).steps == ()
    assert storage(host).apply(request).steps == ()
    assert state(host) == before


def test_resize_to_the_current_size_extends_an_lv_that_is_too_small() -> None:
    """This works while a guest runs. Otherwise the guest would run out of space soon."""
    host, intent = tight(), f"lvmqcow.intent=resize/{4 * MIB}/{4 * MIB}"
    host.hold(DISK.text, Holder(HolderKind.PROCESS, "qemu", 1))
    before = contents(host)
    plan = storage(host).apply(Resize(DISK, 4 * MIB))
    assert commands(plan) == [
        f"lvchange --addtag {intent} sim/{DISK}",
        f"lvextend --size {8 * MIB}b sim/{DISK}",
        f"lvchange --deltag {intent} sim/{DISK}",
    ]
    assert contents(host) == before
    assert storage(host).apply(Resize(DISK, 4 * MIB)).steps == ()


def test_extending_a_too_small_lv_needs_no_activation() -> None:
    steps = planned(inactive(tight()), Resize(DISK, 4 * MIB)).steps
    assert [type(step) for step in steps] == [LvTag, LvExtend, LvTag]


def test_size_of_a_raw_volume_is_rounded_up_to_extents() -> None:
    assert planned(raw_volume(), Resize(RAW, 4 * MIB - 512)).steps == ()
    assert contents(resized(raw_volume(), Resize(RAW, 4 * MIB + 512)), RAW)[None].size_bytes == 8 * MIB


@pytest.mark.parametrize("name", [DISK, RAW])
def test_grow_equals_resize_to_the_sum(name: VolumeName) -> None:
    host = chain(1, raw_volume())
    assert planned(host, Grow(name, 60 * MIB)) == planned(host, Resize(name, 64 * MIB))


def test_resize_rounds_up_to_sectors() -> None:
    host = resized(chain(0), Resize(DISK, 5 * MIB + 1))
    assert contents(host)[None].size_bytes == 5 * MIB + 512


def test_resize_after_a_rollback_reuses_the_extended_lv() -> None:
    host = resized(chain(1), Resize(DISK, 64 * MIB))
    back = run(host, *planned(host, Rollback(DISK, "s1")).steps)
    assert contents(back)[None] == contents(chain(1))["s1"]
    assert [type(step) for step in planned(back, Resize(DISK, 64 * MIB)).steps if isinstance(step, LvExtend)] == []


@pytest.mark.parametrize("merge", [Merge.PULL, Merge.PUSH])
@pytest.mark.parametrize("start", [chain(1), tight()], ids=["roomy", "tight"])
def test_older_snapshot_can_be_deleted_after_a_resize(merge: Merge, start: SimHost) -> None:
    host = resized(start, Resize(DISK, 64 * MIB))
    held = contents(start)[None]
    done = run(host, *planned(host, DeleteSnapshot(DISK, "s1", merge)).steps)
    assert contents(done) == {None: Content(64 * MIB, held.blocks)}


@pytest.mark.parametrize("name", [DISK, RAW])
def test_resize_can_use_the_last_free_extent(name: VolumeName) -> None:
    host = chain(0, raw_volume())
    needed = next(step for step in planned(host, Resize(name, 64 * MIB)).steps if isinstance(step, LvExtend))
    lv = host.observe().lv(name.text)
    assert lv is not None
    more = needed.size_bytes - lv.size_bytes
    free = host.observe().free_bytes
    exact = run(host, LvCreate("else", free - more, ()))
    short = run(host, LvCreate("else", free - more + 4 * MIB, ()))
    assert contents(resized(exact, Resize(name, 64 * MIB)), name)[None].size_bytes == 64 * MIB
    error = refused(short, Resize(name, 64 * MIB))
    assert isinstance(error, NoSpace)
    assert (error.needed_bytes, error.free_bytes) == (more, more - 4 * MIB)


def test_cut_resize_is_undone_if_its_space_was_taken() -> None:
    """Recovery of a resize needs no space, so it cannot get stuck."""
    for host in (chain(1), raw_volume()):
        name = host.observe().volumes[0].name
        begun = run(host, *planned(host, Resize(name, 64 * MIB)).steps[:1])
        full = run(begun, LvCreate("else", begun.observe().free_bytes, ()))
        assert [plan.operation for plan in storage(full).recover()] == ["undo resize"]
        assert full.observe().volume(name) == host.observe().volume(name)


@pytest.mark.parametrize(
    ("host", "request_", "error"),
    [
        (chain(1), Resize(NEIGHBOUR, 64 * MIB), VolumeNotFound),
        (chain(1), Resize(DISK, 4 * MIB - 512), NotPossible),
        (resized(raw_volume(), Resize(RAW, 8 * MIB)), Resize(RAW, 4 * MIB), NotPossible),
        (chain(1), Resize(DISK, 8 * 1024**3), NoSpace),
        (raw_volume(), Resize(RAW, 8 * 1024**3), NoSpace),
        (chain(1), Resize(DISK, 65 * 1024**4), InvalidSize),
        (chain(1), Grow(DISK, 64 * 1024**4), InvalidSize),
        (run(chain(1), QcowRelink(DISK.text, DISK.text)), Resize(DISK, 64 * MIB), Corrupt),
        (run(chain(1), LvRemove((S1,))), Resize(DISK, 64 * MIB), Corrupt),
    ],
    ids=[
        *("no volume", "shrink", "shrink raw", "no space", "no space, raw", "too large", "sum too large"),
        *("header and tags differ", "a layer is missing"),
    ],
)
def test_impossible_resize_is_refused_before_any_change(
    host: SimHost, request_: Resize | Grow, error: type[LvmqcowError]
) -> None:
    assert isinstance(refused(host, request_), error)


def test_refused_shrink_gives_the_reason() -> None:
    assert "cut off" in str(refused(chain(1), Resize(DISK, MIB)))
