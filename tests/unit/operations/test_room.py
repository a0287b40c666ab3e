"""An image that finds no space gets a larger LV, and its step runs again."""

from __future__ import annotations

import pytest

from lvmqcow.core.names import Layout, snapshot_lv_name
from lvmqcow.errors import CommandFailed, NoSpace, OperationCut, RecoveryNeeded
from lvmqcow.operations import DeleteSnapshot, Merge
from lvmqcow.operations.delete import Pulling
from lvmqcow.operations.shared.room import more_room
from lvmqcow.steps import (
    ImageCopy,
    LvCreate,
    LvExtend,
    LvTag,
    LvZero,
    QcowCommit,
    QcowRebase,
    QcowRelink,
    QcowRepairLeaks,
    QcowResize,
    Step,
)
from lvmqcow.testing.cases.scenarios import DISK, MIB, RAW, chain, contents, raw_volume, storage
from lvmqcow.testing.simulated.host import SimHost

S1, S2 = (snapshot_lv_name(DISK, name, Layout.RFC) for name in ("s1", "s2"))
FULL = CommandFailed(("qemu-img",), 1, "qemu-img: Block job failed: No space left on device")
BROKEN = CommandFailed(("qemu-img",), 1, "qemu-img: Input/output error")


def room(step: Step, failed: CommandFailed = FULL, host: SimHost | None = None) -> tuple[Step, ...]:
    return more_room((host if host is not None else chain(2)).observe(), step, failed)


@pytest.mark.parametrize(
    ("step", "steps"),
    [
        (
            QcowRebase(DISK.text, S1, S2),
            (LvExtend(DISK.text, 12 * MIB), QcowRelink(DISK.text, S2), QcowRepairLeaks(DISK.text)),
        ),
        (QcowCommit(S2, S1), (LvExtend(S1, 12 * MIB), QcowRepairLeaks(S1))),
        (QcowResize(DISK.text, 8 * MIB), (LvExtend(DISK.text, 12 * MIB),)),
    ],
    ids=["rebase", "commit", "resize"],
)
def test_full_image_gets_a_larger_lv_and_is_reset_for_a_retry(step: Step, steps: tuple[Step, ...]) -> None:
    assert room(step) == steps


@pytest.mark.parametrize(
    "step", [QcowRebase(DISK.text, S1, S2), QcowCommit(S2, S1), LvZero(DISK.text), QcowRepairLeaks(S1)]
)
def test_step_that_failed_for_another_reason_is_not_retried(step: Step) -> None:
    assert room(step, BROKEN) == ()


def test_raw_volume_is_never_extended_for_a_retry() -> None:
    step = ImageCopy(DISK.text, DISK.format, RAW.text, RAW.format)
    assert room(step, host=raw_volume(chain(1))) == ()


def test_large_lv_grows_proportionally_up_to_the_free_extents() -> None:
    host = SimHost(size_bytes=1100 * MIB)
    storage(host).create(DISK.text, 1000 * MIB)
    free = host.observe().free_extents
    assert room(QcowResize(DISK.text, MIB), host=host) == (LvExtend(DISK.text, (1004 + 60) * MIB),)
    host.run(LvCreate("other", (free - 3) * 4 * MIB, ()))
    assert room(QcowResize(DISK.text, MIB), host=host) == (LvExtend(DISK.text, (1004 + 12) * MIB),)


@pytest.mark.parametrize("step", [QcowCommit(S2, S1), LvCreate("x", MIB, ()), LvExtend(S1, 100 * MIB)])
def test_step_without_free_extents_fails_with_no_space(step: Step) -> None:
    host = chain(2)
    picture = host.observe()
    host.run(LvCreate("other", picture.free_extents * picture.extent_size_bytes, ()))
    with pytest.raises(NoSpace):
        room(step, host=host)


@pytest.mark.parametrize("merge", [Merge.PULL, Merge.PUSH])
def test_fragmented_image_is_extended_repeatedly_during_a_merge(merge: Merge) -> None:
    host = chain(2)
    before = contents(host)
    host.scatter(S1 if merge is Merge.PUSH else S2, 30 * MIB)
    storage(host).apply(DeleteSnapshot(DISK, "s1", merge))
    assert contents(host) == {snapshot: content for snapshot, content in before.items() if snapshot != "s1"}
    merged = host.observe().lv(S2)
    assert merged is not None
    assert merged.size_bytes > 34 * MIB


def test_cut_pull_with_new_backing_but_old_data_has_no_path() -> None:
    host = chain(2)
    host.run(LvTag((S2,), add=(Pulling(DISK.text).tag,)))
    assert storage(host).volume(DISK.text).path().name == DISK.text
    host.run(QcowRelink(DISK.text, S1))
    with pytest.raises(RecoveryNeeded):
        storage(host).volume(DISK.text).path()
    storage(host).recover()
    assert storage(host).volume(DISK.text).path().name == DISK.text


@pytest.mark.parametrize("merge", [Merge.PULL, Merge.PUSH])
def test_full_vg_postpones_merge_and_volume_stays_usable(merge: Merge) -> None:
    host = chain(2)
    before = contents(host)
    host.scatter(S1 if merge is Merge.PUSH else S2, 30 * MIB)
    picture = host.observe()
    host.run(LvCreate("other", (picture.free_extents - 2) * picture.extent_size_bytes, ()))
    for attempt in (lambda: storage(host).apply(DeleteSnapshot(DISK, "s1", merge)), lambda: storage(host).recover()):
        with pytest.raises(OperationCut, match="no space in sim") as cut:
            attempt()
        assert isinstance(cut.value.cause, NoSpace)
        assert contents(host)[None] == before[None]
        assert contents(host)["s2"] == before["s2"]
        assert storage(host).volume(DISK.text).path().name == DISK.text
    host.state.lvs.pop("other")
    storage(host).recover()
    assert contents(host) == {snapshot: content for snapshot, content in before.items() if snapshot != "s1"}
