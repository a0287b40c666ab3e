"""Names in /dev that belong to a volume group. ``tests/real/test_killed_lvm.py`` uses real devices."""

from __future__ import annotations

from pathlib import Path

import pytest

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume, Stray, StrayKind
from lvmqcow.lvm import devices
from lvmqcow.lvm.devices import DeviceNames, device_names, with_devices

NONE = frozenset[str]()


def picture(*names: str) -> VolumeGroup:
    """A volume group that exists on no machine, with inactive LVs of these names."""
    lvs = tuple(LogicalVolume(name, f"uuid-{name}", 4, frozenset(), active=False) for name in names)
    return VolumeGroup("no-such-group", "vg-uuid", 4, 1, lvs)


def test_links_nodes_and_files_are_distinguished(tmp_path: Path) -> None:
    for directory in ("vg", "mapper"):
        (tmp_path / directory).mkdir()
    (tmp_path / "vg" / "vm-1-a").symlink_to("../mapper/vg-vm--1--a")
    (tmp_path / "vg" / "vm-1-b").write_bytes(b"somebody's only copy")
    (tmp_path / "mapper" / "vg-vm--1--c").symlink_to("../dm-0")
    (tmp_path / "mapper" / "vg-vm--1--d").write_bytes(b"the same, written through a link")
    (tmp_path / "mapper" / "other-vm--1--e").symlink_to("../dm-1")
    found = device_names("vg", tmp_path)
    assert found == DeviceNames(frozenset({"vm-1-a"}), frozenset({"vm-1-c"}), frozenset({"vm-1-b", "vm-1-d"}))


def test_vg_without_a_directory_has_no_names(tmp_path: Path) -> None:
    assert device_names("vg", tmp_path) == DeviceNames(NONE, NONE, NONE)


@pytest.mark.parametrize("name", ["vm-1-a", "vm-1-gone"])
def test_regular_file_is_not_taken_for_a_leftover_of_lvm(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = DeviceNames(NONE, NONE, frozenset({name}))
    monkeypatch.setattr(devices, "device_names", lambda vg: there)
    seen = with_devices(picture("vm-1-a"), there)
    assert seen.strays == (Stray(name, StrayKind.OTHER),)
    assert not any(lv.wrong_in_dev for lv in seen.logical_volumes)


@pytest.mark.parametrize(
    ("uuid", "kind"),
    [
        ("LVM-vguuidremoved", StrayKind.DEVICE),
        ("LVM-anothergroup", StrayKind.OTHER),
        ("mpath-1", StrayKind.OTHER),
        ("", StrayKind.OTHER),
    ],
)
def test_only_devices_of_this_vg_may_be_removed(uuid: str, kind: StrayKind, monkeypatch: pytest.MonkeyPatch) -> None:
    there = DeviceNames(NONE, frozenset({"vm-1-gone"}), NONE)
    monkeypatch.setattr(devices, "device_names", lambda vg: there)
    monkeypatch.setattr(devices, "_mapped", lambda: {"no--such--group-vm--1--gone": uuid})
    assert with_devices(picture(), there).strays == (Stray("vm-1-gone", kind),)
