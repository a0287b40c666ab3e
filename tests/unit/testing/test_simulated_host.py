"""The simulated host refuses the same steps as lvm2 and qemu-img, and leaves old bytes like they do."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvmqcow.core.holder import Holder, HolderKind
from lvmqcow.core.names import Format, Layout, snapshot_lv_name
from lvmqcow.core.qcow2 import OURS, ImageOptions
from lvmqcow.errors import CommandFailed
from lvmqcow.formats import SourceFormat
from lvmqcow.steps import (
    ImageWrite,
    LvActivate,
    LvAutoactivation,
    LvCreate,
    LvDeactivate,
    LvDiscardRange,
    LvExtend,
    LvPermission,
    LvRemove,
    LvRename,
    LvTag,
    LvZero,
    LvZeroRange,
    Permission,
    QcowCommit,
    QcowCreate,
    QcowRebase,
    QcowRelink,
    QcowRepairLeaks,
    QcowResize,
    Step,
)
from lvmqcow.testing.cases.scenarios import (
    DISK,
    FILES,
    MIB,
    PVE_BASE,
    RAW_FILE,
    chain,
    inactive,
    raw_volume,
    run,
    state,
)
from lvmqcow.testing.content import BLOCK_BYTES, Content, GuestWrites, Write
from lvmqcow.testing.simulated.host import SimHost
from lvmqcow.testing.simulated.measure import fully_allocated_bytes
from lvmqcow.testing.strategies import writes

GIB = 1024**3
EVEN = [25 * GIB, 26 * GIB, 100 * GIB, 1024 * GIB, 16 * 1024 * GIB, 512, 128 * 1024, 4 * MIB]


EVERY_OPTIONS = pytest.mark.parametrize("options", [OURS, PVE_BASE, ImageOptions(64 * 1024, extended_l2=True)], ids=str)


def measured_bytes(size_bytes: int, options: ImageOptions) -> int:
    argv = ("qemu-img", "measure", "--output=json", "-O", "qcow2", "-o", str(options), "--size", str(size_bytes))
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return int(json.loads(done.stdout)["fully-allocated"])


@EVERY_OPTIONS
@pytest.mark.parametrize("size_bytes", EVEN)
def test_measured_size_is_right_where_the_rfc_formula_is_wrong(size_bytes: int, options: ImageOptions) -> None:
    assert fully_allocated_bytes(size_bytes, options) == measured_bytes(size_bytes, options)


@EVERY_OPTIONS
@given(
    size_bytes=st.integers(1, 16 * 1024 * GIB // 512).map(lambda sectors: sectors * 512)
    | st.builds(
        lambda power, more: min(16 * 1024 * GIB, (1 << power) + more * 512), st.integers(9, 44), st.integers(0, 3)
    )
)
def test_measured_size_agrees_with_qemu_img(options: ImageOptions, size_bytes: int) -> None:
    assert fully_allocated_bytes(size_bytes, options) == measured_bytes(size_bytes, options)


def images(*layers: str) -> SimHost:
    """A chain of overlays of 4 MiB. Each has one block of its own."""
    host, below = SimHost(files=FILES), None
    for number, name in enumerate(layers):
        host.run(LvCreate(name, 8 * MIB, ()))
        host.run(QcowCreate(name, 4 * MIB, below))
        host.guest_write(name, [Write(0, 1, number + 1), Write(number + 10, 1, number + 1)])
        below = name
    return host


@pytest.mark.parametrize(
    "step",
    [
        LvCreate("base", MIB, ()),
        LvCreate("new", 5 * GIB, ()),
        LvRename("missing", "x"),
        LvRename("base", "top"),
        LvRemove(("missing",)),
        LvExtend("base", 8 * MIB),
        LvExtend("base", 5 * GIB),
        LvExtend("missing", 5 * GIB),
        LvTag(("missing",), add=("x",)),
        LvActivate(("missing",)),
        LvDeactivate(("missing",)),
        LvZero("missing"),
        LvZeroRange("missing", 0, 4096),
        LvZeroRange("raw", 4 * MIB, 4096),
        LvZeroRange("base", 4096, 4096),
        LvZeroRange("off", 0, 4096),
        LvDiscardRange("off", 0, 4096),
        LvDiscardRange("missing", 0, 4096),
        LvDiscardRange("raw", 4 * MIB, 4096),
        QcowCreate("missing", MIB),
        QcowCommit("base", "base"),
        QcowCommit("raw", "base"),
        QcowCommit("off", "base"),
        QcowRebase("off", None, "base"),
        QcowRebase("base", "missing", "base"),
        QcowRelink("raw", "base"),
        QcowRepairLeaks("raw"),
        QcowResize("raw", 8 * MIB),
        QcowResize("base", 2 * MIB),
        QcowResize("off", 8 * MIB),
        ImageWrite(RAW_FILE, SourceFormat.RAW, "base", Format.RAW),
    ],
    ids=lambda step: f"{type(step).__name__} {getattr(step, 'lv', '')}",
)
def test_step_that_the_tools_refuse_is_refused_without_changes(step: Step) -> None:
    host = run(
        images("base", "top"),
        LvCreate("raw", MIB, ()),
        LvCreate("off", 8 * MIB, ()),
        QcowCreate("off", 4 * MIB, "base"),
        LvDeactivate(("off",)),
    )
    before = state(host)
    with pytest.raises(CommandFailed) as failed:
        host.run(step)
    assert failed.value.argv == step.argv("sim")
    assert state(host) == before


def test_merge_into_an_lv_that_is_too_small_is_refused() -> None:
    small = run(images("base", "top"), LvCreate("small", 4 * MIB, ()), QcowCreate("small", 4 * MIB, "base"))
    above = run(small, LvCreate("above", 8 * MIB, ()), QcowCreate("above", 4 * MIB, "small"))
    for step in (QcowRebase("small", None, "base"), QcowCommit("above", "base")):
        with pytest.raises(CommandFailed, match="No space left"):
            above.run(step)


def test_chain_with_a_missing_or_inactive_lv_cannot_be_read() -> None:
    for step in (LvRemove(("base",)), LvDeactivate(("base",)), LvRename("base", "other")):
        host = run(images("base", "top"), step)
        for read in (host.read, host.check):
            with pytest.raises(CommandFailed):
                read("top")


def test_merge_cost_of_a_broken_chain_is_an_error() -> None:
    """``qemu-img map`` opens the whole chain."""
    with pytest.raises(CommandFailed):
        run(images("base", "middle", "top"), LvRemove(("base",))).merge_cost("top")


def test_new_lv_has_old_bytes() -> None:
    host = run(SimHost(), LvCreate("a", MIB, ()))
    assert host.read("a").blocks[1] == 0xAA
    assert host.read("a").blocks.get(0) == 0  # lvcreate wipes the first sector and the signatures
    assert run(host, LvZero("a")).read("a") == Content(4 * MIB)
    assert run(host, QcowCreate("a", 512 * 1024)).read("a") == Content(512 * 1024)


@pytest.mark.parametrize("before", [[], [LvZero("a")]], ids=["never zeroed", "zeroed"])
def test_extended_part_of_an_lv_has_old_bytes(before: list[Step]) -> None:
    host = run(SimHost(), LvCreate("a", 4 * MIB, ()), *before, LvExtend("a", 8 * MIB))
    blocks = host.read("a").blocks
    assert {blocks[block] for block in range(1024, 2048)} == {0xAA}
    zeroed = run(host, LvZeroRange("a", 4 * MIB, 2 * MIB)).read("a").blocks
    assert {zeroed[block] for block in range(1024, 1536)} == {0}
    assert {zeroed[block] for block in range(1536, 2048)} == {0xAA}
    assert zeroed.get(1023) == blocks.get(1023)


def test_zeroed_header_destroys_an_image_but_not_its_other_bytes() -> None:
    host = run(images("base"), LvZeroRange("base", 0, 4 * MIB))
    with pytest.raises(CommandFailed, match="not in qcow2"):
        host.check("base")
    blocks = host.read("base").blocks
    assert {blocks.get(block) for block in range(1024)} == {0}
    assert {blocks.get(block) for block in range(1024, 2048)} == {0xAA}


def test_discarded_data_can_still_be_read() -> None:
    host = images("base")
    assert run(host, LvDiscardRange("base", 0, 8 * MIB)).read("base") == host.read("base")


@pytest.mark.parametrize(
    ("steps", "wiped"),
    [
        ([], False),
        ([LvZero("base")], True),
        ([LvZeroRange("base", 0, 8 * MIB)], True),
        ([LvZeroRange("base", 0, 3 * MIB), LvZeroRange("base", 3 * MIB, 5 * MIB)], True),
        ([LvZeroRange("base", 0, 3 * MIB), LvZeroRange("base", 4 * MIB, 4 * MIB)], False),
        ([LvZeroRange("base", 0, 4 * MIB)], False),
        ([LvDiscardRange("base", 0, 8 * MIB)], True),
        ([LvDiscardRange("base", 0, 3 * MIB), LvDiscardRange("base", 3 * MIB, 5 * MIB)], True),
        ([LvDiscardRange("base", 0, 3 * MIB), LvDiscardRange("base", 4 * MIB, 4 * MIB)], False),
    ],
)
def test_lv_freed_without_a_wipe_is_recorded(steps: list[Step], wiped: bool) -> None:
    host = run(images("base"), *steps, LvRename("base", "del-base"), LvRemove(("del-base",)))
    assert host.freed_unwiped == (() if wiped else ("del-base",))
    assert host.copy().freed_unwiped == host.freed_unwiped


def test_resized_image_reads_zeros_in_the_new_part() -> None:
    host = images("base", "top")
    grown = run(host, QcowResize("top", 8 * MIB))
    assert grown.read("top") == Content(8 * MIB, host.read("top").blocks)
    assert grown.read("base") == host.read("base")
    assert state(run(grown, QcowResize("top", 8 * MIB))) == state(grown)


@given(drawn=writes(100))
def test_guest_reads_back_its_writes(drawn: list[Write]) -> None:
    host = images("base", "top")
    before = host.read("top")
    host.guest_write("top", drawn)
    assert host.read("top") == before.written(drawn)
    assert host.read("base") == images("base").read("base")


@given(base=writes(100), middle=writes(100), top=writes(100))
def test_merge_does_not_change_any_guest_content(base: list[Write], middle: list[Write], top: list[Write]) -> None:
    host = images("base", "middle", "top")
    for name, drawn in (("base", base), ("middle", middle), ("top", top)):
        host.guest_write(name, drawn)
    pulled = run(host, QcowRebase("top", "base", "base"), LvRemove(("middle",)))
    pulled_all = run(host, QcowRebase("top", None, "base"), LvRemove(("middle", "base")))
    pushed = run(host, QcowCommit("top", "base"))
    assert (
        pulled.read("top") == pulled_all.read("top") == pushed.read("top") == pushed.read("middle") == host.read("top")
    )
    assert pulled.read("base") == pushed.read("base") == host.read("base")


@given(base=writes(100), middle=writes(100), top=writes(100))
def test_merge_cost_equals_the_allocated_bytes(base: list[Write], middle: list[Write], top: list[Write]) -> None:
    host = images("base", "middle", "top")
    for name, drawn in (("base", base), ("middle", middle), ("top", top)):
        host.guest_write(name, drawn)
    cost = host.merge_cost("top")
    written = {block for write in top for block in write.blocks} | {0, 12}
    assert cost.push_bytes == len(written) * BLOCK_BYTES
    below = {block for write in middle for block in write.blocks} | {0, 11}
    assert cost.pull_bytes == len(below - written) * BLOCK_BYTES


def test_relink_changes_the_content_until_undone() -> None:
    host = images("base", "middle", "top")
    assert run(host, QcowRelink("top", "base")).read("top") != host.read("top")
    assert run(host, QcowRelink("top", "base"), QcowRelink("top", "middle")).read("top") == host.read("top")


def test_overlay_of_another_size_reads_zeros_beyond_its_backing() -> None:
    host = run(images("base"), LvCreate("small", 8 * MIB, ()), QcowCreate("small", 8192, "base"))
    host = run(host, LvCreate("large", 16 * MIB, ()), QcowCreate("large", 8 * MIB, "small"))
    assert host.read("small") == Content(8192, {0: 1})
    assert host.read("large") == Content(8 * MIB, {0: 1})


def test_tag_added_and_dropped_in_one_step_is_dropped() -> None:
    host = run(images("base"), LvTag(("base",), add=("a", "b")), LvTag(("base",), add=("a",), drop=("a",)))
    lv = host.observe().lv("base")
    assert lv is not None
    assert lv.tags == {"b"}


def test_lv_sizes_are_whole_extents() -> None:
    host = run(SimHost(size_bytes=32 * MIB), LvCreate("a", 5 * MIB, ()), LvCreate("b", 1, ()))
    assert [lv.size_bytes for lv in host.observe().logical_volumes] == [8 * MIB, 4 * MIB]
    assert host.observe().free_extents == 5
    assert run(host, LvExtend("b", 5 * MIB)).observe().free_extents == 4
    assert run(host, LvRemove(("a", "b"))).observe().free_extents == 8


def test_copied_host_is_independent() -> None:
    host = images("base", "top")
    before = state(host)
    twin = host.copy()
    assert state(twin) == before
    twin.guest_write("top", [Write(3, 1, 3)])
    twin.run(LvRemove(("base",)))
    twin.run(LvCreate("more", MIB, ()))
    assert state(host) == before


def test_lv_uuid_survives_a_rename_and_is_unique() -> None:
    host = images("base", "top")
    uuids = {lv.name: lv.uuid for lv in host.observe().logical_volumes}
    renamed = run(host, LvRename("top", "other")).observe().lv("other")
    assert renamed is not None
    assert renamed.uuid == uuids["top"]
    again = run(host, LvRemove(("top",)), LvCreate("top", MIB, ())).observe().lv("top")
    assert again is not None
    assert again.uuid not in uuids.values()


def test_replayed_history_gives_the_same_state() -> None:
    host = inactive(raw_volume(chain(2)))
    again = SimHost(files=FILES)
    for event in host.history:
        if isinstance(event, GuestWrites):
            again.guest_write(event.lv, event.writes)
        else:
            again.run(event)
    assert state(again) == state(host)
    assert again.history == host.history


def test_state_key_differs_for_every_different_state() -> None:
    """Tests skip states with a known key. An equal key for a different state would hide that state."""
    base, lv, snapshot = chain(1), DISK.text, snapshot_lv_name(DISK, "s1", Layout.RFC)
    changes: list[Callable[[SimHost], object]] = [
        lambda host: host.guest_write(lv, [Write(5, 1, 0x77)]),
        lambda host: host.guest_write(lv, [Write(5, 1, 0x78)]),
        lambda host: host.run(QcowRelink(lv, lv)),
        lambda host: host.run(QcowResize(lv, 8 * MIB)),
        lambda host: host.run(LvTag((lv,), add=("x",))),
        lambda host: host.run(LvTag((snapshot,), add=("x",))),
        lambda host: host.run(LvExtend(lv, 64 * MIB)),
        lambda host: host.run(LvDeactivate((lv,))),
        lambda host: host.run(LvRename(lv, "x")),
        lambda host: host.run(LvRemove((lv,))),
        lambda host: host.run(LvPermission(lv, Permission.READ)),
        lambda host: host.run(LvAutoactivation((lv,), True)),
        lambda host: host.run(LvDiscardRange(lv, 0, MIB)),
        lambda host: host.run(LvZero(lv)),
        lambda host: host.lay_out(lv, PVE_BASE),
        lambda host: host.scatter(lv, MIB),
        lambda host: host.hold(lv, Holder(HolderKind.PROCESS, "kvm", 7)),
        lambda host: host.suspend(lv),
        lambda host: host.lose_physical_volume(lv),
        lambda host: host.regroup(lambda vg: replace(vg, exported=True)),
    ]
    keys = [base.key]
    for change in changes:
        host = base.copy()
        change(host)
        keys.append(host.key)
    assert len(set(keys)) == len(keys)
    assert run(base, LvTag((lv,), add=("x",)), LvTag((lv,), drop=("x",))).key == base.key
