"""The search for volume groups with volumes, from one LVM report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from lvmqcow.lvm.commands import LvmProcesses
from lvmqcow.lvm.groups import groups_with_volumes

ROWS = [
    ("home", "root", ""),
    ("home", "swap", "pve-vm-x"),
    ("raw", "vm-100-disk-0", "pve-vm-100"),
    ("untagged", "vm-7-cloudinit", ""),
    ("qcow2", "vm-100-disk-0.qcow2", "pve-vm-100,pve-vm-100-disk-0.qcow2"),
    ("qcow2", "other", ""),
    ("snapshot", "snap-s1-vm-100-disk-0.qcow2", "pve-vm-100,pve-vm-100-disk-0.qcow2"),
    ("base", "base-100-disk-0", ""),
    ("empty", "", ""),
]


def answering(directory: Path, rows: Sequence[tuple[str, str, str]]) -> str:
    """A directory for PATH, with an ``lvm`` that prints this report and a remark, as LVM does."""
    named = [dict(zip(("vg_name", "lv_name", "lv_tags"), row, strict=True)) for row in rows]
    script = directory / "lvm"
    remark = 'eval "echo Retrying metadata scan. >&${LVM_OUT_FD:-1}"'
    script.write_text(f"#!/bin/sh\n{remark}\ncat <<'END'\n{json.dumps({'report': [{'vg': named}]})}\nEND\n")
    script.chmod(0o755)
    return str(directory)


@pytest.mark.parametrize(
    ("rows", "groups"), [(ROWS, ("qcow2", "raw", "snapshot", "untagged")), (ROWS[:2], ()), ([], ())]
)
def test_vg_with_a_named_or_tagged_volume_lv_is_found(
    rows: Sequence[tuple[str, str, str]], groups: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", answering(tmp_path, rows), prepend=":")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert groups_with_volumes(LvmProcesses()) == groups
