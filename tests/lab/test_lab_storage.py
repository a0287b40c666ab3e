"""The purpose of the lab: real LVM on loop devices, through the persistent lvm shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.labs import run_lab

pytestmark = pytest.mark.lab_host

LVM_SHELL = r"""
import json, os, subprocess
report, write_end = os.pipe()
environment = {**os.environ, "LC_ALL": "C", "LVM_COMMAND_PROFILE": "lvmdbusd",
               "LVM_REPORT_FD": str(write_end)}
shell = subprocess.Popen(["lvm"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, pass_fds=(write_end,), env=environment)
os.close(write_end)
def ask(line):
    shell.stdin.write(line.encode() + b"\n"); shell.stdin.flush()
    text = ""
    while True:
        piece = os.read(report, 65536).decode()
        assert piece, f"the lvm shell ended: {text}"
        text += piece
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            pass
def succeed(line):
    answer = ask(line)
    assert answer["log"][-1]["log_ret_code"] == "1", (line, answer)
    return answer
for number in range(20):  # more loop devices than at the start
    os.truncate(os.open(f"/tmp/pv{number}", os.O_CREAT | os.O_RDWR), 10 << 30)
    attach = ["losetup", "--find", "--show", f"/tmp/pv{number}"]
    loop = subprocess.check_output(attach, text=True).strip()
    assert loop == f"/dev/loop{number}", loop
succeed(f"vgcreate v {loop}")
succeed("lvcreate -y -Wn -L 1G -n vm-100-disk-0.qcow2 v")
subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", "extended_l2=on,cluster_size=128k",
                "/dev/v/vm-100-disk-0.qcow2", "900M"], check=True)
subprocess.run(["qemu-io", "-t", "none", "-f", "qcow2", "-c", "write -q -P 7 0 1M",
                "/dev/v/vm-100-disk-0.qcow2"], check=True)
succeed("lvrename v vm-100-disk-0.qcow2 snap")
subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", "/dev/v/snap"], check=True)
answer = succeed("lvs -o lv_name,lv_size --units b --nosuffix v")
assert ask("lvremove -y v/nothing")["log"][-1]["log_ret_code"] == "5"
print(json.dumps(answer["report"][0]["lv"]))
shell.stdin.close(); shell.wait()
"""


def test_lvm_and_qcow2_work_on_a_loop_device(tmp_path: Path) -> None:
    result = run_lab("/usr/bin/python3", "-c", LVM_SHELL, cwd=tmp_path)
    assert result.status == 0, result.errors.decode()
    assert json.loads(result.output) == [{"lv_name": "snap", "lv_size": "1073741824"}]


def test_fault_injection_targets_can_be_loaded(tmp_path: Path) -> None:
    script = """set -e
        for target in flakey delay error linear; do
            dmsetup create t-$target --table "$(case $target in
                flakey) echo 0 8 flakey /dev/loop0 0 1 1;; delay) echo 0 8 delay /dev/loop0 0 1;;
                error) echo 0 8 error;; linear) echo 0 8 linear /dev/loop0 0;; esac)"
        done
        modprobe dm-log-writes; dmsetup ls | sort | cut -f 1"""
    setup = "truncate -s 1M /tmp/disk; losetup /dev/loop0 /tmp/disk;"
    result = run_lab("sh", "-c", setup + script, cwd=tmp_path)
    assert (result.status, result.lines) == (0, ["t-delay", "t-error", "t-flakey", "t-linear"]), result


def test_process_stuck_on_a_suspended_device_does_not_block_the_lab(tmp_path: Path) -> None:
    script = """truncate -s 8M /tmp/disk; losetup /dev/loop0 /tmp/disk
        dmsetup create t --table '0 16384 linear /dev/loop0 0'; dmsetup suspend t
        dd if=/dev/zero of=/dev/mapper/t bs=1M count=1 oflag=direct &
        until grep -q '^State:.D' /proc/$!/status; do sleep 0.05; done; echo stuck"""
    result = run_lab("sh", "-c", script, cwd=tmp_path)
    assert (result.status, result.output) == (0, b"stuck\n")
