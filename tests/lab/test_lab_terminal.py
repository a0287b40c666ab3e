"""`lvmqcow lab run -- bash` on a terminal: a terminal inside, its size, its signals, job control."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import DEADLINE_SECONDS, LAB, wait_until

pytestmark = pytest.mark.lab_host


class Person:
    """A user at a terminal with an interactive shell in the lab."""

    def __init__(self, cwd: Path) -> None:
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
            os.environ["TERM"] = "dumb"
            os.execv(LAB, [LAB, "run", "--", "bash", "--norc", "-i"])

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def read_until(self, pattern: str) -> re.Match[str]:
        """Read the screen up to the first match, and return the match."""
        seen, end = "", time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < end:
            found = re.search(pattern, seen)
            if found:
                return found
            if select.select([self.terminal], [], [], 1)[0]:
                seen += os.read(self.terminal, 4096).decode()
        raise AssertionError(f"no {pattern!r} in {seen!r}")

    def leave(self) -> int:
        """Wait for the end of the shell, and read the output meanwhile, like a terminal."""
        _, status = wait_until("the end", lambda: _ended(self.pid, self.terminal))
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    somebody = Person(tmp_path)
    somebody.read_until(r"# ")
    yield somebody
    os.close(somebody.terminal)  # hangs up, if the test has failed


def test_interactive_session_has_size_signals_and_job_control(person: Person) -> None:
    person.type("test -t 0 -a -t 1 -a -t 2 && echo tty-$((6*7))\n")
    person.read_until("tty-42")
    person.type("stty size\n")
    person.read_until("40 100")

    fcntl.ioctl(person.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    person.type("until [ \"$(stty size)\" = '33 77' ]; do :; done; echo size-$((6*7))\n")
    person.read_until("size-42")

    person.type("sh -c 'echo at-$((6*7)); exec sleep 100000'\n")
    person.read_until("at-42")
    person.type("\x03")
    person.type("echo ended-$?\n")
    person.read_until("ended-130")

    person.type("sh -c 'echo at-$((6*8)); exec sleep 100000'\n")
    person.read_until("at-48")
    person.type("\x1a")
    person.read_until("Stopped")
    person.type("kill -9 %1; wait; echo gone-$((6*7))\n")
    person.read_until("gone-42")

    before = termios.tcgetattr(person.terminal)
    assert not before[3] & termios.ECHO  # raw mode during the lab
    person.type("exit 5\n")
    assert person.leave() == 5


def test_terminal_settings_are_restored(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for target in range(3):
            os.dup2(slave, target)
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        os.chdir(tmp_path)
        os.execv(LAB, [LAB, "run", "--", "sh", "-c", "echo up; read line; exit 3"])
    seen = b""
    while b"up" not in seen:
        seen += os.read(master, 4096)
    assert not termios.tcgetattr(slave)[3] & termios.ECHO
    os.write(master, b"\n")
    _, status = wait_until("the end", lambda: _ended(pid, master))
    assert os.waitstatus_to_exitcode(status) == 3
    assert termios.tcgetattr(slave) == before


def test_redirected_stderr_stays_separate(tmp_path: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execv("/bin/sh", ["sh", "-c", "exec \"$0\" run -- sh -c 'tty; echo oops >&2' 2>errors", LAB])
    assert wait_until("the end", lambda: _ended(pid, terminal))[1] == 0
    assert (tmp_path / "errors").read_text() == "oops\n"


def _ended(pid: int, terminal: int) -> tuple[int, ...]:
    if select.select([terminal], [], [], 0)[0]:
        with contextlib.suppress(OSError):  # EIO: no process has it open any more
            os.read(terminal, 4096)
    ended, status = os.waitpid(pid, os.WNOHANG)
    return (ended, status) if ended else ()
