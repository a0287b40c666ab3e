"""More room for an image that found none."""

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
from lvmqcow.testing.simulated.host import SimHost
from tests.support.scenarios import DISK, MIB, RAW, chain, contents, raw_volume, storage

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
def test_the_lv_that_is_written_to_grows_and_its_image_is_made_what_it_was(step: Step, steps: tuple[Step, ...]) -> None:
    assert room(step) == steps


@pytest.mark.parametrize(
    "step", [QcowRebase(DISK.text, S1, S2), QcowCommit(S2, S1), LvZero(DISK.text), QcowRepairLeaks(S1)]
)
def test_what_failed_of_something_else_is_not_run_again(step: Step) -> None:
    assert room(step, BROKEN) == ()


def test_a_raw_volume_never_becomes_larger_than_it_was_made() -> None:
    step = ImageCopy(DISK.text, DISK.format, RAW.text, RAW.format)
    assert room(step, host=raw_volume(chain(1))) == ()


def test_a_large_lv_grows_by_a_part_of_itself_and_takes_the_last_extents_there_are() -> None:
    host = SimHost(size_bytes=1100 * MIB)
    storage(host).create(DISK.text, 1000 * MIB)
    free = host.observe().free_extents
    assert room(QcowResize(DISK.text, MIB), host=host) == (LvExtend(DISK.text, (1004 + 60) * MIB),)
    host.run(LvCreate("other", (free - 3) * 4 * MIB, ()))
    assert room(QcowResize(DISK.text, MIB), host=host) == (LvExtend(DISK.text, (1004 + 12) * MIB),)


@pytest.mark.parametrize("step", [QcowCommit(S2, S1), LvCreate("x", MIB, ()), LvExtend(S1, 100 * MIB)])
def test_without_extents_there_is_no_space_whoever_took_them(step: Step) -> None:
    host = chain(2)
    picture = host.observe()
    host.run(LvCreate("other", picture.free_extents * picture.extent_size_bytes, ()))
    with pytest.raises(NoSpace):
        room(step, host=host)


@pytest.mark.parametrize("merge", [Merge.PULL, Merge.PUSH])
def test_an_image_full_of_holes_is_given_room_as_often_as_it_takes(merge: Merge) -> None:
    host = chain(2)
    before = contents(host)
    host.scatter(S1 if merge is Merge.PUSH else S2, 30 * MIB)
    storage(host).apply(DeleteSnapshot(DISK, "s1", merge))
    assert contents(host) == {snapshot: content for snapshot, content in before.items() if snapshot != "s1"}
    merged = host.observe().lv(S2)
    assert merged is not None
    assert merged.size_bytes > 34 * MIB


def test_a_merge_that_was_cut_with_the_new_name_and_not_the_data_in_the_header_has_no_path_until_it_is_recovered() -> (
    None
):
    host = chain(2)
    host.run(LvTag((S2,), add=(Pulling(DISK.text).tag,)))
    assert storage(host).volume(DISK.text).path().name == DISK.text
    host.run(QcowRelink(DISK.text, S1))
    with pytest.raises(RecoveryNeeded):
        storage(host).volume(DISK.text).path()
    storage(host).recover()
    assert storage(host).volume(DISK.text).path().name == DISK.text


@pytest.mark.parametrize("merge", [Merge.PULL, Merge.PUSH])
def test_a_merge_that_needs_more_than_there_is_stops_and_goes_on_once_there_is_more(merge: Merge) -> None:
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
