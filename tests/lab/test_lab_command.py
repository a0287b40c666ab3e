"""A command in the lab behaves like a command outside: its exit status, its streams, its arguments."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.labs import DEADLINE_SECONDS, LAB, Result, StartedLab, run_lab, wait_until

pytestmark = pytest.mark.lab_host

SHOW_ARGUMENTS = "import os, sys, json; print(json.dumps([a.hex() for a in map(os.fsencode, sys.argv[1:])]))"


@pytest.mark.parametrize("status", [0, 1, 7, 124, 125, 255])
def test_exit_status_is_passed_on(tmp_path: Path, status: int) -> None:
    assert run_lab("sh", "-c", f"exit {status}", cwd=tmp_path).status == status


def test_command_killed_by_a_signal_exits_with_128_plus_signal(tmp_path: Path) -> None:
    assert run_lab("sh", "-c", "kill -9 $$", cwd=tmp_path).status == 128 + 9


def test_missing_command_exits_127(tmp_path: Path) -> None:
    result = run_lab("no-such-command", cwd=tmp_path)
    assert result.status == 127
    assert b"cannot run 'no-such-command': No such file or directory" in result.errors


def test_non_executable_command_exits_126(tmp_path: Path) -> None:
    assert run_lab("/etc/hostname", cwd=tmp_path).status == 126


def test_command_is_root_with_device_mapper(tmp_path: Path) -> None:
    result = run_lab("sh", "-c", "id -u; echo $LVMQCOW_LAB; dmsetup version", cwd=tmp_path)
    assert result.lines[:2] == ["0", "uml"]
    assert "Driver version" in result.lines[-1]


def test_long_output_arrives_complete(tmp_path: Path) -> None:
    expected = "".join(f"{number}\n" for number in range(1, 300_001)).encode()
    assert run_lab("seq", "300000", cwd=tmp_path).output == expected


def test_binary_output_arrives_on_both_streams(tmp_path: Path) -> None:
    every_byte = bytes(range(256)) * 4096
    (tmp_path / "bytes").write_bytes(every_byte)
    result = run_lab("sh", "-c", "cat bytes & cat bytes >&2; wait", cwd=tmp_path)
    assert result.output == every_byte
    assert result.errors == every_byte


def test_binary_input_arrives_and_ends(tmp_path: Path) -> None:
    given = bytes(range(256)) * 1024
    result = run_lab("sha256sum", cwd=tmp_path, given=given)
    assert result.lines == [f"{hashlib.sha256(given).hexdigest()}  -"]


def test_command_may_leave_its_input_unread(tmp_path: Path) -> None:
    assert run_lab("head", "-c", "1", cwd=tmp_path, given=b"x" * 100_000).output == b"x"


def test_closed_reader_ends_the_command(tmp_path: Path) -> None:
    script = '"$0" run -- yes | head -n 2; echo ${PIPESTATUS[0]}'
    done = subprocess.run(
        ["bash", "-c", script, LAB], cwd=tmp_path, stdout=subprocess.PIPE, timeout=DEADLINE_SECONDS, check=True
    )
    assert done.stdout.splitlines() == [b"y", b"y", b"141"]


def test_lab_ends_with_its_command(tmp_path: Path) -> None:
    result = run_lab("sh", "-c", "sleep 100000 & echo done", cwd=tmp_path)
    assert result == Result(0, b"done\n", b"")


def test_lab_ends_although_background_processes_write(tmp_path: Path) -> None:
    assert run_lab("sh", "-c", "yes & yes >&2 & exit 3", cwd=tmp_path).status == 3


def test_late_reader_misses_nothing(tmp_path: Path) -> None:
    # More than the outer pipes can hold, but less than the outer and inner pipes together.
    lab = StartedLab("sh", "-c", "head -c 160000 /dev/zero; touch written", cwd=tmp_path)
    wait_until("all is written", (tmp_path / "written").exists)
    assert len(lab.finish().output) == 160_000


def test_unusual_arguments_arrive_unchanged(tmp_path: Path) -> None:
    odd = [b"", b" ", b"two words", b"it's", b'"', b"$HOME", b"a\nb", b"\\", b"--", b"*",
           "snö☃".encode(), b"\xff\xfe", b"-x"]  # fmt: skip
    result = run_lab("/usr/bin/python3", "-c", SHOW_ARGUMENTS, *odd, cwd=tmp_path)
    assert [bytes.fromhex(text) for text in json.loads(result.output)] == odd


@pytest.mark.parametrize("name", [b"two words", b"a,b:c=d", b"\xff\n'"])
def test_unusual_directory_names_work(tmp_path: Path, name: bytes) -> None:
    directory = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    directory.mkdir()
    result = run_lab("sh", "-c", "pwd; echo seen > inside", cwd=directory)
    assert result.output == os.fsencode(directory) + b"\n"
    assert (directory / "inside").read_text() == "seen\n"


def test_selected_environment_variables_are_passed_on(tmp_path: Path) -> None:
    given = {"LVMQCOW_X": "a b", "HYPOTHESIS_PROFILE": "é", "OTHER_THING": "no"}
    result = run_lab("env", cwd=tmp_path, environment=given)
    seen = dict(line.split("=", 1) for line in result.lines)
    assert seen["LVMQCOW_X"] == "a b"
    assert seen["HYPOTHESIS_PROFILE"] == "é"
    assert "OTHER_THING" not in seen
    assert seen["DM_DISABLE_UDEV"] == "1"
    assert "/usr/sbin" in seen["PATH"].split(":")


def test_at_least_1024_open_files_are_allowed(tmp_path: Path) -> None:
    assert int(run_lab("sh", "-c", "ulimit -n", cwd=tmp_path).output) >= 1024


def test_writes_to_the_current_directory_are_kept(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("before")
    result = run_lab("sh", "-c", "cat old; echo new > new; mkdir d; mv old d", cwd=tmp_path)
    assert result.output == b"before"
    assert (tmp_path / "new").read_text() == "new\n"
    assert (tmp_path / "d/old").read_text() == "before"


def test_writes_elsewhere_are_discarded(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for directory in (inside, outside):
        directory.mkdir()
    marks = [Path(place, f"lvmqcow-test-{os.getpid()}") for place in ("/etc", "/var/tmp", "/tmp",
             "/run", "/dev/shm", "/usr/bin")]  # fmt: skip
    script = 'for mark in "$@"; do echo x > "$mark" && cat "$mark"; done; rm -rf /etc/hostname'
    result = run_lab("sh", "-c", script, "sh", *map(str, marks), cwd=inside)
    assert result.lines == ["x"] * len(marks), result
    assert not any(mark.exists() for mark in marks)
    assert Path("/etc/hostname").exists()


def test_tmp_is_empty_and_has_large_sparse_files(tmp_path: Path) -> None:
    script = "find /tmp -type f; stat -c %a /tmp; truncate -s 50G /tmp/big && fallocate -l 1M /tmp/a"
    # The environment of tox may name a checkout in /tmp, and such a path is shown (see test_lab_places.py).
    prefix = ("env", "-i", f"PATH={os.defpath}", "sh", "-c", 'exec "$0" "$@"')
    result = run_lab("sh", "-c", script, cwd=tmp_path, prefix=prefix)
    assert (result.status, result.lines) == (0, ["1777"]), result
