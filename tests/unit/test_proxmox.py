"""The methods of the Proxmox VE storage plugin, on simulated volume groups."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest

from lvmqcow import proxmox as plugin
from lvmqcow.core.names import Format
from lvmqcow.errors import FormatMismatch, InvalidName, NewerSnapshots, NotPossible, SnapshotNotFound
from lvmqcow.operations import Newer
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    RAW,
    chain,
    contents,
    inactive,
    pve9,
    raw_volume,
    storage,
)
from lvmqcow.testing.content import Content
from lvmqcow.testing.simulated.host import SimHost
from lvmqcow.testing.simulated.state import stream_path

_OF_THE_PATCH = """
    plugindata parse_volname filesystem_path find_free_diskname alloc_image free_image activate_volume deactivate_volume
    volume_resize volume_size_info volume_snapshot volume_rollback_is_possible volume_snapshot_rollback
    volume_snapshot_delete volume_has_feature rename_volume get_snap_name get_snap_volname
"""
_AROUND_IT = """
    list_images volume_snapshot_info create_base clone_image volume_export volume_export_formats volume_import
    volume_import_formats
"""


def test_plugin_has_every_method_of_the_patch() -> None:
    verbs = {name for name in plugin.__all__ if name.islower()}
    assert verbs == {*_OF_THE_PATCH.split(), *_AROUND_IT.split()}
    assert all(getattr(plugin, name).__doc__ for name in verbs)


def test_plugindata_declares_both_formats_with_raw_as_default() -> None:
    declared = plugin.plugindata()
    assert (declared.format, declared.default_format) == (frozenset(Format), Format.RAW)
    assert declared.default_content <= declared.content


def test_parse_volname_gives_guest_and_format() -> None:
    assert plugin.parse_volname(DISK.text) == ("images", DISK.text, 100, Format.QCOW2)
    assert plugin.parse_volname(RAW.text) == ("images", RAW.text, 100, Format.RAW)
    with pytest.raises(InvalidName):
        plugin.parse_volname("base")


def test_alloc_image_uses_a_free_or_given_name_of_its_guest() -> None:
    one = storage(chain(0))
    assert plugin.find_free_diskname(one, 100, "qcow2") == "vm-100-disk-1.qcow2"
    assert plugin.alloc_image(one, 100, "qcow2", None, 4096) == "vm-100-disk-1.qcow2"
    assert plugin.alloc_image(one, 100, "raw", RAW.text, 4096) == RAW.text
    assert plugin.volume_size_info(one, "vm-100-disk-1.qcow2").size_bytes == 4 * MIB
    with pytest.raises(InvalidName):
        plugin.alloc_image(one, 200, "raw", "vm-100-disk-9", 4096)
    with pytest.raises(FormatMismatch):
        plugin.alloc_image(one, 100, "raw", "vm-100-disk-9.qcow2", 4096)


def test_list_images_shows_one_guest_with_virtual_sizes() -> None:
    host = chain(1, raw_volume())
    storage(host).create("vm-200-disk-0", MIB)
    assert [info.name for info in plugin.list_images(storage(host), 100)] == [DISK.text, RAW.text]
    assert len(plugin.list_images(storage(host))) == 3
    size = plugin.volume_size_info(storage(host), DISK.text)
    assert (size.size_bytes, size.format, size.parent) == (4 * MIB, Format.QCOW2, "s1")
    assert size.used_bytes > 4 * MIB
    assert plugin.volume_size_info(storage(host), DISK.text, "s1").parent is None


@pytest.mark.parametrize("meet", [lambda host: host, inactive], ids=["active", "inactive"])
def test_volume_snapshot_info_gives_order_parent_and_child(meet: Callable[[SimHost], SimHost]) -> None:
    told = plugin.volume_snapshot_info(storage(meet(chain(2))), DISK.text)
    assert [(name, info.order, info.parent, info.child) for name, info in told.items()] == [
        ("current", 0, "s2", None),
        ("s2", 1, "s1", "current"),
        ("s1", 2, None, "s2"),
    ]
    assert told["s1"].file == f"/dev/sim/snap-s1-{DISK}"
    assert told["s1"].virtual_size_bytes == 4 * MIB


def test_volume_snapshot_info_prefers_the_child_in_the_chain() -> None:
    host = chain(2)
    storage(host).volume(DISK.text).rollback("s1", Newer.KEEP)
    told = plugin.volume_snapshot_info(storage(host), DISK.text)
    assert told["s1"].child == "current"
    assert (told["s2"].parent, told["s2"].child) == ("s1", None)


def test_volume_snapshot_info_of_a_raw_volume_is_empty() -> None:
    assert plugin.volume_snapshot_info(storage(raw_volume()), RAW.text) == {}


def test_snapshot_path_and_lv_name_follow_the_layout() -> None:
    ours, theirs = storage(chain(1)), storage(pve9(chain(1)))
    assert plugin.get_snap_name(ours, DISK.text) == plugin.get_snap_name(ours, DISK.text, "current") == DISK.text
    assert plugin.get_snap_name(ours, DISK.text, "s1") == f"snap-s1-{DISK}"
    for get_name in (plugin.get_snap_name, plugin.get_snap_volname):
        assert get_name(theirs, DISK.text, "s1") == "snap_vm-100-disk-0_s1.qcow2"
    assert plugin.filesystem_path(ours, DISK.text, "s1") == f"/dev/sim/snap-s1-{DISK}"


def test_rollback_past_newer_snapshots_lists_the_blockers() -> None:
    host = chain(3)
    assert plugin.volume_rollback_is_possible(storage(host), DISK.text, "s3")
    blockers: list[str] = []
    with pytest.raises(NewerSnapshots):
        plugin.volume_rollback_is_possible(storage(host), DISK.text, "s1", blockers)
    assert blockers == ["s2", "s3"]
    with pytest.raises(SnapshotNotFound):
        plugin.volume_rollback_is_possible(storage(host), DISK.text, "s9")


@pytest.mark.parametrize(
    ("feature", "base", "current", "snap", "raw"),
    [
        ("copy", True, True, True, True),
        ("rename", True, True, False, True),
        ("snapshot", False, True, True, False),
        ("template", False, True, False, False),
        ("clone", True, False, True, False),
        ("sparseinit", False, False, False, False),
    ],
)
def test_volume_has_feature_depends_on_format_and_kind(
    feature: str, base: bool, current: bool, snap: bool, raw: bool
) -> None:
    host = raw_volume(chain(1, chain(1), NEIGHBOUR))
    storage(host).volume(NEIGHBOUR.text).template()
    one = storage(host)
    assert plugin.volume_has_feature(one, feature, NEIGHBOUR.text) == base
    assert plugin.volume_has_feature(one, feature, DISK.text) == current
    assert plugin.volume_has_feature(one, feature, DISK.text, "current") == current
    assert plugin.volume_has_feature(one, feature, DISK.text, "s1") == snap
    assert plugin.volume_has_feature(one, feature, RAW.text) == raw


def test_declared_features_work_and_others_are_refused() -> None:
    host = raw_volume(chain(1))
    one = storage(host)
    with pytest.raises(NotPossible):
        plugin.volume_snapshot(one, RAW.text, "s1")
    with pytest.raises(NotPossible):
        plugin.create_base(one, RAW.text)
    assert plugin.create_base(one, DISK.text) == DISK.text
    clone = plugin.clone_image(one, DISK.text, 200)
    assert re.fullmatch(r"vm-200-disk-\d\.qcow2", clone)
    assert plugin.volume_size_info(one, clone).parent == DISK.text


def test_volume_lifecycle_works_through_the_plugin() -> None:
    host = chain(0)
    one, name, before = storage(host), DISK.text, contents(host)[None]
    plugin.volume_snapshot(one, name, "s1")
    plugin.volume_resize(one, name, 8 * MIB)
    plugin.volume_snapshot_rollback(one, name, "s1")
    plugin.volume_snapshot_delete(one, name, "s1")
    plugin.deactivate_volume(one, name)
    plugin.activate_volume(one, name)
    name = plugin.rename_volume(one, name, 300)
    assert name == "vm-300-disk-0.qcow2"
    assert host.read(name) == before
    plugin.free_image(one, name)
    assert plugin.list_images(one) == ()


def test_volume_import_and_export_use_only_raw_with_size() -> None:
    reader, writer = os.pipe()
    try:
        os.write(writer, (4 * MIB).to_bytes(8, "little"))
        sent = Content(4 * MIB, {3: 7})
        host = SimHost(files={stream_path(reader): sent})
        assert plugin.volume_import(storage(host), reader, DISK.text, "raw+size") == DISK.text
        assert contents(host) == {None: sent}
        assert plugin.volume_import_formats() == plugin.volume_export_formats() == ("raw+size",)
        for format in ("raw", "qcow2+size", "tar+size"):
            with pytest.raises(NotPossible):
                plugin.volume_import(storage(host), reader, NEIGHBOUR.text, format)
            with pytest.raises(NotPossible):
                plugin.volume_export(storage(host), writer, DISK.text, format)
    finally:
        os.close(reader)
        os.close(writer)
