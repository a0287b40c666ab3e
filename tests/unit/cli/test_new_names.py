"""A new volume is named ``NEWVOLUME`` or ``VG/NEWVOLUME``, as in lvm2. Another volume group is refused."""

from __future__ import annotations

import pytest

from lvmqcow.cli import main
from lvmqcow.cli.common import new_volume
from lvmqcow.core.names import parse_volume_name
from lvmqcow.errors import InvalidName

SOURCE = "vm-100-disk-0.qcow2"
VERBS = [
    ("copy", f"vg0/{SOURCE}@s1", "vm-200-disk-0"),
    ("copy", f"/dev/vg0/{SOURCE}", "vm-200-disk-0"),
    ("clone", f"vg0/{SOURCE}@s1", "vm-200-disk-0.qcow2"),
    ("rename", f"vg0/{SOURCE}", "vm-200-disk-0.qcow2"),
    ("convert", f"vg0/{SOURCE}", "vm-200-disk-0"),
]


@pytest.mark.parametrize("prefix", ["", "vg0/", "/dev/vg0/"])
@pytest.mark.parametrize("name", ["vm-200-disk-0", SOURCE])
def test_new_name_may_include_the_vg_of_the_source(prefix: str, name: str) -> None:
    assert new_volume(f"{prefix}{name}", "vg0") == parse_volume_name(name)


@pytest.mark.parametrize(
    "text", ["vg0/", "/vm-200-disk-0", "vg0/vg0/vm-200-disk-0", "/dev/vg0", "vg0/disk", "vg0/vm-2-a@s"]
)
def test_invalid_new_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidName):
        new_volume(text, "vg0")


@pytest.mark.parametrize("prefix", ["vg1/", "/dev/vg1/", "VG0/"])
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_new_name_in_another_vg_is_refused_with_an_alternative(
    verb: tuple[str, str, str], prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main((*verb[:2], f"{prefix}{verb[2]}")) == 2
    said = capsys.readouterr()
    assert f"{prefix}{verb[2]}" in said.err
    assert "vg0, the same volume group as the source" in said.err
    assert "`lvmqcow export` and `lvmqcow import`" in said.err
    assert said.out == ""
