"""SIGKILL inside a long step, at a moment of one's choice: of the real tool, in the real command.

What a long step runs is found by its name, so a directory of stand-ins ahead in ``PATH`` is enough. Each becomes the
tool itself under strace, which lists the calls that change a disk, or kills it as one is about to be made. Or it is
killed after a time. Nothing else is different, but that qemu-img does its work in one thread: so the calls have one
order, and the same each time.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Final

from lvmqcow.errors import CommandFailed

__all__ = ["Call", "Killer", "Moment", "Timer", "Watched", "watched"]

_ONE_THREAD: Final = "--object main-loop,id=one-thread,thread-pool-max=1"
_TOOLS: Final = {
    "qemu-img": f'command=$1; shift; set -- "$command" {_ONE_THREAD} "$@"',
    "qemu-nbd": "",
    "blkdiscard": "",
}
"""What runs in long steps, and how it is told to use one thread: qemu-nbd cannot be."""
_STAND_IN: Final = """#!/bin/sh
{one_thread}
read -r before killer <{directory}/killer
if [ "$before" -gt 0 ]; then
    echo "$((before - 1)) $killer" >{directory}/killer
    killer=
fi
# what is in $killer is a list of words
exec {strace} -f -ttt -A -o {directory}/log -e trace=execve,{calls} $killer {tool} "$@"
"""
"""``killer`` says how many processes end by themselves before the one that is killed, and how that is."""

_CHANGES: Final = ("pwrite64", "pwritev", "pwritev2", "fallocate", "ioctl")
_FLUSHES: Final = ("fdatasync", "fsync")
_ENTRY: Final = re.compile(r"(?P<thread>\d+) +(?P<seconds>\d+\.\d+) (?P<name>\w+)\((?P<arguments>.*)")
_CHANGING_IOCTLS: Final = ("BLKZEROOUT,", "BLKDISCARD,")
_NOBODY: Final = "0"
_POLL_SECONDS: Final = 0.005
_KILLED: Final = "+++ killed by SIGKILL +++"


@dataclass(frozen=True)
class Call:
    """As a process is about to make a call: the ``count``-th of that name; ``process`` counts those of a step."""

    process: int
    name: str
    count: int

    @property
    def killer(self) -> str:
        """What strace is to do, and after how many processes."""
        return f"{self.process} -e inject={self.name}:signal=KILL:when={self.count}"

    def __str__(self) -> str:
        return f"at {self.name} {self.count}" + (f" of process {self.process + 1}" if self.process else "")


@dataclass(frozen=True)
class Timer:
    """So long after the first process of a step was started."""

    seconds: float

    def __str__(self) -> str:
        return f"after {self.seconds:.3f} s"


Moment = Call | Timer


@dataclass(frozen=True)
class Watched:
    """A step that ran to its end: the calls before which its work is half done, and the seconds between which it is."""

    calls: tuple[Call, ...]
    begun_seconds: float
    done_seconds: float


class Killer:
    """Stand-ins for the tools of long steps, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._log = directory / "log"
        strace = shutil.which("strace")
        if strace is None:
            raise FileNotFoundError("strace is missing (`apt-get install strace`)")
        for name, one_thread in _TOOLS.items():
            tool, stand_in = shutil.which(name), directory / name
            calls = ",".join((*_CHANGES, *_FLUSHES))
            stand_in.write_text(
                _STAND_IN.format(directory=directory, one_thread=one_thread, strace=strace, calls=calls, tool=tool)
            )
            stand_in.chmod(0o755)

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """Who looks for the tools within finds the stand-ins: a `RealHost` that is made here runs them."""
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{self._directory}:{path}"
        try:
            yield
        finally:
            os.environ["PATH"] = path

    def watch(self, run: Callable[[], None]) -> Watched:
        """Let it run to its end, and see what could be killed."""
        self._begin(_NOBODY)
        run()
        return watched(self._log.read_text())

    def kill(self, moment: Moment, run: Callable[[], None]) -> bool:
        """Have it killed; False: it ended before.

        Raises:
            AssertionError: it was killed, and reported as done.
            CommandFailed: it failed by itself.
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
    """From what strace wrote: it counts the calls of each name in each thread.

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
    return Watched(tuple(calls), first - started[0].seconds, last - started[0].seconds)


@dataclass(frozen=True)
class _Entry:
    """A call in strace's log."""

    thread: str
    seconds: float
    name: str
    arguments: str

    def changes(self, main_thread: str) -> bool:
        """Whether it changes what is on a disk. QEMU's main thread asks devices about themselves."""
        asks = self.name == "ioctl" and not any(request in self.arguments for request in _CHANGING_IOCTLS)
        return self.name in _CHANGES and not asks and (self.name != "ioctl" or self.thread == main_thread)


def _entries(log: str) -> Iterator[_Entry]:
    for line in log.splitlines():
        if found := _ENTRY.match(line):
            yield _Entry(found["thread"], float(found["seconds"]), found["name"], found["arguments"])
