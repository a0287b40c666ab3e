"""Small parts of the lab that need no kernel."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lvmqcow.lab import LabError, launch, rundir
from lvmqcow.lab.cli import add_parsers, main, parse_size
from lvmqcow.lab.environment import lab_environment
from lvmqcow.lab.guest.job import Job, read_job, settle, write_job
from lvmqcow.lab.guest.wire import Decoder, Frame, Kind, encode, pair, unpair
from lvmqcow.lab.uml.boot import run_in_uml
from lvmqcow.lab.uml.cpu import CPU_VARIABLE, claim_cpu
from tests.support.labs import CHECKOUT

from .test_lab_doctor import NO_UML

JOB = Job(("a", ""), {"X": "\udcff"}, "/a\nb/\udcfe", ("/d",), True, False, (24, 80))


def test_job_round_trips_through_its_file(tmp_path: Path) -> None:
    write_job(JOB, tmp_path / "job.json")
    assert read_job(tmp_path / "job.json") == JOB


def test_settled_job_names_its_devices() -> None:
    job = settle(JOB, Path("/run/lvm-home"), ["/dev/ubda", "/dev/ubdb"])
    assert job.disks == ("/dev/ubda", "/dev/ubdb")
    assert job.environment["LVMQCOW_LAB_DISKS"] == "/dev/ubda /dev/ubdb"
    assert job.environment["LVM_SYSTEM_DIR"] == "/run/lvm-home"


@pytest.mark.parametrize("piece_bytes", [1, 2, 5, 6, 1000])
def test_frames_are_decoded_from_pieces_of_any_size(piece_bytes: int) -> None:
    frames = [Frame(Kind.READY), Frame(Kind.STDIN, b"\0\xff" * 99), Frame(Kind.EXIT, b"\7")]
    line = b"".join(map(encode, frames))
    decoder = Decoder()
    pieces = [line[at : at + piece_bytes] for at in range(0, len(line), piece_bytes)]
    assert [frame for piece in pieces for frame in decoder.feed(piece)] == frames


def test_window_size_round_trips() -> None:
    assert unpair(pair(24, 300)) == (24, 300)


@pytest.mark.parametrize(("text", "size_bytes"), [("512M", 512 << 20), ("2g", 2 << 30), ("7", 7), ("1K", 1024)])
def test_memory_sizes_are_parsed(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "M", "1.5G", "-1", "2T", "1 G"])
def test_invalid_memory_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="not a size such as"):
        parse_size(text)


def test_options_end_at_the_double_dash() -> None:
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers())
    parsed = parser.parse_args(["run", "--disk", "a", "--disk", "b", "--", "ls", "--memory", "--"])
    assert parsed.command == ["ls", "--memory", "--"]
    assert parsed.disks == [Path("a"), Path("b")]


def test_only_selected_environment_variables_are_passed_on() -> None:
    caller = {"PATH": "/x:/usr/bin", "SECRET": "s", "TOX_ENV_NAME": "t", "PYTHONHASHSEED": "0"}
    seen = lab_environment(caller, "uml")
    assert "SECRET" not in seen
    assert (seen["TOX_ENV_NAME"], seen["PYTHONHASHSEED"]) == ("t", "0")
    assert seen["PATH"].startswith("/x:/usr/bin:")
    assert seen["LVMQCOW_LAB"] == "uml"


def test_cpu_core_can_be_chosen_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    last = max(os.sched_getaffinity(0))
    monkeypatch.setenv(CPU_VARIABLE, str(last))
    with claim_cpu() as claim:
        assert claim.cpu == last


@pytest.mark.parametrize("name", ["-1", "9999", "first"])
def test_missing_cpu_core_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(CPU_VARIABLE, name)
    with pytest.raises(LabError, match=CPU_VARIABLE), claim_cpu():
        pass


def test_labs_share_cpu_cores_evenly() -> None:
    # A separate network namespace, where labs of other users do not count.
    script = (
        "import contextlib, collections\n"
        "from lvmqcow.lab.uml.cpu import claim_cpu\n"
        "import os, json\n"
        "cores = len(os.sched_getaffinity(0))\n"
        "with contextlib.ExitStack() as stack:\n"
        "    claims = [stack.enter_context(claim_cpu()).cpu for _ in range(2 * cores)]\n"
        "counts = collections.Counter(claims)\n"
        "assert set(counts.values()) == {2}, counts\n"
        "assert len(set(claims[:cores])) == cores, claims\n"
    )
    unshare = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--net"]
    subprocess.run([*unshare, sys.executable, "-c", script], cwd=CHECKOUT, check=True)


def test_sweep_removes_only_directories_without_a_holder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rundir, "_PARENTS", (str(tmp_path),))
    dead = tmp_path / "lvmqcow-lab-dead"
    dead.mkdir()
    (dead / "console").touch()
    assert rundir.leftover_run_directories() == (dead,)
    with rundir.new_run_directory() as alive:
        assert not dead.exists()
        with rundir.new_run_directory():
            assert alive.path.exists()
        assert rundir.leftover_run_directories() == ()
    assert list(tmp_path.iterdir()) == []


def test_sweep_keeps_directories_not_made_by_a_lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rundir, "_PARENTS", (str(tmp_path),))
    somebodys = tmp_path / "lvmqcow-lab-checkout"
    (somebodys / "lab").mkdir(parents=True)
    (somebodys / "README.md").touch()
    with rundir.new_run_directory():
        assert (somebodys / "README.md").exists()
    assert rundir.leftover_run_directories() == ()


def test_machine_without_any_lab_gets_advice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch, "probe", lambda: replace(NO_UML, user_id=1000))
    assert main(["run", "--", "true"]) == 125
    errors = capsys.readouterr().err
    assert "This machine can run no lab." in errors
    assert "apt-get install user-mode-linux" in errors


def test_missing_disk_gets_advice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--disk", "/no/such/disk", "--", "true"]) == 125
    assert "truncate -s 1G /no/such/disk" in capsys.readouterr().err


@pytest.mark.parametrize("directory", ["/", "/proc", "/dev/mapper", "/sys/block"])
def test_system_directories_cannot_be_shared(directory: str) -> None:
    with pytest.raises(LabError, match=f"cannot share {directory},"):
        run_in_uml(replace(JOB, directory=directory), 1 << 30)


def test_doctor_json_has_the_documented_fields(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert status == (0 if report["lab"] else 1)
    assert {"check", "status", "text", "mend"} == set(report["findings"][0])
