"""Run LVM commands: in one persistent ``lvm`` process, or in one process for each command. Both give the same results.

A new ``lvs`` process needs 30-300 ms to start and scan. The shell of lvm(8) answers in 6-20 ms. It reads one command
from each line of stdin, and writes one JSON document for each command to ``LVM_REPORT_FD``. The log report in the
document tells success from failure. ``LVM_COMMAND_PROFILE`` is the only way to make the shell write JSON.

Every command sees only the physical volumes of the volume group, so it scans no other disk of a busy host. A process
gets them with ``--devices``. The shell of lvm2 2.03.16 crashes on the second use of that option (SIGSEGV), so it gets a
filter instead.

LVM takes its own lock on the volume group and waits without a limit for the process that holds it
(``global/wait_for_locks``). Failing at once would be worse, because operations on other volumes hold the lock for
moments. So we wait too, report it after some seconds, and stop LVM's wait on Ctrl-C.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Final, Protocol, cast

from lvmqcow.errors import CommandFailed, UnfitMachine
from lvmqcow.lvm.report import Report, complete_report, first_report, log_rows
from lvmqcow.system.callbacks import Trace, Warned
from lvmqcow.system.flock import child_environment
from lvmqcow.system.requirements import find_tool, starting
from lvmqcow.system.signals import deferred
from lvmqcow.system.udev import without_udev

__all__ = ["Lvm", "LvmProcesses", "LvmShell"]


_SUCCESS: Final = 1  # log_ret_code in the shell's log report; for a failure it is the exit status of a process


_PATIENCE_SECONDS: Final = 3.0


_GIVEN_BY_PROFILE: Final = ("--reportformat", "json", "--units", "b", "--nosuffix")


_REPORT_APART: Final = {"LVM_REPORT_FD": "1", "LVM_OUT_FD": "2"}
"""lvm writes other messages between the lines of a report; these variables send them to stderr."""


_NO_NEWS: Final = frozenset({"WARNING: This metadata update is NOT backed up.", "Retrying metadata scan."})
"""Messages that are no news: every command prints the first if LVM's metadata backups are off, and the second if
another process changes the volume group at the same time."""


class Lvm(Protocol):
    """Runs LVM commands. They see only the devices ``physical_volumes``, or all if that is empty or ``sees_all``."""

    physical_volumes: tuple[str, ...]
    sees_all: bool

    def report(self, argv: Sequence[str]) -> Report:
        """Run a reporting command. Raises CommandFailed."""

    def change(self, argv: Sequence[str]) -> None:
        """Run a command that changes something. Raises CommandFailed."""

    def alone(self, device: str) -> LvmProcesses:
        """Return a runner whose commands see only ``device``. It does not pass on LVM's warnings."""

    def close(self) -> None:
        """End the processes that were started."""


class LvmProcesses:
    """Runs each LVM command in a new process."""

    def __init__(
        self,
        physical_volumes: Sequence[str] = (),
        trace: Trace | None = None,
        waiting: Trace | None = None,
        warned: Warned | None = None,
    ) -> None:
        """``waiting`` is told of a command that has not answered for a while."""
        self.physical_volumes = tuple(physical_volumes)
        self.sees_all = False
        self._trace = trace
        self._waiting = waiting
        self._heard = _Heard(warned)
        self._environment = _environment()
        self._lvm = _lvm_binary()

    def report(self, argv: Sequence[str]) -> Report:
        out, warnings = self._run((*argv[:1], *_GIVEN_BY_PROFILE, *argv[1:]), _REPORT_APART)
        with complete_report(argv):
            return first_report(argv, json.loads(out), warnings, self._heard.pass_on(warnings))

    def change(self, argv: Sequence[str]) -> None:
        _, warnings = self._run(argv, {})
        self._heard.pass_on(warnings)

    def alone(self, device: str) -> LvmProcesses:
        return LvmProcesses((device,), self._trace, self._waiting)

    def close(self) -> None:
        pass

    def _run(self, argv: Sequence[str], told: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
        """Run a command; returns its stdout and its warnings. ``told`` is added to the environment."""
        if self._trace is not None:
            self._trace(argv)
        scope = ("--devices", ",".join(self.physical_volumes)) if self.physical_volumes and not self.sees_all else ()
        process: subprocess.Popen[str] | None = None
        try:
            with deferred(), starting(argv):
                process = subprocess.Popen(
                    (self._lvm, *argv[:1], *scope, *argv[1:]),
                    env={**self._environment, **told},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,  # Ctrl-C comes to us, and we tell lvm
                )
            try:
                out, err = process.communicate(timeout=_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                if self._waiting is not None:
                    self._waiting(argv)
                out, err = process.communicate()
        except KeyboardInterrupt:
            if process:
                process.send_signal(signal.SIGINT)  # lvm stops waiting for a lock, and finishes a metadata commit
                process.communicate()
            raise
        if process.returncode:
            raise CommandFailed(argv, process.returncode, err)
        return out, _lines(err)


class LvmShell:
    """Runs all LVM commands in one ``lvm`` process. It is started at the first command, and again if it died."""

    def __init__(
        self,
        physical_volumes: Sequence[str] = (),
        trace: Trace | None = None,
        waiting: Trace | None = None,
        warned: Warned | None = None,
    ) -> None:
        """``waiting`` is told of a command that has not answered for a while."""
        self.physical_volumes = tuple(physical_volumes)
        self.sees_all = False
        self._trace = trace
        self._waiting = waiting
        self._heard = _Heard(warned)
        self._environment = _environment()
        self._lvm = _lvm_binary()
        self._session: _Session | None = None

    def report(self, argv: Sequence[str]) -> Report:
        try:
            document, warnings = self._ask(argv)
        except _ShellDied:
            document, warnings = self._surely_ask(argv)  # a report changes nothing, so it is safe to repeat
        return first_report(argv, document, warnings, self._heard.pass_on(warnings))

    def change(self, argv: Sequence[str]) -> None:
        _, warnings = self._surely_ask(argv)
        self._heard.pass_on(warnings)

    def alone(self, device: str) -> LvmProcesses:
        return LvmProcesses((device,), self._trace, self._waiting)

    def close(self) -> None:
        if self._session:
            self._session.close()
            self._session = None

    def _surely_ask(self, argv: Sequence[str]) -> tuple[Mapping[str, object], tuple[str, ...]]:
        try:
            return self._ask(argv)
        except _ShellDied as died:
            raise CommandFailed(argv, died.status, f"the lvm shell died: {died.stderr}") from died

    def _ask(self, argv: Sequence[str]) -> tuple[Mapping[str, object], tuple[str, ...]]:
        """Run a command; returns the document that the shell answered with, and its warnings."""
        if self._trace is not None:
            self._trace(argv)
        if self._session is None:
            with deferred(), starting((self._lvm,)):
                self._session = _Session(self._lvm, self._environment)
        try:
            waiting = partial(self._waiting, argv) if self._waiting is not None else None
            scope = () if self.sees_all else self._scope()
            document = self._session.ask(_line((*argv[:1], *scope, *argv[1:])), waiting)
            status = int(log_rows(argv, document)[-1]["log_ret_code"])
            said = self._said(self._session, status)
        except _ShellDied:
            self._session = None
            raise
        except CommandFailed:  # the answer is malformed, so the next answer cannot be trusted either
            self.close()
            raise
        except KeyboardInterrupt:
            self._session.interrupt()
            self._session = None  # a command has no answer yet: it would be taken for that of the next command
            raise
        if status != _SUCCESS:
            raise CommandFailed(argv, status, "\n".join(said))
        return document, said

    def _said(self, session: _Session, status: int) -> tuple[str, ...]:
        """Return the warnings and errors of the last command. If the shell died after a success, it stays a success."""
        try:
            return session.said(*(("warn", "error") if status == _SUCCESS else ("error",)))
        except _ShellDied:
            if status != _SUCCESS:
                raise
            self._session = None
            return ()

    def _scope(self) -> tuple[str, ...]:
        if not self.physical_volumes:
            return ()
        accept = ",".join(f'"a|^{re.escape(path)}$|"' for path in self.physical_volumes)
        return ("--config", f'devices{{filter=[{accept},"r|.*|"]use_devicesfile=0}}')


class _ShellDied(Exception):
    def __init__(self, status: int, stderr: str) -> None:
        self.status = status
        self.stderr = stderr.strip() or f"status {status}"
        super().__init__(status, stderr)


class _Session:
    """One process of the ``lvm`` shell."""

    def __init__(self, binary: str, environment: Mapping[str, str]) -> None:
        with ExitStack() as ours, ExitStack() as its:
            report, out, err = (_pipe(ours, its) for _ in range(3))
            told = {"LVM_REPORT_FD": report[1], "LVM_OUT_FD": out[1], "LVM_ERR_FD": err[1]}
            self._process = subprocess.Popen(
                (binary,),
                env={**environment, "LVM_COMMAND_PROFILE": "lvmdbusd", **{name: str(fd) for name, fd in told.items()}},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=tuple(told.values()),
                start_new_session=True,  # Ctrl-C comes to us, and we tell lvm
            )
            ours.pop_all()  # `close` closes them
        self._report, self._err = report[0], err[0]
        self._pipes = selectors.DefaultSelector()
        self._buffers: dict[int, bytearray] = {}
        for fd in (report[0], out[0], err[0]):
            os.set_blocking(fd, False)
            self._buffers[fd] = bytearray()
            self._pipes.register(fd, selectors.EVENT_READ)

    def ask(self, line: str, waiting: Callable[[], None] | None = None) -> Mapping[str, object]:
        """Return the JSON answer to a command. ``waiting`` is called if the answer takes long. Raises _ShellDied."""
        for buffer in self._buffers.values():
            buffer.clear()
        assert self._process.stdin is not None  # Popen was asked for a pipe
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None
        while (document := self._document()) is None:
            if self._report not in self._pipes.get_map():
                raise self._died()
            if not self._read(_PATIENCE_SECONDS if waiting is not None else None) and waiting is not None:
                waiting()
                waiting = None
        while self._read(timeout_seconds=0):
            pass
        return document

    def said(self, *kinds: str) -> tuple[str, ...]:
        """Return the messages of these kinds of the last command. A process would have written them to stderr."""
        log = log_rows(("lastlog",), self.ask("lastlog\n"))
        return tuple(row.get("log_message", "").strip() for row in log if row.get("log_type") in kinds)

    def interrupt(self) -> None:
        """Send SIGINT: lvm stops waiting for a lock, finishes a metadata commit, and ends."""
        self._process.send_signal(signal.SIGINT)
        self.close()

    def close(self) -> None:
        assert self._process.stdin is not None  # Popen was asked for a pipe
        with suppress(BrokenPipeError):  # the process has ended already
            self._process.stdin.close()
        self._process.wait()
        for fd in self._buffers:
            os.close(fd)
        self._pipes.close()

    def _read(self, timeout_seconds: float | None) -> bool:
        """Read what comes in time; returns whether data or the end of a pipe came. Ended pipes are dropped."""
        came = self._pipes.select(timeout_seconds)
        for key, _ in came:
            data = os.read(key.fd, 1 << 16)
            self._buffers[key.fd] += data
            if not data:
                self._pipes.unregister(key.fd)
        return bool(came)

    def _document(self) -> Mapping[str, object] | None:
        text = self._buffers[self._report]
        if not text.rstrip().endswith(b"}"):
            return None
        try:
            return cast(Mapping[str, object], json.loads(text))
        except json.JSONDecodeError:
            return None  # the brace is not that of the document's end

    def _died(self) -> _ShellDied:
        stderr = self._buffers[self._err].decode(errors="replace")
        self.close()
        return _ShellDied(self._process.returncode, stderr)


def _pipe(ours: ExitStack, its: ExitStack) -> tuple[int, int]:
    """Make a pipe; returns the end that we read and the end that lvm writes. Each stack closes its own end."""
    reads, writes = os.pipe()
    ours.callback(os.close, reads)
    its.callback(os.close, writes)
    return reads, writes


class _Heard:
    """Passes on each warning of LVM once. LVM repeats warnings with every command."""

    def __init__(self, warned: Warned | None) -> None:
        self._warned = warned
        self._lines = set(_NO_NEWS)

    def pass_on(self, lines: Iterable[str]) -> tuple[str, ...]:
        """Report and return those of these lines that were not reported before."""
        news = tuple(dict.fromkeys(line for line in lines if line not in self._lines))
        self._lines.update(news)
        for line in news:
            if self._warned is not None:
                self._warned(line)
        return news


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _line(argv: Sequence[str]) -> str:
    """Return the line for the shell, which splits words at blanks and knows quotes but no escapes."""
    for word in argv:
        if "'" in word or "\n" in word:
            raise ValueError(f"the lvm shell has no way to quote {word!r}")
    return " ".join(word if re.fullmatch(r"[\w/:=,.+#&!@-]+", word) else f"'{word}'" for word in argv) + "\n"


def _environment() -> dict[str, str]:
    return {**child_environment(), **without_udev(), "LVM_SUPPRESS_FD_WARNINGS": "1"}


def _lvm_binary() -> str:
    found = find_tool("lvm")
    if found is None:
        raise UnfitMachine("lvm is missing", "install lvm2 (`apt-get install lvm2`)")
    if os.geteuid() != 0:
        raise UnfitMachine("not root", "run it as root, or in the lab (`lvmqcow lab run`), which needs no root")
    return found
