"""The moments in an strace log at which a step can be killed."""

from __future__ import annotations

import pytest

from lvmqcow.testing.crash.kills import Call, Timer, Watched, watched


def test_kill_moment_precedes_every_write_but_the_first() -> None:
    log = """\
20   100.000000 execve("/usr/bin/qemu-img", ["qemu-img", "commit"], 0x7f /* 17 vars */) = 0
20   100.250000 ioctl(4, BLKSSZGET, [512]) = 0
22   100.500000 pwrite64(9, "\\1\\1"..., 65536, 655360) = 65536
22   100.600000 fdatasync(9)                    = 0
22   100.700000 fallocate(9, FALLOC_FL_PUNCH_HOLE, 0, 512 <unfinished ...>
22   100.700001 <... fallocate resumed>)        = 0
22   100.750000 pwrite64(9, "\\0\\0"..., 65536, 655360) = 65536
22   100.800000 fdatasync(9)                    = 0
22   100.900000 +++ exited with 0 +++
"""
    found = watched(log)
    assert found.calls == (Call(0, "fallocate", 1), Call(0, "pwrite64", 2), Call(0, "fdatasync", 2))
    assert (found.begun_seconds, found.done_seconds) == pytest.approx((0.5, 0.8))


def test_only_ioctls_that_clear_are_kill_moments() -> None:
    log = """\
30   100.000000 execve("/usr/sbin/blkdiscard", ["blkdiscard"], 0x7f /* 17 vars */) = 0
30   100.100000 ioctl(3, BLKSSZGET, [512])      = 0
30   100.200000 ioctl(3, BLKZEROOUT, [0, 33554432]) = 0
30   100.300000 ioctl(3, BLKZEROOUT, [33554432, 33554432]) = 0
31   101.000000 execve("/usr/sbin/blkdiscard", ["blkdiscard"], 0x7f /* 17 vars */) = 0
31   101.100000 ioctl(3, BLKDISCARD, [67108864, 33554432]) = 0
"""
    assert watched(log).calls == (Call(0, "ioctl", 3), Call(1, "ioctl", 1))


def test_exec_starts_a_new_count_of_calls() -> None:
    log = """\
40   100.000000 execve("/usr/bin/python3", ["python3", "tethered.py"], 0x7f /* 17 vars */) = 0
40   100.100000 pwrite64(3, "\\0"..., 1, 0) = 1
40   100.200000 execve("/usr/bin/qemu-nbd", ["qemu-nbd"], 0x7f /* 17 vars */) = 0
40   100.300000 pwrite64(9, "\\1"..., 65536, 0) = 65536
"""
    assert watched(log).calls == (Call(1, "pwrite64", 1),)


def test_step_without_writes_has_no_kill_moments() -> None:
    assert watched('20   100.0 execve("/usr/bin/qemu-img", ["qemu-img"], 0x7f) = 0\n') == Watched((), 0, 0)


def test_kill_moment_describes_itself() -> None:
    assert str(Call(1, "pwrite64", 3)) == "at pwrite64 3 of process 2"
    assert str(Timer(0.25)) == "after 0.250 s"
