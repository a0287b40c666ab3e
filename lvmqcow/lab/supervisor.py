"""Supervise one lab from a separate process, so that nothing of the lab is left whatever happens.

    supervisor.py LEASH LINES RUN-DIRECTORY CPU ARGV...

LEASH is the read end of a pipe whose write end only the runner holds: it ends when the runner lets
go, also by SIGKILL. LINES are the descriptors, with commas between, that ARGV inherits.

When the leash ends, or ARGV has ended by itself, the supervisor kills all processes of the lab at
once, waits until they are gone, and removes the run directory. If the supervisor itself is killed,
the guard, another process, kills the lab. The script imports nothing of the package, so it starts
in 20 ms.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import shutil
import signal
import sys
from typing import NoReturn

__all__ = ["main"]

_PR_SET_CHILD_SUBREAPER = 36
_OVER = b" over"


def main() -> None:
    """Start, wait, clean up."""
    leash, lines = int(sys.argv[1]), [int(line) for line in sys.argv[2].split(",")]
    run_directory, cpu, argv = sys.argv[3], sys.argv[4], sys.argv[5:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of the lab become ours to wait for
    guard = _start_guard()
    started, starting = os.pipe()  # closed on exec
    pid = os.fork()
    if pid == 0:
        _become(argv, lines, run_directory, cpu, guard)
    for line in (starting, *lines):
        os.close(line)  # so that the runner sees them end with the lab
    os.read(started, 1)  # until then there is no process group to kill
    _wait_for_first(leash, pid)
    # The whole group in one call: a User-mode Linux whose tracer dies first would set its guest's
    # processes free, to go on as processes of this machine.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    _tell(guard, _OVER)
    os.close(guard)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    shutil.rmtree(run_directory, ignore_errors=True)


def _start_guard() -> int:
    """Start the guard; returns the pipe that tells it the lab's process group and, at last, the lab's end."""
    news, guard = os.pipe()
    if os.fork() == 0:
        os.setsid()
        _close_all_but(news)
        _guard(news)
    os.close(news)
    return guard


def _tell(guard: int, news: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # somebody killed it
        os.write(guard, news)


def _guard(news: int) -> NoReturn:
    """Wait until no process can report any more; kill the lab unless its end was reported.

    A signal to the lab at the supervisor's death (PR_SET_PDEATHSIG) would not do. SIGKILL would reach the kernel's
    first process alone, and a User-mode Linux that gets SIGTERM may spin without end while it cleans up.
    """
    told = b""
    while piece := os.read(news, 64):
        told += piece
    group = told.removesuffix(_OVER)
    if group and group == told:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(group), signal.SIGKILL)
    os._exit(0)


def _close_all_but(kept: int) -> None:
    """Among them the lock and the claim of the lab, and what the runner waits for the end of."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) != kept:
            with contextlib.suppress(OSError):  # the descriptor that listed them is closed already
                os.close(int(name))


def _become(argv: list[str], lines: list[int], run_directory: str, cpu: str, guard: int) -> NoReturn:
    try:
        os.setsid()
        _tell(guard, str(os.getpid()).encode())
        os.chdir(run_directory)  # without disks, User-mode Linux looks for one called root_fs
        _keep_only(lines)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a panic ends in abort(3)
        if cpu:
            os.sched_setaffinity(0, {int(cpu)})
        os.execv(argv[0], argv)
    except OSError as error:
        os.write(2, f"cannot start {argv[0]}: {error}\n".encode("utf-8", "backslashreplace"))
    os._exit(127)


def _keep_only(lines: list[int]) -> None:
    """Close the lock and the claim of the lab, which only the runner and the supervisor hold."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor > 2 and descriptor not in lines:
            with contextlib.suppress(OSError):  # the descriptor that listed them is closed already
                os.set_inheritable(descriptor, False)


def _wait_for_first(leash: int, pid: int) -> None:
    """Wait until the leash ends or the process has ended."""
    process = os.pidfd_open(pid)
    poller = select.poll()
    poller.register(leash, select.POLLIN)
    poller.register(process, select.POLLIN)
    poller.poll()
    os.close(process)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


if __name__ == "__main__":
    main()
