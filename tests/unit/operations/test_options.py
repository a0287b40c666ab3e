"""Images with other qcow2 options than ours need another LV size, which is measured with their own options.

At 1 TiB an image with the default options of Proxmox VE needs four extents more than ours.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from lvmqcow.checks.structure import Severity
from lvmqcow.core.lv import index_tags
from lvmqcow.core.names import Layout, snapshot_lv_name
from lvmqcow.core.qcow2 import OURS, ImageOptions
from lvmqcow.core.sizing import whole_extents
from lvmqcow.errors import Corrupt
from lvmqcow.operations import DeleteSnapshot, Merge, Request, Resize, Rollback, Snapshot
from lvmqcow.steps import LvExtend, LvTag
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    PVE_BASE,
    chain,
    contents,
    foreign,
    inactive,
    planned,
    pve9,
    refused,
    run,
    storage,
)
from lvmqcow.testing.crash.simulated_cuts import cuts
from lvmqcow.testing.simulated.host import SimHost

TIB = 1024**4
S1 = snapshot_lv_name(DISK, "s1", Layout.PVE9)
TAG = "lvmqcow.image=65536"
PULL, PUSH = (DeleteSnapshot(DISK, "s1", merge) for merge in (Merge.PULL, Merge.PUSH))


def large(depth: int) -> SimHost:
    """A volume as Proxmox VE 9 lays it out, without our tags, in a volume group of 8 TiB."""
    return pve9(chain(depth, SimHost(size_bytes=8 * TIB)))


def options(host: SimHost, lv_name: str) -> tuple[ImageOptions, bool]:
    """The options of an image, and whether the LV has a tag for them."""
    lv = storage(host).picture().lv(lv_name)
    assert lv is not None
    assert lv.header is not None
    return lv.header.options, TAG in lv.tags


def extended(host: SimHost, request: Request) -> list[LvExtend]:
    return [step for step in planned(host, request).steps if isinstance(step, LvExtend)]


def test_pve_options_need_more_extents_than_ours() -> None:
    host = SimHost()
    assert whole_extents(host.measure(TIB, PVE_BASE), 4 * MIB) == whole_extents(host.measure(TIB), 4 * MIB) + 16 * MIB


def test_resize_extends_lv_by_the_options_of_its_image() -> None:
    needed = whole_extents(SimHost().measure(TIB, PVE_BASE), 4 * MIB)
    assert extended(large(0), Resize(DISK, TIB)) == [LvExtend(DISK.text, needed)]
    assert extended(inactive(run(large(0), *planned(large(0), Resize(DISK, 5 * MIB)).steps)), Resize(DISK, TIB)) == [
        LvExtend(DISK.text, needed)
    ]


def test_merge_extends_target_lv_by_the_options_of_its_image() -> None:
    host = large(1)
    grown = run(host, *planned(host, Resize(DISK, TIB)).steps)
    assert extended(grown, PUSH) == [LvExtend(S1, whole_extents(grown.measure(TIB, PVE_BASE), 4 * MIB))]
    assert extended(grown, PULL) == []
    child = grown.copy()
    child.lay_out(DISK.text, PVE_BASE)
    child = run(child, LvTag((DISK.text,), add=(TAG,)))
    assert extended(child, PULL) == [LvExtend(DISK.text, whole_extents(grown.measure(TIB, PVE_BASE), 4 * MIB))]


def test_push_keeps_options_of_snapshot_and_pull_those_of_child() -> None:
    for request, left in ((PUSH, (PVE_BASE, True)), (PULL, (OURS, False))):
        host = large(1)
        before = contents(host)
        after = run(host, *planned(host, request).steps)
        assert options(after, DISK.text) == left
        assert contents(after) == {None: before[None]}
        assert storage(after).check() == ()


def test_new_overlay_has_our_options_over_any_backing_image() -> None:
    host = run(large(0), *planned(large(0), Snapshot(DISK, "s1")).steps)
    frozen = snapshot_lv_name(DISK, "s1", Layout.RFC)
    assert (options(host, frozen), options(host, DISK.text)) == ((PVE_BASE, True), (OURS, False))


@pytest.mark.parametrize("indexed", [True, False])
def test_rollback_formats_with_our_options_and_drops_the_options_tag(indexed: bool) -> None:
    host = chain(1)
    host.lay_out(DISK.text, PVE_BASE)
    host = run(host, LvTag((DISK.text,), add=(TAG,))) if indexed else foreign(host)
    after = run(host, *planned(host, Rollback(DISK, "s1")).steps)
    assert options(after, DISK.text) == (OURS, False)
    assert storage(after).check() == ()


@pytest.mark.parametrize("request_", [Resize(DISK, TIB), PUSH], ids=["resize", "push"])
def test_recovery_plans_the_same_without_readable_headers(request_: Request) -> None:
    host = large(1) if request_ is PUSH else large(0)
    host = run(host, *planned(host, Resize(DISK, TIB)).steps) if request_ is PUSH else host
    plan = planned(host, request_)
    for cut in cuts(host, plan):
        elsewhere = inactive(cut.host)
        storage(elsewhere).recover()
        storage(cut.host).recover()
        sizes = {lv.name: (lv.size_bytes, lv.tags) for lv in cut.host.observe().logical_volumes}
        assert {lv.name: (lv.size_bytes, lv.tags) for lv in elsewhere.observe().logical_volumes} == sizes, cut


@pytest.mark.parametrize(
    ("header", "tags", "advice"),
    [
        (PVE_BASE, (), f"lvchange --addtag {TAG} sim/{DISK}"),
        (OURS, (TAG,), f"lvchange --deltag {TAG} sim/{DISK}"),
        (PVE_BASE, (f"{TAG}/extended_l2",), f"lvchange --deltag {TAG}/extended_l2 --addtag {TAG} sim/{DISK}"),
        (PVE_BASE, (TAG, "lvmqcow.image=512"), f"lvchange --deltag lvmqcow.image=512 sim/{DISK}"),
        (OURS, ("lvmqcow.image=x",), f"lvchange --deltag lvmqcow.image=x sim/{DISK}"),
    ],
    ids=["no tag", "a tag too many", "another tag", "two tags", "a tag that says nothing"],
)
def test_options_tag_that_contradicts_header_is_damage(
    header: ImageOptions, tags: tuple[str, ...], advice: str
) -> None:
    host = chain(1)
    host.lay_out(DISK.text, header)
    host = run(host, *([LvTag((DISK.text,), add=tags)] if tags else []))
    found = storage(host).check()
    assert {(finding.lv, finding.severity) for finding in found} == {(DISK.text, Severity.DAMAGED)}
    assert {finding.advice for finding in found} == {f"if the header is right: {advice}"}
    assert isinstance(refused(host, Resize(DISK, 64 * MIB)), Corrupt)


@pytest.mark.parametrize(
    "other", [OURS, PVE_BASE, ImageOptions(512, extended_l2=False), replace(PVE_BASE, extended_l2=True)]
)
def test_options_tag_round_trips(other: ImageOptions) -> None:
    host = run(chain(0), LvTag((DISK.text,), add=index_tags(4 * MIB, None, other)))
    lv = host.observe().lv(DISK.text)
    assert lv is not None
    assert lv.recorded_options == other
    assert set(lv.index_tags) == set(index_tags(4 * MIB, None, other))


def test_check_warns_of_an_lv_too_small_for_its_options() -> None:
    host = run(
        chain(0, SimHost(size_bytes=8 * TIB)), *planned(chain(0, SimHost(size_bytes=8 * TIB)), Resize(DISK, TIB)).steps
    )
    assert storage(host).check() == ()
    host.lay_out(DISK.text, PVE_BASE)
    host = run(host, LvTag((DISK.text,), add=(TAG,)))
    (found,) = storage(host).check()
    assert found.severity is Severity.WARNING
    assert str(host.measure(TIB, PVE_BASE)) in found.text
    storage(host).volume(DISK.text).resize(TIB)
    assert storage(host).check() == ()
