"""SIGKILL inside a long step, at a chosen moment: the real tool dies in the real command.

A step finds its tool by name, so a directory of stand-ins at the start of ``PATH`` is enough. A stand-in runs the tool
under strace, which lists the calls that change a disk, a device or a name in ``/dev``, or kills the tool immediately
before one of them. Or the tool is killed after a time. The only other difference is that qemu-img works in one thread,
so the calls have the same order each time. An lvm is killed in the same way, if each command is a process of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Final

from lvmqcow.errors import CommandFailed

__all__ = ["LONG_STEPS", "Call", "Killer", "Moment", "Timer", "Watched", "watched"]

_ONE_THREAD: Final = "--object main-loop,id=one-thread,thread-pool-max=1"
_IN_ONE_THREAD: Final = {"qemu-img": f'command=$1; shift; set -- "$command" {_ONE_THREAD} "$@"'}
"""How a tool is told to use one thread: qemu-nbd cannot be, and the others have no more."""
LONG_STEPS: Final = ("qemu-img", "qemu-nbd", "blkdiscard")
"""The tools of long steps."""
_STAND_IN: Final = """#!/bin/sh
{one_thread}
read -r before killer <{directory}/killer
if [ "$before" -gt 0 ]; then
    echo "$((before - 1)) $killer" >{directory}/killer
    killer=
fi
# what is in $killer is a list of words
exec {strace} -f -y -ttt -A -o {directory}/log -e trace=execve,{calls} $killer {tool} "$@"
"""
"""``killer`` says how many processes end by themselves before the one that is killed, and how that is."""

_CHANGES: Final = ("pwrite64", "pwritev", "pwritev2", "fallocate", "ioctl")
_CHANGES_OF_NAMES: Final = ("mknodat", "symlink", "rename", "unlink")
_FLUSHES: Final = ("fdatasync", "fsync")
_ENTRY: Final = re.compile(r"(?P<thread>\d+) +(?P<seconds>\d+\.\d+) (?P<name>\w+)\((?P<arguments>.*)")
_CHANGING_IOCTLS: Final = (
    *("BLKZEROOUT,", "BLKDISCARD,"),
    *("DM_DEV_CREATE,", "DM_TABLE_LOAD,", "DM_DEV_SUSPEND,", "DM_DEV_RENAME,", "DM_DEV_REMOVE,"),
)
_NOBODY: Final = "0"
_POLL_SECONDS: Final = 0.005
_KILLED: Final = "+++ killed by SIGKILL +++"


@dataclass(frozen=True)
class Call:
    """The moment before the ``count``-th call of a name; ``process`` counts the processes of a step."""

    process: int
    name: str
    count: int

    @property
    def killer(self) -> str:
        """Return what strace has to do, and for which process."""
        return f"{self.process} -e inject={self.name}:signal=KILL:when={self.count}"

    def __str__(self) -> str:
        return f"at {self.name} {self.count}" + (f" of process {self.process + 1}" if self.process else "")


@dataclass(frozen=True)
class Timer:
    """A time after the start of the first process of a step."""

    seconds: float

    def __str__(self) -> str:
        return f"after {self.seconds:.3f} s"


Moment = Call | Timer


@dataclass(frozen=True)
class Watched:
    """A step that ran to its end: the calls before which its work is half done, and the seconds in which it is half
    done.

    ``every`` has the first call too, before which nothing is done yet.
    """

    calls: tuple[Call, ...]
    begun_seconds: float
    done_seconds: float
    every: tuple[Call, ...] = ()


class Killer:
    """Stand-ins for some tools, in a directory of its own."""

    def __init__(self, directory: Path, tools: Sequence[str] = LONG_STEPS) -> None:
        self._directory = directory
        self._log = directory / "log"
        strace = shutil.which("strace")
        if strace is None:
            raise FileNotFoundError("strace is missing (`apt-get install strace`)")
        calls = ",".join((*_CHANGES, *_CHANGES_OF_NAMES, "write", *_FLUSHES))
        for name in tools:
            tool, stand_in, one_thread = shutil.which(name), directory / name, _IN_ONE_THREAD.get(name, "")
            stand_in.write_text(
                _STAND_IN.format(directory=directory, one_thread=one_thread, strace=strace, calls=calls, tool=tool)
            )
            stand_in.chmod(0o755)

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """Put the stand-ins first in ``PATH`` for the block: a `RealHost` that is made in it runs them."""
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{self._directory}:{path}"
        try:
            yield
        finally:
            os.environ["PATH"] = path

    def watch(self, run: Callable[[], None]) -> Watched:
        """Run a step to its end, and return the moments at which it could be killed."""
        self._begin(_NOBODY)
        run()
        return watched(self._log.read_text())

    def kill(self, moment: Moment, run: Callable[[], None]) -> bool:
        """Run a step and kill it; return False if it ended before.

        Raises:
            AssertionError: the step was killed, and reported as done.
            CommandFailed: the step failed by itself.
        """
        try:
            with self._armed(moment):
                run()
        except CommandFailed:
            if _KILLED not in self._log.read_text():
                raise
            return True
        assert _KILLED not in self._log.read_text(), f"killed {moment}, and reported as done"
        return False

    @contextmanager
    def _armed(self, moment: Moment) -> Iterator[None]:
        if isinstance(moment, Call):
            self._begin(moment.killer)
            yield
            return
        self._begin(_NOBODY)
        over = Event()
        clock = Thread(target=self._strike, args=(moment.seconds, over))
        clock.start()
        try:
            yield
        finally:
            over.set()
            clock.join()

    def _strike(self, seconds: float, over: Event) -> None:
        """Kill the first process once it has run so long, unless all is over by then."""
        while not over.wait(_POLL_SECONDS):
            for started in _entries(self._log.read_text()):
                with suppress(ProcessLookupError):  # it has ended by itself
                    process = os.pidfd_open(int(started.thread))
                    try:
                        if not over.wait(seconds):
                            signal.pidfd_send_signal(process, signal.SIGKILL)
                    finally:
                        os.close(process)
                return

    def _begin(self, killer: str) -> None:
        self._log.write_text("")
        (self._directory / "killer").write_text(f"{killer}\n")


def watched(log: str) -> Watched:
    """Read strace's log, which counts the calls of each name in each thread.

    Before the first call nothing has happened, and a flush adds nothing to what was written before it: these are no
    moments, but for the last flush, when all is written.
    """
    started: list[_Entry] = []
    made: list[tuple[Call, float]] = []
    counts, flush = Counter[tuple[str, str]](), None
    for entry in _entries(log):
        if entry.name == "execve":
            started.append(entry)
            counts.clear()
            continue
        counts[entry.thread, entry.name] += 1
        call = Call(len(started) - 1, entry.name, counts[entry.thread, entry.name]), entry.seconds
        if entry.name in _FLUSHES:
            flush = call
        elif entry.changes(started[-1].thread):
            made.append(call)
            flush = None
    made += [flush] if made and flush else []
    if not made:
        return Watched((), 0, 0)
    first, last = made[0][1], made[-1][1]
    calls = dict.fromkeys(call for call, _ in made[1:])  # of two threads, whichever comes to it first
    every = dict.fromkeys(call for call, _ in made)
    return Watched(tuple(calls), first - started[0].seconds, last - started[0].seconds, tuple(every))


@dataclass(frozen=True)
class _Entry:
    """A call in strace's log."""

    thread: str
    seconds: float
    name: str
    arguments: str

    def changes(self, main_thread: str) -> bool:
        """Return whether the call changes a disk, a device or a name in /dev.

        QEMU's main thread only queries devices.
        """
        if self.name == "ioctl":
            return self.thread == main_thread and any(request in self.arguments for request in _CHANGING_IOCTLS)
        if self.name in _CHANGES_OF_NAMES:
            return '"/dev/' in self.arguments
        if self.name == "write":
            return "</dev/" in self.arguments.partition(",")[0]
        return self.name in _CHANGES


def _entries(log: str) -> Iterator[_Entry]:
    for line in log.splitlines():
        if found := _ENTRY.match(line):
            yield _Entry(found["thread"], float(found["seconds"]), found["name"], found["arguments"])
