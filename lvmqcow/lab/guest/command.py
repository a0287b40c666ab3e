"""Start a command in a new session, on pipes or on a terminal.

As in a shell, the status is 127 if the command does not exist, and 126 if it cannot be run.
"""

from __future__ import annotations

import fcntl
import os
import pty
import resource
import signal
import struct
import termios
from dataclasses import dataclass
from typing import NoReturn

from .job import Job

__all__ = ["Command", "start"]

_END_OF_INPUT = b"\x04"  # what a person types on a terminal
_OPEN_FILES = 4096


@dataclass(frozen=True)
class Command:
    """A running command and our ends of its streams."""

    pid: int
    stdin: int
    stdout: int
    stderr: int | None  # None: it shares the terminal
    terminal: bool

    def resize(self, rows: int, columns: int) -> None:
        """Give its terminal a new size."""
        if self.terminal:
            _set_window(self.stdout, rows, columns)

    def close_input(self) -> None:
        """Let the command read the end of its input."""
        if self.terminal:
            os.write(self.stdin, _END_OF_INPUT)
        else:
            os.close(self.stdin)


def start(job: Job) -> Command:
    """Start the job's command."""
    if job.terminal:
        master, slave = pty.openpty()
        _set_window(slave, *job.window)
        ours = [os.dup(master), master]  # two numbers, so that a loop can wait for them apart
        theirs = [slave, slave, slave]
    else:
        (stdin, our_stdin), (our_stdout, stdout) = os.pipe(), os.pipe()
        ours, theirs = [our_stdin, our_stdout], [stdin, stdout, stdout]
    our_stderr: int | None = None
    if job.separate_errors:
        our_stderr, theirs[2] = os.pipe()
    started, starting = os.pipe()  # closed on exec
    pid = os.fork()
    if pid == 0:
        _become(job, theirs)
    for descriptor in {starting, *theirs}:
        os.close(descriptor)
    os.read(started, 1)  # until then there is no process group, and a signal would be lost
    os.close(started)
    return Command(pid, ours[0], ours[1], our_stderr, job.terminal)


def _become(job: Job, streams: list[int]) -> NoReturn:
    """Turn this forked process into the command."""
    try:
        os.setsid()
        for target, descriptor in enumerate(streams):
            os.dup2(descriptor, target)
        if job.terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
            signal.signal(number, signal.SIG_DFL)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_OPEN_FILES, most), most))
        os.chdir(job.directory)
        os.execvpe(job.argv[0], job.argv, dict(job.environment))
    except OSError as error:
        text = f"lvmqcow lab: cannot run {job.argv[0]!r}: {error.strerror}\n"
        os.write(2, text.encode("utf-8", "backslashreplace"))
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _set_window(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
