"""The model of a volume group: volumes, layers, snapshots and leftovers, built from names, tags and headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume, index_tags
from lvmqcow.core.names import Layout, parse_volume_name, snapshot_lv_name
from lvmqcow.core.qcow2 import parse_header
from lvmqcow.core.volume import Volume
from lvmqcow.errors import Corrupt, SnapshotNotFound, VolumeNotFound
from lvmqcow.operations.remove import Removing
from lvmqcow.steps import LvCreate, LvRemove, LvTag
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    RAW,
    beside,
    chain,
    foreign,
    inactive,
    raw_volume,
    run,
    storage,
    tree,
)
from lvmqcow.testing.hostile.qcow2_bytes import header_bytes
from lvmqcow.testing.simulated.host import SimHost

S1, S2 = (snapshot_lv_name(DISK, name, Layout.RFC) for name in ("s1", "s2"))


def volume(host: SimHost) -> Volume:
    return storage(host).picture().volume(DISK)


def lv(name: str, *tags: str, header: bytes = b"") -> LogicalVolume:
    return LogicalVolume(name, "uuid", 8 * MIB, frozenset(tags), True, parse_header(header))


def group(*lvs: LogicalVolume) -> VolumeGroup:
    return VolumeGroup("vg", "uuid", 4 * MIB, 7, lvs)


@given(size_bytes=st.integers(1, 2**60), parent=st.none() | st.just(S1))
def test_index_round_trips_through_its_tags(size_bytes: int, parent: str | None) -> None:
    indexed = lv(DISK.text, *DISK.tags, *index_tags(size_bytes, parent))
    assert (indexed.recorded_size_bytes, indexed.recorded_parent) == (size_bytes, parent)
    assert set(indexed.index_tags) == set(index_tags(size_bytes, parent))


@pytest.mark.parametrize("tags", [("lvmqcow.size=x",), ("lvmqcow.size=",), ("lvmqcow.size=1", "lvmqcow.size=2"), ()])
def test_unreadable_index_is_ignored(tags: tuple[str, ...]) -> None:
    assert lv(DISK.text, *tags).recorded_size_bytes is None


@pytest.mark.parametrize("met", [lambda host: host, inactive, foreign], ids=["active", "inactive", "foreign"])
def test_chain_lists_current_layer_then_newest_to_oldest(met: object) -> None:
    assert callable(met)
    found = volume(met(chain(3)))
    assert [layer.snapshot for layer in found.chain] == [None, "s3", "s2", "s1"]
    assert found.snapshots == ("s1", "s2", "s3")
    assert [layer.virtual_size_bytes for layer in found.chain] == [4 * MIB] * 4


@given(order=st.permutations(range(5)))
def test_report_order_does_not_matter(order: list[int]) -> None:
    picture = storage(chain(4)).picture()
    shuffled = group(*(picture.logical_volumes[index] for index in order))
    assert shuffled.volume(DISK).snapshots == ("s1", "s2", "s3", "s4")


def test_tags_take_precedence_over_the_header() -> None:
    header = header_bytes(size_bytes=2 * MIB, backing=f"/dev/vg/{S1}".encode())
    tagged = group(lv(DISK.text, *index_tags(4 * MIB, S2), header=header)).volume(DISK).current
    untagged = group(lv(DISK.text, header=header)).volume(DISK).current
    neither = group(lv(DISK.text)).volume(DISK).current
    assert (tagged.parent, tagged.virtual_size_bytes) == (S2, 4 * MIB)
    assert (untagged.parent, untagged.virtual_size_bytes) == (S1, 2 * MIB)
    assert (neither.known, untagged.known, untagged.indexed) == (False, True, False)


def test_lv_belongs_to_the_volume_of_its_tag() -> None:
    other = parse_volume_name("vm-1000-disk-0.qcow2")
    picture = group(
        lv(DISK.text, *DISK.tags),
        lv(snapshot_lv_name(DISK, "s1", Layout.RFC), *DISK.tags),
        lv(snapshot_lv_name(other, "s1", Layout.RFC), *other.tags),
        lv(
            snapshot_lv_name(other, "s2", Layout.RFC), *DISK.tags
        ),  # name and tag disagree: it belongs to neither volume
        lv(other.text, *other.tags),
        lv(RAW.text, *RAW.tags),
        lv("root"),
        lv("swap", "pve-vm-100", "pve-vm-100-", "pve-"),
    )
    assert {found.name: [layer.lv.name for layer in found.layers] for found in picture.volumes} == {
        DISK: [DISK.text, S1],
        RAW: [RAW.text],
        other: [snapshot_lv_name(other, "s1", Layout.RFC), other.text],
    }


def test_raw_volume_is_one_layer_of_the_lv_size() -> None:
    found = storage(raw_volume()).picture().volume(RAW)
    assert [(layer.snapshot, layer.parent, layer.virtual_size_bytes) for layer in found.layers] == [
        (None, None, 4 * MIB)
    ]


@pytest.mark.parametrize("name", ["snap-s1-vm-100-disk-2", "new-vm-100-disk-2", "vm-100"])
def test_raw_volume_owns_no_lv_by_a_similar_name(name: str) -> None:
    assert group(lv(name, *RAW.tags)).volumes == ()


def test_leftovers_belong_to_the_volume_but_are_no_layers() -> None:
    host = run(
        chain(1),
        LvCreate(f"new-{DISK}", MIB, DISK.tags),
        LvCreate(f"del-{DISK}", MIB, DISK.tags),
        LvCreate(f"del-2-{S1}", MIB, DISK.tags),
    )
    found = volume(host)
    assert len(found.layers) == 2
    assert found.new is not None
    assert {doomed.name for doomed in found.pending_removals} == {f"del-{DISK}", f"del-2-{S1}"}
    assert {own.name for own in found.logical_volumes} == host.observe().lv_names


def test_doomed_lv_is_ours_only_with_one_of_our_tags() -> None:
    ours = [
        lv(f"del-{DISK}", *DISK.tags, "lvmqcow.wipe=zero"),
        lv(f"del-2-{DISK}", *DISK.tags, "lvmqcow.size=1"),
        lv(f"del-3-{DISK}", *DISK.tags, Removing().tag),
    ]
    found = group(lv(DISK.text, *DISK.tags), *ours, lv(f"del-{S1}", *DISK.tags)).volume(DISK)
    assert found.own_pending_removals == tuple(ours)
    assert [kept.name for kept in found.members] == [DISK.text]


def test_volume_with_only_doomed_lvs_is_gone_but_can_be_found() -> None:
    picture = group(lv(f"del-{DISK}", *DISK.tags, "lvmqcow.wipe=zero"))
    with pytest.raises(VolumeNotFound):
        picture.volume(DISK)
    found = picture.find(DISK)
    assert found is not None
    assert found.layers == ()


def test_children_are_all_layers_backed_by_a_layer() -> None:
    found = volume(beside(chain(2), "b", S1))
    assert {child.snapshot for child in found.children(found.snapshot("s1"))} == {"s2", "b"}
    assert found.snapshots == ("s1", "s2", "b")


@given(order=st.permutations(range(7)))
def test_snapshots_list_the_chain_first_and_then_other_branches(order: list[int]) -> None:
    parents = {"z": None, "b": "z", "c": "z", "a": "b", "d": "a", "e": "c"}
    picture = storage(tree(parents, "c")).picture()
    found = group(*(picture.logical_volumes[index] for index in order)).volume(DISK)
    assert found.snapshots == ("z", "c", "b", "a", "d", "e")
    assert [layer.snapshot for layer in found.chain] == [None, "c", "z"]
    assert [layer.snapshot for layer in found.line(found.snapshot("d"))] == ["d", "a", "b", "z"]


@pytest.mark.parametrize(
    ("broken", "finding"),
    [
        (run(chain(2), LvRemove((DISK.text,))), "no current logical volume"),
        (run(chain(2), LvRemove((S1,))), "which is not there"),
        (run(chain(2), LvTag((S1,), add=(f"lvmqcow.parent={S2}",))), "reads through itself"),
        (run(chain(1), LvTag((S1,), add=(f"lvmqcow.parent={S1}",))), "reads through itself"),
    ],
    ids=["no current LV", "a missing parent", "a circle", "a circle of one"],
)
def test_broken_chain_is_damage_and_still_lists_snapshots(broken: SimHost, finding: str) -> None:
    found = volume(broken)
    with pytest.raises(Corrupt, match=finding):
        _ = found.chain
    there = [name for name in ("s1", "s2") if snapshot_lv_name(DISK, name, Layout.RFC) in broken.observe().lv_names]
    assert sorted(found.snapshots) == there


def test_not_found_error_lists_the_existing_names() -> None:
    picture = chain(2).observe()
    with pytest.raises(VolumeNotFound, match=NEIGHBOUR.text):
        picture.volume(NEIGHBOUR)
    with pytest.raises(SnapshotNotFound, match="s1, s2"):
        picture.volume(DISK).snapshot("s9")


def test_intent_is_found_among_other_tags() -> None:
    assert lv(DISK.text, *DISK.tags, Removing().tag).intent_tags == (Removing().tag,)
    assert lv(DISK.text, *DISK.tags).intent_tags == ()


def test_headers_complete_the_model_and_change_nothing_else() -> None:
    picture = foreign(chain(1)).observe()
    header = parse_header(header_bytes())
    assert header is not None
    filled = picture.with_headers({DISK.text: header})
    assert filled.lv(DISK.text) != picture.lv(DISK.text)
    assert filled.lv(S1) == picture.lv(S1)
    assert filled.with_headers({}) == filled
    assert (filled.free_bytes, filled.lv_names) == (picture.free_bytes, picture.lv_names)
