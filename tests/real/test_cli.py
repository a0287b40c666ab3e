"""The command line on a real volume group: exit statuses, JSON, and no change after a refusal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lvmqcow.cli import main
from lvmqcow.core.group import VolumeGroup
from lvmqcow.lvm import loopvg
from lvmqcow.storage import Storage
from lvmqcow.testing.worlds import RealWorld
from tests.support.terminal import CTRL_C, CTRL_D, answer

pytestmark = pytest.mark.lvmqcow_real

DISK = "vm-100-disk-0.qcow2"


@dataclass(frozen=True)
class Said:
    """The output of a command."""

    stdout: str
    stderr: str


class Cli:
    """Run ``lvmqcow`` on one volume group, in this process, because Python starts slowly in the lab."""

    def __init__(self, world: RealWorld, capsys: pytest.CaptureFixture[str]) -> None:
        self.world = world
        self.vg = world.host.vg
        self._capsys = capsys

    def __call__(self, *argv: str, expect: int = 0) -> Said:
        """Run lvmqcow. ``{vg}`` in a word stands for the volume group."""
        words = [word.replace("{vg}", self.vg) for word in argv]
        try:
            status = main(words)
        except SystemExit as usage:  # from argparse
            status = int(str(usage.code))
        said = Said(*self._capsys.readouterr())
        assert status == expect, f"{words}: {status}, {said}"
        return said

    def json(self, *argv: str) -> dict[str, Any]:
        """The parsed output of the command with ``--json``."""
        document: dict[str, Any] = json.loads(self(*argv, "--json").stdout)
        return document

    def snapshots(self) -> list[str]:
        """The snapshots of the first listed volume."""
        snapshots: list[str] = self.json("list", "{vg}")["volumes"][0]["snapshots"]
        return snapshots

    def picture(self) -> VolumeGroup:
        return self.world.host.observe()


@pytest.fixture
def cli(lvmqcow_world: Callable[[], RealWorld], capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """The command line on an empty volume group."""
    world = lvmqcow_world()
    yield Cli(world, capsys)
    world.close()


@pytest.fixture
def with_snapshots(cli: Cli) -> Cli:
    """The command line on a volume group with a volume that has the snapshots s1 and s2."""
    volume = cli.world.storage.create(DISK, 8 * 1024**2)
    volume.snapshot("s1")
    volume.snapshot("s2")
    return cli


def test_list_and_info_json_have_the_documented_fields(with_snapshots: Cli) -> None:
    (listed,) = with_snapshots.json("list", "{vg}")["volumes"]
    assert listed == {
        "vg": with_snapshots.vg,
        "name": DISK,
        "format": "qcow2",
        "virtual_size_bytes": 8 * 1024**2,
        "lv_size_bytes": 3 * 12 * 1024**2,
        "snapshots": ["s1", "s2"],
        "template": False,
        "base": None,
    }
    info = with_snapshots.json("info", f"{{vg}}/{DISK}")
    layers, group = info.pop("layers"), info.pop("volume_group")
    assert (group["name"], group["allocation_policy"], group["conditions"]) == (with_snapshots.vg, "normal", [])
    assert info == listed
    assert [(layer["lv"], layer["parent"], layer["lv_size_bytes"], layer["allocated_bytes"]) for layer in layers] == [
        (DISK, f"snap-s2-{DISK}", 12 * 1024**2, 0),
        (f"snap-s2-{DISK}", f"snap-s1-{DISK}", 12 * 1024**2, 0),
        (f"snap-s1-{DISK}", None, 12 * 1024**2, 0),
    ]


def test_info_shows_sizes_of_an_inactive_volume_without_activation(with_snapshots: Cli) -> None:
    with_snapshots("resize", f"{{vg}}/{DISK}", "--size", "64M")
    lvs = [f"{with_snapshots.vg}/{lv.name}" for lv in with_snapshots.picture().logical_volumes]
    subprocess.run(["lvchange", "--activate", "n", *lvs], check=True, capture_output=True)
    before = with_snapshots.picture()
    info = with_snapshots.json("info", f"{{vg}}/{DISK}")
    assert info["virtual_size_bytes"] == 64 * 1024**2
    assert [
        (layer["snapshot"], layer["virtual_size_bytes"], layer["lv_size_bytes"], layer["allocated_bytes"])
        for layer in info["layers"]
    ] == [
        (None, 64 * 1024**2, 68 * 1024**2, None),
        ("s2", 8 * 1024**2, 12 * 1024**2, None),
        ("s1", 8 * 1024**2, 12 * 1024**2, None),
    ]
    assert "not active" in with_snapshots("info", f"{{vg}}/{DISK}").stdout
    assert with_snapshots.picture() == before


def test_resize_with_plus_adds_to_the_current_size(cli: Cli) -> None:
    cli("create", "{vg}/vm-100-disk-0", "--size", "8M")
    for _ in range(2):
        cli("resize", "{vg}/vm-100-disk-0", "--size", "+8M")
    assert cli.json("info", "{vg}/vm-100-disk-0")["virtual_size_bytes"] == 24 * 1024**2
    assert cli.json("resize", "{vg}/vm-100-disk-0", "--size", "24M")["commands"] == []


def test_create_finds_a_free_name_and_prints_it(cli: Cli) -> None:
    create = ("create", "{vg}", "--vmid", "100", "--size", "8M")
    assert cli(*create).stdout == f"{cli.vg}/vm-100-disk-0.qcow2\n"
    assert cli(*create, "--format", "raw").stdout == f"{cli.vg}/vm-100-disk-1\n"
    assert cli.json(*create)["volume"] == f"{cli.vg}/vm-100-disk-2.qcow2"
    cli("remove", "{vg}/vm-100-disk-1")
    assert cli(*create).stdout == f"{cli.vg}/vm-100-disk-1.qcow2\n"


def test_concurrent_creates_get_different_names(cli: Cli) -> None:
    command = (sys.executable, "-m", "lvmqcow", "create", cli.vg, "--vmid", "100", "--size", "8M", "--format")
    racing = [
        subprocess.Popen([*command, image_format], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for image_format in ("raw", "qcow2") * 2
    ]
    said = [process.communicate() for process in racing]
    assert [process.returncode for process in racing] == [0] * 4, said
    numbers = {out.strip().removesuffix(".qcow2") for out, _ in said}
    assert len(numbers) == 4, said
    assert {lv.name for lv in cli.picture().logical_volumes} == {out.strip().partition("/")[2] for out, _ in said}
    cli("check", "{vg}")


def test_path_is_the_device_of_the_volume_or_of_a_snapshot(with_snapshots: Cli) -> None:
    assert with_snapshots("path", f"{{vg}}/{DISK}").stdout.strip() == f"/dev/{with_snapshots.vg}/{DISK}"
    snapshot = with_snapshots("path", f"{{vg}}/{DISK}", "s1").stdout.strip()
    assert Path(snapshot).is_block_device()


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (("create", "{vg}/vm-100-disk-0.qcow2", "--size", "8M"), 15),
        (("create", "{vg}/vm-101-disk-0.qcow2", "--size", "1T"), 12),
        (("create", "{vg}/vm-101-disk-0", "--size", "1T"), 12),
        (("snapshot", "{vg}/vm-100-disk-0.qcow2", "s1"), 15),
        (("snapshot", "{vg}/vm-100-disk-0.qcow2", "current"), 2),
        (("snapshot", "{vg}/vm-100-disk-0.qcow2", "x_tdata"), 2),
        (("snapshot", "{vg}/vm-100-disk-0.qcow2", "-s"), 2),
        (("snapshot", "{vg}/vm-100-disk-0.qcow2", "s" * 100), 2),
        (("snapshot", "{vg}/vm-100-disk-0.qcow2", "s-vm-100"), 2),
        (("snapshot", "{vg}/vm-101-disk-0.qcow2", "s1"), 10),
        (("snapshot", "no-such-vg/vm-100-disk-0.qcow2", "s1"), 10),
        (("rollback", "{vg}/vm-100-disk-0.qcow2", "s1"), 13),
        (("rollback", "{vg}/vm-100-disk-0.qcow2", "s3"), 10),
        (("rollback", "{vg}/vm-100-disk-0.qcow2", "s1", "--keep-newer", "--discard-newer"), 2),
        (("delete-snapshot", "{vg}/vm-100-disk-0.qcow2", "s3"), 10),
        (("delete-snapshot", "{vg}/vm-100-disk-0.qcow2", "current"), 10),
        (("remove", "{vg}/vm-101-disk-0.qcow2"), 10),
        (("info", "{vg}/vm-101-disk-0.qcow2"), 10),
        (("path", "{vg}/vm-100-disk-0.qcow2", "s3"), 10),
        (("resize", "{vg}/vm-100-disk-0.qcow2", "--size", "4M"), 13),
        (("resize", "{vg}/vm-100-disk-0.qcow2", "--size", "1T"), 12),
        (("resize", "{vg}/vm-100-disk-0.qcow2", "--size", "+1T"), 12),
        (("resize", "{vg}/vm-100-disk-0.qcow2", "--size", "+64T"), 2),
        (("resize", "{vg}/vm-101-disk-0.qcow2", "--size", "8M"), 10),
        (("create", "{vg}", "--vmid", "100", "--size", "1T"), 12),
        (("create", "no-such-vg", "--vmid", "100", "--size", "8M"), 10),
        (("check", "{vg}/vm-101-disk-0.qcow2"), 10),
        (("list", "no-such-vg"), 10),
        (("loopvg", "destroy", "no-such-vg"), 10),
        (("copy", "{vg}/vm-100-disk-0.qcow2", "vm-100-disk-0.qcow2"), 15),
        (("copy", "{vg}/vm-100-disk-0.qcow2@s3", "vm-200-disk-0"), 10),
        (("copy", "{vg}/vm-101-disk-0.qcow2", "vm-200-disk-0"), 10),
        (("convert", "{vg}/vm-100-disk-0.qcow2"), 13),
        (("convert", "{vg}/vm-101-disk-0"), 10),
        (("convert", "{vg}/vm-100-disk-0.qcow2", "vm-100-disk-1.qcow2"), 2),
    ],
)
def test_refusal_has_its_exit_status_and_changes_nothing(with_snapshots: Cli, argv: Sequence[str], status: int) -> None:
    before = with_snapshots.picture()
    refused = with_snapshots(*argv, expect=status)
    assert refused.stdout == ""
    assert refused.stderr.strip()
    assert with_snapshots.picture() == before


@pytest.mark.parametrize(
    "argv",
    [
        ("create", "{vg}/vm-101-disk-0", "--size", "8M"),
        ("snapshot", "{vg}/vm-100-disk-0.qcow2", "s3"),
        ("rollback", "{vg}/vm-100-disk-0.qcow2", "s2"),
        ("rollback", "{vg}/vm-100-disk-0.qcow2", "s1", "--keep-newer"),
        ("rollback", "{vg}/vm-100-disk-0.qcow2", "s1", "--discard-newer"),
        ("delete-snapshot", "{vg}/vm-100-disk-0.qcow2", "s1"),
        ("resize", "{vg}/vm-100-disk-0.qcow2", "--size", "+56M"),
        ("create", "{vg}", "--vmid", "100", "--size", "8M"),
        ("remove", "{vg}/vm-100-disk-0.qcow2"),
        ("rename", "{vg}/vm-100-disk-0.qcow2", "vm-200-disk-0.qcow2"),
        ("activate", "{vg}/vm-100-disk-0.qcow2"),
        ("deactivate", "{vg}/vm-100-disk-0.qcow2"),
        ("copy", "{vg}/vm-100-disk-0.qcow2", "vm-200-disk-0"),
        ("copy", "{vg}/vm-100-disk-0.qcow2@s1", "vm-200-disk-0.qcow2"),
        ("recover", "{vg}"),
    ],
)
def test_dry_run_prints_the_real_commands_and_changes_nothing(with_snapshots: Cli, argv: Sequence[str]) -> None:
    before = with_snapshots.picture()
    printed = with_snapshots(*argv, "--dry-run").stdout.splitlines()
    assert with_snapshots.picture() == before
    trace = with_snapshots(*argv, "--verbose").stderr.splitlines()
    ran = [line.removeprefix("+ ") for line in trace if line.startswith("+ ")]
    changing = [line for line in ran if not line.startswith(("fullreport", "qemu-img measure", "qemu-img map"))]
    assert printed == changing


def test_commands_of_a_dry_run_work_in_a_shell(with_snapshots: Cli) -> None:
    printed = with_snapshots("snapshot", f"{{vg}}/{DISK}", "s3", "--dry-run").stdout
    subprocess.run(["sh", "-e"], input=printed, text=True, check=True, capture_output=True)
    assert with_snapshots.snapshots() == ["s1", "s2", "s3"]
    with_snapshots("check", "{vg}")


def test_lvm_shell_and_lvm_processes_make_the_same_volume(cli: Cli) -> None:
    for vmid, lvm in ((100, "shell"), (200, "process")):
        for verb in (("create",), ("snapshot", "s1"), ("snapshot", "s2"), ("delete-snapshot", "s1")):
            size = ("--size", "8M") if verb == ("create",) else ()
            cli(verb[0], f"{{vg}}/vm-{vmid}-disk-0.qcow2", *verb[1:], *size, "--lvm", lvm)
    one, other = (
        [
            (lv.name, lv.size_bytes, sorted(lv.tags), lv.active)
            for lv in cli.picture().logical_volumes
            if f"vm-{vmid}-" in lv.name
        ]
        for vmid in (100, 200)
    )
    assert str(one).replace("vm-100", "vm-200") == str(other)


def test_layout_option_applies_to_the_first_snapshot_only(cli: Cli) -> None:
    for number, layout in enumerate(["pve9", "rfc"]):
        name = f"vm-100-disk-{number}.qcow2"
        cli("create", f"{{vg}}/{name}", "--size", "8M")
        cli("snapshot", f"{{vg}}/{name}", "s1", "--layout", layout)
        cli("snapshot", f"{{vg}}/{name}", "s2")
        cli("snapshot", f"{{vg}}/{name}", "s3", "--layout", "rfc" if layout == "pve9" else "pve9")
    pve9 = {f"snap_vm-100-disk-0_{snapshot}.qcow2" for snapshot in ("s1", "s2", "s3")}
    seed = {f"snap-{snapshot}-vm-100-disk-1.qcow2" for snapshot in ("s1", "s2", "s3")}
    assert {name for name in cli.picture().lv_names if name.startswith("snap")} == pve9 | seed
    cli("snapshot", f"{{vg}}/{DISK}", "s4", "--layout", "thin", expect=2)


def test_import_copies_every_byte(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "disk.raw"
    source.write_bytes(os.urandom(3 * 1024**2) + bytes(1024**2) + os.urandom(512))
    for name in ("vm-100-disk-0.qcow2", "vm-100-disk-1"):
        cli("import", str(source), f"{{vg}}/{name}")
        image_format = "qcow2" if name.endswith(".qcow2") else "raw"
        compare = ("qemu-img", "compare", "-f", "raw", "-F", image_format, str(source), f"/dev/{cli.vg}/{name}")
        subprocess.run(compare, check=True, capture_output=True)


def test_advice_of_a_refused_raw_snapshot_works(cli: Cli) -> None:
    cli("create", "{vg}/vm-100-disk-0", "--size", "8M")
    refused = cli("snapshot", "{vg}/vm-100-disk-0", "s1", expect=13).stderr
    assert f"`lvmqcow convert {cli.vg}/vm-100-disk-0`" in refused
    cli("convert", "{vg}/vm-100-disk-0")
    cli("snapshot", "{vg}/vm-100-disk-0.qcow2", "s1")
    refused = cli("convert", "{vg}/vm-100-disk-0.qcow2", expect=13).stderr
    assert f"`lvmqcow copy {cli.vg}/vm-100-disk-0.qcow2 vm-100-disk-0`" in refused
    cli("copy", "{vg}/vm-100-disk-0.qcow2", "vm-100-disk-0")
    assert {lv.name for lv in cli.picture().logical_volumes} == {
        "vm-100-disk-0",
        "vm-100-disk-0.qcow2",
        "snap-s1-vm-100-disk-0.qcow2",
    }


def test_new_raw_volume_reads_zeros_on_used_extents(cli: Cli) -> None:
    cli("create", "{vg}/vm-100-disk-0", "--size", "16M")
    device = Path(f"/dev/{cli.vg}/vm-100-disk-0")
    device.write_bytes(b"\xaa" * 16 * 1024**2)
    cli("remove", "{vg}/vm-100-disk-0")
    cli("create", "{vg}/vm-100-disk-1", "--size", "16M")
    assert not any(Path(f"/dev/{cli.vg}/vm-100-disk-1").read_bytes())


def test_cut_operation_is_reported_refused_and_recovered(with_snapshots: Cli) -> None:
    lines = with_snapshots("snapshot", f"{{vg}}/{DISK}", "s3", "--dry-run").stdout.splitlines()
    subprocess.run(["sh", "-e"], input="\n".join(lines[:3]), text=True, check=True, capture_output=True)
    found = with_snapshots("check", "{vg}", expect=13)
    assert "recover" in found.stdout
    with_snapshots("snapshot", f"{{vg}}/{DISK}", "s4", "--no-recover", expect=13)
    said = with_snapshots("snapshot", f"{{vg}}/{DISK}", "s4").stderr
    assert "finish snapshot" in said
    assert with_snapshots.snapshots() == ["s1", "s2", "s3", "s4"]
    assert "nothing to do" in with_snapshots("recover", "{vg}").stderr


def test_locked_volume_is_refused_but_its_neighbour_is_not(with_snapshots: Cli) -> None:
    target = f"{with_snapshots.vg}--{DISK}"
    lock = f"/run/lock/lvmqcow/{target}"
    Path(lock).parent.mkdir(parents=True, exist_ok=True)
    holder = subprocess.Popen(
        ["flock", lock, "sh", "-c", "echo held; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with_snapshots("snapshot", f"{{vg}}/{DISK}", "s3", expect=11)
    with_snapshots("create", "{vg}/vm-101-disk-0.qcow2", "--size", "8M")
    holder.communicate()
    with_snapshots("snapshot", f"{{vg}}/{DISK}", "s3")


@pytest.mark.parametrize("argv", [("snapshot", "s3"), ("rollback", "s2"), ("delete-snapshot", "s2"), ("remove",)])
def test_change_under_a_running_guest_is_refused(with_snapshots: Cli, argv: tuple[str, ...]) -> None:
    before = with_snapshots.picture()
    with Path(f"/dev/{with_snapshots.vg}/{DISK}").open("r+b"):
        said = with_snapshots(argv[0], f"{{vg}}/{DISK}", *argv[1:], expect=13).stderr
    assert f"process {os.getpid()} " in said
    assert with_snapshots.picture() == before


@pytest.mark.parametrize(
    "verb", [("list", "{vg}"), ("info", f"{{vg}}/{DISK}", "--json"), ("export", f"{{vg}}/{DISK}", "-")]
)
@pytest.mark.parametrize("sink", ["a reader that stopped", "a full disk"])
def test_output_error_is_one_line_on_stderr(with_snapshots: Cli, sink: str, verb: tuple[str, ...]) -> None:
    words = [word.replace("{vg}", with_snapshots.vg) for word in verb]
    if sink == "a full disk":
        stdout = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, stdout = os.pipe()
        os.close(reader)
    argv = (sys.executable, "-m", "lvmqcow", *words)
    done = subprocess.run(argv, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    os.close(stdout)
    assert done.returncode == 1
    assert "Broken pipe" in done.stderr or "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_closed_standard_streams_are_not_replaced_by_a_device(with_snapshots: Cli) -> None:
    """The first opened file gets the lowest free descriptor. An export would write to it if that is 1."""
    before = with_snapshots.world.host.observe()
    for closed in (">&-", "<&- >&- 2>&-"):
        command = f"{sys.executable} -m lvmqcow export {with_snapshots.vg}/{DISK} - {closed}"
        subprocess.run(command, shell=True, check=True)
    assert with_snapshots.world.host.observe() == before
    assert with_snapshots.json("check", "{vg}")["findings"] == []


def test_ctrl_c_exits_130_and_the_volume_recovers(cli: Cli) -> None:
    cli("create", f"{{vg}}/{DISK}", "--size", "256M")
    cli("snapshot", f"{{vg}}/{DISK}", "s1")
    device = f"/dev/{cli.vg}/{DISK}"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 200M", device], check=True, capture_output=True)
    argv = ("delete-snapshot", f"{cli.vg}/{DISK}", "s1", "--merge", "push", "--verbose")
    running = subprocess.Popen([sys.executable, "-m", "lvmqcow", *argv], stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("+ qemu-img commit"):
            break
    running.send_signal(signal.SIGINT)
    said = running.communicate()[1]
    assert running.returncode == 130, said
    assert "recover" in said
    cli("recover", "{vg}")
    cli("check", "{vg}")
    assert cli.snapshots() == []
    read = subprocess.run(
        ["qemu-io", "-r", "-f", "qcow2", "-c", "read -P 7 0 200M", device], capture_output=True, text=True, check=True
    )
    assert "verification failed" not in read.stdout


def test_lvmqcow_needs_less_than_60_mb_of_memory(with_snapshots: Cli) -> None:
    measured = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    target = f"{with_snapshots.vg}/{DISK}"
    for argv in (("info", target), ("delete-snapshot", target, "s1")):
        command = (sys.executable, "-c", measured, sys.executable, "-m", "lvmqcow", *argv)
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert int(printed.splitlines()[-1]) < 60 * 1024  # KiB


@pytest.mark.parametrize("prefix", ["", "{vg}/", "/dev/{vg}/"], ids=["bare", "VG/", "/dev/VG/"])
def test_new_name_may_include_the_vg_of_the_source(with_snapshots: Cli, prefix: str) -> None:
    with_snapshots("copy", f"{{vg}}/{DISK}@s1", f"{prefix}vm-200-disk-0")
    with_snapshots("convert", "{vg}/vm-200-disk-0", f"{prefix}vm-201-disk-0.qcow2")
    with_snapshots("rename", "{vg}/vm-201-disk-0.qcow2", f"{prefix}vm-202-disk-0.qcow2")
    with_snapshots("clone", f"{{vg}}/{DISK}@s2", f"{prefix}vm-203-disk-0.qcow2")
    listed = [volume["name"] for volume in with_snapshots.json("list", "/dev/{vg}")["volumes"]]
    assert listed == [DISK, "vm-202-disk-0.qcow2", "vm-203-disk-0.qcow2"]


def test_json_error_has_sizes_in_bytes_and_a_readable_message(cli: Cli) -> None:
    said = json.loads(cli("create", "{vg}/vm-100-disk-0", "--size", "1T", "--json", expect=12).stderr)
    assert (said["error"], said["vg"], said["needed_bytes"]) == ("NoSpace", cli.vg, 1024**4)
    assert said["free_bytes"] == cli.picture().free_bytes
    assert "1 TiB needed" in said["message"]


@pytest.fixture
def others(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Two more volume groups: one with a volume and one without."""
    full, empty = (f"{kind}-{os.getpid()}" for kind in ("full", "empty"))
    for name in (full, empty):
        loopvg.create(name, 64 * 1024**2, tmp_path / f"{name}.img")
    subprocess.run(["lvcreate", "--yes", "--size", "4M", "--name", "root", empty], check=True, capture_output=True)
    with Storage.open(full) as storage:
        storage.create("vm-300-disk-0", 4 * 1024**2)
    yield full, empty
    for name in (full, empty):
        loopvg.destroy(name)


def test_list_without_a_vg_shows_all_vgs_with_volumes(with_snapshots: Cli, others: tuple[str, str]) -> None:
    full, empty = others
    listed = [(volume["vg"], volume["name"]) for volume in with_snapshots.json("list")["volumes"]]
    assert {(with_snapshots.vg, DISK), (full, "vm-300-disk-0")} <= set(listed)
    assert empty not in {vg for vg, _ in listed}
    head, *rows = with_snapshots("list").stdout.splitlines()
    assert head.split()[:2] == ["VG", "volume"]
    assert {tuple(row.split()[:2]) for row in rows} == set(listed)


def test_list_reports_an_unreadable_vg_and_shows_the_others(
    with_snapshots: Cli, others: tuple[str, str], tmp_path: Path
) -> None:
    """If two volume groups have the same name, LVM reads neither of them by name."""
    full, twice = others[0], f"twice-{os.getpid()}"
    first = loopvg.create(twice, 64 * 1024**2, tmp_path / "first.img")
    subprocess.run(["losetup", "--detach", first.device], check=True)
    second = loopvg.create(twice, 64 * 1024**2, tmp_path / "second.img")
    with Storage.open(twice) as storage:
        storage.create("vm-400-disk-0", 4 * 1024**2)
    attach = ["losetup", "--find", "--show", str(first.file)]
    device = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
    try:
        said = with_snapshots("list", expect=1)
        listed = {tuple(row.split()[:2]) for row in said.stdout.splitlines()[1:]}
        assert {(with_snapshots.vg, DISK), (full, "vm-300-disk-0")} <= listed, said
        assert twice not in {vg for vg, _ in listed}, said
        assert f"the volumes of {twice} are not listed" in said.stderr
        said = with_snapshots("list", "--json", expect=1)
        assert twice not in {volume["vg"] for volume in json.loads(said.stdout)["volumes"]}
        lines = [json.loads(line) for line in said.stderr.splitlines()]  # LVM warns of this too
        assert [twice in line["message"] for line in lines if "error" in line] == [True], said
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
        assert loopvg.find(twice).device == second.device
        loopvg.destroy(twice)


def test_vg_with_damaged_metadata_does_not_disturb_others(with_snapshots: Cli, tmp_path: Path) -> None:
    """LVM prints remarks about it inside its reports whenever it scans all disks."""
    group = loopvg.create(f"damaged-{os.getpid()}", 64 * 1024**2, tmp_path / "damaged.img")
    text = group.file.read_bytes()[: 1024**2]
    with group.file.open("r+b") as file:
        for found in re.finditer(re.escape(f"{group.name} {{".encode()), text):
            file.seek(found.start())
            file.write(b"[[[[")
    try:
        for verb in (("list",), ("list", "{vg}"), ("check", "{vg}"), ("snapshot", f"{{vg}}/{DISK}", "s3")):
            with_snapshots(*verb)
        assert DISK in with_snapshots("list").stdout
    finally:
        subprocess.run(["losetup", "--detach", group.device], check=True)


def test_destructive_verb_at_a_terminal_changes_nothing_without_yes(with_snapshots: Cli, tmp_path: Path) -> None:
    def at_a_terminal(keys: str, *argv: str) -> tuple[int, str]:
        return answer((sys.executable, "-m", "lvmqcow", *argv), keys)

    volume, before = f"{with_snapshots.vg}/{DISK}", with_snapshots.picture()
    for keys in ("n\n", CTRL_C, CTRL_D):
        for verb in (("remove", volume), ("rollback", volume, "s1", "--discard-newer")):
            status, shown = at_a_terminal(keys, *verb)
            assert status == 1, shown
            assert "s2" in shown
            assert with_snapshots.picture() == before
    status, shown = at_a_terminal("y\n", "rollback", volume, "s1", "--discard-newer")
    assert (status, "remove its snapshot s2?" in shown) == (0, True), shown
    assert with_snapshots.snapshots() == ["s1"]
    status, shown = at_a_terminal("yes\n", "remove", volume)
    assert (status, f"remove {volume} with its snapshot s1?" in shown) == (0, True), shown
    assert with_snapshots.picture().logical_volumes == ()

    name = f"asked-{os.getpid()}"
    group = loopvg.create(name, 64 * 1024**2, tmp_path / "asked.img")
    with_snapshots("create", f"{name}/vm-1-disk-0", "--size", "4M")
    status, shown = at_a_terminal("n\n", "loopvg", "destroy", name)
    assert (status, f"{name} with vm-1-disk-0 and its file {group.file}?" in shown) == (1, True), shown
    assert loopvg.find(name).file.exists()
    assert at_a_terminal("y\n", "loopvg", "destroy", name)[0] == 0
    assert not group.file.exists()
