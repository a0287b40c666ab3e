"""On a machine without device-mapper, volumes can be listed, and every change is refused before its first step."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lvmqcow.cli import main
from lvmqcow.errors import UnfitMachine
from lvmqcow.system import requirements

DISK = "vg0/vm-100-disk-0.qcow2"
REPORT = {
    "vg": [
        {
            "vg_name": "vg0",
            "vg_uuid": "FjcV38",
            "vg_seqno": "1",
            "vg_extent_size": "4194304",
            "vg_missing_pv_count": "0",
            "vg_permissions": "writeable",
            "vg_exported": "",
            "vg_systemid": "",
            "vg_lock_type": "",
            "vg_clustered": "",
            "max_lv": "0",
            "vg_allocation_policy": "normal",
        }
    ],
    "pv": [
        {
            "pv_name": "/dev/loop0",
            "pv_uuid": "0kbaOI",
            "pv_size": "100663296",
            "pe_start": "1048576",
            "dev_size": "104857600",
            "pv_allocatable": "allocatable",
            "pv_missing": "",
            "pv_tags": "",
            "pv_mda_used_count": "1",
            "pv_major": "7",
            "pv_minor": "0",
        }
    ],
    "lv": [],
    "pvseg": [{"pv_uuid": "0kbaOI", "pvseg_start": "0", "pvseg_size": "24", "lv_uuid": ""}],
    "seg": [],
}
"""The report of lvm2 2.03.16 on an empty volume group."""


@pytest.fixture
def changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set up the machine. Return the file with one line for each LVM command that changes something."""
    changed = tmp_path / "changes"
    changed.touch()
    (tmp_path / "report.json").write_text(json.dumps({"report": [REPORT]}))
    tools = tmp_path / "tools"
    tools.mkdir()
    lvm = f'case "$1" in fullreport) cat {tmp_path}/report.json ;; *) echo "$@" >> {changed}; exit 5 ;; esac'
    for name, script in (("lvm", lvm), ("dmsetup", "exit 1")):
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    (tmp_path / "misc").write_text("237 loop-control\n")
    monkeypatch.setattr(requirements, "_MISC_DEVICES", tmp_path / "misc")
    monkeypatch.setattr("lvmqcow.cli.common._LOCKS", tmp_path / "locks")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return changed


@pytest.mark.parametrize(
    "argv", [("create", DISK, "--size", "8M"), ("create", "vg0", "--vmid", "100", "--size", "8M")], ids=" ".join
)
def test_create_without_device_mapper_is_refused_before_any_step(
    argv: tuple[str, ...], changes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == UnfitMachine.exit_status
    said = capsys.readouterr().err
    assert "no device-mapper" in said
    assert "lvmqcow lab run" in said
    assert "recover" not in said
    assert changes.read_text() == ""


@pytest.mark.parametrize(
    "argv", [("list", "vg0"), ("check", "vg0"), ("recover", "vg0"), ("create", DISK, "--size", "8M", "--dry-run")]
)
def test_read_only_verbs_work_without_device_mapper(argv: tuple[str, ...], changes: Path) -> None:
    assert main(argv) == 0
    assert changes.read_text() == ""


def test_create_runs_lvm_if_device_mapper_is_present(changes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Here lvm itself fails then. The error says that nothing was changed."""
    (changes.parent / "misc").write_text("236 device-mapper\n")
    assert main(("create", DISK, "--size", "8M")) == 1
    said = capsys.readouterr().err
    assert "Nothing was changed" in said
    assert "recover" not in said
    assert changes.read_text().startswith("lvcreate ")


@pytest.mark.parametrize(
    ("options", "status"),
    [((), pytest.ExitCode.OK), (("--lvmqcow-require-lab",), pytest.ExitCode.TESTS_FAILED)],
    ids=["skipped", "failed"],
)
def test_pytest_fixture_names_missing_device_mapper_before_it_makes_anything(
    changes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], status: pytest.ExitCode
) -> None:
    test = tmp_path / f"test_unmarked_{len(options)}.py"
    test.write_text("def test_it(lvmqcow_vg): raise AssertionError")
    assert pytest.main(["-rs", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), *options, str(test)]) == status
    assert "no device-mapper here: run it with `lvmqcow lab run -- pytest ...`" in capsys.readouterr().out
    assert changes.read_text() == ""
