"""Bad input is refused with its own error at once. These tests need no volume group and no root."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lvmqcow.cli import main
from lvmqcow.cli.main import parser
from lvmqcow.core.wiping import Wipe
from lvmqcow.formats import SourceFormat
from lvmqcow.testing.cases.scenarios import MIB

VOLUME = "vg0/vm-100-disk-0.qcow2"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("create", "vg0/disk", "--size", "1G"), "vm-<id>-<disk>"),
        (("create", "vg0/vm-x-disk-0", "--size", "1G"), "vm-<id>-<disk>"),
        (("create", "vg0/vm-100-a/b", "--size", "1G"), "vm-<id>-<disk>"),
        (("create", "vg0/vm-100-x_tmeta", "--size", "1G"), "_tmeta"),
        (("create", "vg0", "--size", "1G"), "VG/VOLUME"),
        (("create", VOLUME, "--vmid", "100", "--size", "1G"), "give only VG"),
        (("create", "vg0", "--vmid", "x", "--size", "1G"), "--vmid"),
        (("create", "vg0", "--vmid", "-1", "--size", "1G"), "vm-<id>-<disk>"),
        (("create", "vg0", "--vmid", "100", "--size", "0"), "positive"),
        (("create", "vg0", "--vmid", "100", "--size", "1G", "--format", "vmdk"), "--format"),
        (("resize", VOLUME, "--size", "+0"), "positive"),
        (("resize", VOLUME, "--size", "++1G"), "write a size like 10G"),
        (("resize", VOLUME, "--size=-1G"), "positive"),
        (("resize", VOLUME), "--size"),
        (("rename", VOLUME, "disk"), "vm-<id>-<disk>"),
        (("rename", VOLUME, "vg0/disk"), "vm-<id>-<disk>"),
        (("deactivate", "vg0"), "VG/VOLUME"),
        (("copy", VOLUME), "NEWVOLUME"),
        (("copy", VOLUME, "disk"), "vm-<id>-<disk>"),
        (("copy", f"{VOLUME}@", "vm-200-disk-0"), "VG/VOLUME@SNAPSHOT"),
        (("copy", "vg0@s1", "vm-200-disk-0"), "VG/VOLUME"),
        (("convert", "vg0"), "VG/VOLUME"),
        (("import", "-", VOLUME), "give --size"),
        (("import", "-", VOLUME, "--size", "0"), "positive"),
        (("import", "-", VOLUME, "--source-format", "qcow2", "--size", "1G"), "leave --size out"),
        (("import", "/dev/null", VOLUME, "--size", "1G"), "leave --size out"),
        (("import", "-", VOLUME, "--source-format", "dmg"), "--source-format"),
        (("import", "-", VOLUME, "--source-format", "vmdk", "--size", "1G"), "leave --size out"),
        (("export", "vg0", "out"), "VG/VOLUME"),
        (("export", VOLUME), "FILE"),
        (("export", VOLUME, "out", "--format", "vmdk"), "--format"),
        (("convert", VOLUME, "disk"), "vm-<id>-<disk>"),
        (("create", "-vg/vm-100-disk-0", "--size", "1G"), ""),
        (("create", "v g/vm-100-disk-0", "--size", "1G"), "volume group name"),
        (("create", VOLUME, "--size", "0"), "positive"),
        (("create", VOLUME, "--size=-1G"), "positive"),
        (("create", VOLUME, "--size", "ten"), "write a size like 10G"),
        (("create", VOLUME, "--size", "65T"), "size '65T' is not possible: the largest supported size is 64 TiB"),
        (("create", VOLUME, "--size", "1G", "--format", "raw"), "means qcow2, but the request asks for raw"),
        (
            ("create", "vg0/vm-100-disk-0", "--size", "1G", "--format", "qcow2"),
            "means raw, but the request asks for qcow2",
        ),
        (("loopvg", "create", "..", "--size", "1G"), "volume group name"),
        (("list", "v;g"), "volume group name"),
        (("remove", VOLUME, "--wipe", "shred"), "--wipe"),
        (("remove", VOLUME, "--wipe-rate", "fast"), "write a size like 10G"),
        (("remove", VOLUME, "--wipe-rate", "0"), "positive"),
        (("recover", "vg0", "--wipe-rate", "fast"), "write a size like 10G"),
    ],
)
def test_impossible_command_line_exits_2_with_a_reason(
    argv: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(argv)
    except SystemExit as usage:  # from argparse
        status = int(str(usage.code))
    captured = capsys.readouterr()
    assert status == 2
    assert says in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("variable", "says"), [("LVMQCOW_WIPE", "--wipe"), ("LVMQCOW_WIPE_RATE", "write a size like 10G")]
)
def test_environment_default_is_validated_like_the_option(
    variable: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "fast")
    try:
        status = main(("remove", VOLUME))
    except SystemExit as usage:  # from argparse
        status = int(str(usage.code))
    assert status == 2
    assert says in capsys.readouterr().err


def test_empty_environment_default_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LVMQCOW_WIPE", "LVMQCOW_WIPE_RATE"):
        monkeypatch.setenv(variable, "")
    arguments = parser().parse_args(("remove", VOLUME))
    assert arguments.wipe is Wipe.NONE
    assert not arguments.wipe_rate


def test_json_error_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("create", VOLUME, "--size", "0", "--json")) == 2
    captured = capsys.readouterr()
    document = json.loads(captured.err.splitlines()[0])
    assert document["error"] == "InvalidSize"
    assert document["exit_status"] == 2
    assert captured.out == ""


def test_import_help_lists_every_source_format(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(("import", "--help"))
    said = capsys.readouterr().out
    assert all(each in said for each in SourceFormat)


@pytest.mark.parametrize(
    ("options", "status"), [((), 2), (("--source-format", "raw"), 10), (("--dry-run",), 10)], ids=["", "raw", "dry run"]
)
def test_piped_vmdk_is_refused_unless_declared_raw(options: tuple[str, ...], status: int) -> None:
    """The volume group does not exist, and is looked up last. A dry run reads nothing."""
    argv = (sys.executable, "-m", "lvmqcow", "import", "-", "nowhere/vm-100-disk-0", "--size", "1M", *options)
    done = subprocess.run(argv, input=b"KDMV".ljust(MIB, b"\0"), capture_output=True)
    expected = {status} if status == 2 else {status, 16}  # not root, or lvm2 is missing
    assert done.returncode in expected, done.stderr
    assert (b"the stream is a VMware disk (vmdk)" in done.stderr) == (status == 2)


def test_piped_vmdk_declared_vdi_is_refused_with_the_right_command() -> None:
    argv = (sys.executable, "-m", "lvmqcow", "import", "-", "nowhere/vm-100-disk-0", "--source-format", "vdi")
    done = subprocess.run(argv, input=b"KDMV".ljust(MIB, b"\0"), capture_output=True)
    said = done.stderr.decode()
    assert done.returncode == 2, said
    assert "the stream is a VMware disk (vmdk), and it was declared as vdi" in said
    assert "`lvmqcow import - VG/vm-100-disk-0 --source-format vmdk`" in said


def test_import_of_a_missing_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("import", "/no/such/file", VOLUME)) == 10
    assert "/no/such/file" in capsys.readouterr().err


@pytest.mark.parametrize(("missing", "package"), [("lvm", "lvm2"), ("qemu-img", "qemu-utils")])
def test_missing_tool_is_named_with_its_package(
    missing: str, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: None if name == missing else f"/usr/bin/{name}")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert main(("list", "vg0")) == 16
    assert package in capsys.readouterr().err


def test_missing_root_privilege_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: f"/usr/bin/{name}")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main(("list", "vg0")) == 16
    assert "root" in capsys.readouterr().err
