"""The direct lab on a machine that has everything. Here that machine is itself a lab."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.labs import PATIENT_LAB, run_nested

pytestmark = pytest.mark.lab_host


def test_the_inner_lab_runs_directly(tmp_path: Path) -> None:
    result = run_nested("$LAB run -- sh -c 'echo $LVMQCOW_LAB; echo oops >&2; exit 7'", cwd=tmp_path)
    assert (result.status, result.output, result.errors) == (7, b"direct\n", b"oops\n")


def test_streams_of_a_direct_lab_are_complete(tmp_path: Path) -> None:
    script = """set -e
        seq 100000 > numbers; $LAB run -- cat < numbers | cmp - numbers
        $LAB run -- sh -c 'cat numbers & cat numbers >&2; wait' 2> errors | cmp - numbers
        cmp errors numbers; $LAB run -- yes | head -n 1"""
    result = run_nested(script, cwd=tmp_path)
    assert (result.status, result.output) == (0, b"y\n"), result


def test_lvm_has_its_own_system_directory(tmp_path: Path) -> None:
    script = """set -e
        mkdir -p /run/lock/lvm; truncate -s 1G /tmp/pv; loop=$(losetup --find --show /tmp/pv)
        $LAB run -- sh -ec "
            ls \\$LVM_SYSTEM_DIR/profile/lvmdbusd.profile > /dev/null
            lvm lvmconfig --type current global/locking_dir | grep -q \\$LVM_SYSTEM_DIR/lock
            vgcreate -q v $loop; lvcreate -q -W n -L 10M -n a v; lvremove -q -y v/a; vgremove -q v
        " >&2
        find /run/lvm /run/lock/lvm -type f; dmsetup ls"""
    result = run_nested(script, cwd=tmp_path)
    assert (result.status, result.output) == (0, b"No devices found\n"), result


def test_mounts_and_processes_are_private(tmp_path: Path) -> None:
    script = """set -e
        mkdir /tmp/m; pgrep -x sh > /dev/null
        $LAB run -- sh -ec 'mount -t tmpfs t /tmp/m; touch /tmp/m/x; setsid sleep 100000 & echo'
        ls /tmp/m; ls -d /tmp/lvmqcow-lab-* || true; pgrep sleep || echo gone"""
    result = run_nested(script, cwd=tmp_path)
    assert (result.status, result.lines) == (0, ["", "gone"]), result


def test_disk_is_a_loop_device_during_the_lab(tmp_path: Path) -> None:
    script = """set -e
        truncate -s 8M disk
        $LAB run --disk disk -- sh -c 'printf hello > $LVMQCOW_LAB_DISKS; echo $LVMQCOW_LAB_DISKS'
        head -c 5 disk; echo; losetup --list --noheadings"""
    result = run_nested(script, cwd=tmp_path)
    assert (result.status, result.lines) == (0, ["/dev/loop0", "hello"]), result


def test_killed_runner_leaves_nothing(tmp_path: Path) -> None:
    script = """set -e
        truncate -s 8M disk
        $LAB run --disk disk -- sh -c 'touch up; setsid sleep 100000 & sleep 100000' & runner=$!
        until [ -e up ]; do sleep 0.05; done
        losetup --list --noheadings --output NAME
        kill -9 $runner
        while pgrep -x sleep || pgrep -f superviso[r].py || ls -d /tmp/lvmqcow-lab-*; do
            timeout 0.05 tail -f /dev/null || :
        done > /dev/null 2>&1
        losetup --list --noheadings; echo clean"""
    result = run_nested(script, cwd=tmp_path)
    assert (result.status, result.lines) == (0, ["/dev/loop0", "clean"]), result


def test_signal_reaches_the_command_in_a_direct_lab(tmp_path: Path) -> None:
    script = """
        $LAB run -- sh -c 'trap "echo caught; exit 9" TERM; touch up
            while :; do sleep 0.05; done' &
        until [ -e up ]; do sleep 0.05; done
        kill -TERM $!; wait $!; echo $?"""
    assert run_nested(script, cwd=tmp_path, launcher=PATIENT_LAB).lines == ["caught", "9"]


def test_lab_works_in_a_container_with_a_copied_dev(tmp_path: Path) -> None:
    script = """set -e
        cp -a /dev/null /dev/zero /tmp/; mkdir /tmp/pts; truncate -s 1G /tmp/pv
        unshare --mount sh -ec "
            mount -t tmpfs t /dev; mkdir /dev/pts; cp -a /tmp/null /tmp/zero /dev/
            $LAB doctor | grep -A1 '^warn *\\(dev\\|loop\\|device-mapper\\) '
            $LAB run -- sh -ec 'l=\\$(losetup --find --show /tmp/pv); vgcreate -q v \\$l >&2
                lvcreate -q -W n -L 10M -n a v >&2; test -b /dev/v/a; echo works
                vgremove -q -y v >&2'
        " """
    result = run_nested(script, cwd=tmp_path)
    assert result.status == 0, result
    assert result.lines[-1] == "works"
    assert sum("docker run -v /dev:/dev" in line for line in result.lines) == 3


def test_failed_set_up_exits_125_with_the_reason(tmp_path: Path) -> None:
    script = """truncate -s 8M disk; rm /dev/loop-control; $LAB run --disk disk -- true"""
    result = run_nested(script, cwd=tmp_path)
    assert result.status == 125
    assert b"/dev/loop-control" in result.errors
