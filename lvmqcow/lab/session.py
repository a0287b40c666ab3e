"""The host's side of a running lab: its streams, its signals, its end.

    run_session
      start the supervisor, and behind it the lab, connected by four lines
      loop: copy output, pull stdin, pass signals on
      on EXIT: let go of the leash, deliver what is still in the lines

A signal goes to the command first, so that it can finish. A second one, or a command that is not
done GRACE_SECONDS later, ends the lab itself.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError
from .guest.pump import Pump
from .guest.wire import CHUNK_BYTES, STDIN_BYTES, Decoder, Frame, Kind, encode, pair
from .rundir import RunDirectory
from .terminal import window_size

__all__ = ["GRACE_SECONDS", "LabLines", "run_session"]

GRACE_SECONDS = 5.0
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


@dataclass(frozen=True)
class LabLines:
    """The lab's ends of the lines. Its process inherits these descriptors."""

    console: int
    output: int
    errors: int
    control_in: int
    control_out: int

    def all(self) -> tuple[int, ...]:
        """All descriptors."""
        return (self.console, self.output, self.errors, self.control_in, self.control_out)


def run_session(
    argv: Callable[[LabLines], Sequence[str]],
    run_directory: RunDirectory,
    *,
    environment: Mapping[str, str],
    cpu: int | None = None,
    hold: Sequence[int] = (),
) -> int:
    """Run the lab that `argv` starts; returns the exit status of the command in it.

    `hold` are descriptors that the supervisor keeps open for as long as the lab lives.
    """
    with contextlib.ExitStack() as at_end:
        host, lab = _open_lines(run_directory.path / "console", at_end)
        wake = at_end.enter_context(_signals())
        leash, leash_end = os.pipe()
        supervisor = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", str(_SUPERVISOR)),
                *(str(leash), ",".join(map(str, lab.all()))),
                *(str(run_directory.path), "" if cpu is None else str(cpu)),
                *argv(lab),
            ],
            stdin=subprocess.DEVNULL,
            stdout=lab.console,
            stderr=lab.console,
            pass_fds=(leash, run_directory.lock, *hold, *lab.all()),
            env=dict(environment),
            start_new_session=True,
        )
        at_end.callback(supervisor.wait)
        let_go = _Once(leash_end)
        at_end.callback(let_go)
        for descriptor in (leash, *lab.all()):
            os.close(descriptor)
        status = _Session(host, wake, let_go).run()
        if status is None:
            raise LabError(
                "The lab ended before its command did.",
                "Its console says why; `lvmqcow lab doctor` checks this machine.",
                _read_all(host.console),
            )
        return status


@dataclass(frozen=True)
class _HostLines:
    console: int
    output: int
    errors: int
    control_in: int
    control_out: int


class _Once:
    """Closes a descriptor, the first time it is called."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def __call__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class _Session:
    """The loop around one lab."""

    def __init__(self, host: _HostLines, wake: int, let_go: Callable[[], None]) -> None:
        self._host = host
        self._wake = wake
        self._let_go = let_go
        self._decoder = Decoder()
        self._pumps = (Pump(host.output, 1), Pump(host.errors, 2))
        self._told_closed = [False, False]
        self._ready = False
        self._wants_stdin = False
        self._control_open = True
        self._deadline: float | None = None
        self._first_signal: int | None = None
        self._status: int | None = None

    def run(self) -> int | None:
        """Run the loop; returns the command's exit status, or None if the lab ended without one."""
        while self._control_open or not all(pump.ended for pump in self._pumps):
            self._turn()
        if self._status is None and self._first_signal is not None:
            return 128 + self._first_signal
        return self._status

    def _turn(self) -> None:
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        if self._control_open:
            poller.register(self._host.control_in, select.POLLIN)
        if self._wants_stdin:
            poller.register(0, select.POLLIN)
        waiting: dict[int, Pump] = {}
        for pump in self._pumps:
            interest = pump.interest()
            if interest is not None:
                waiting[interest[0]] = pump
                poller.register(*interest)
        ready = [descriptor for descriptor, _ in poller.poll(self._patience_ms())]
        if not ready:  # the time for finishing is over
            self._deadline = None
            self._let_go()
        for descriptor in ready:
            if descriptor == self._wake:
                for number in os.read(self._wake, CHUNK_BYTES):
                    self._pass_on(number)
            elif descriptor == self._host.control_in:
                self._listen()
            elif descriptor == 0:
                self._send_stdin()
            else:
                waiting[descriptor].step()
        self._tell_closed()

    def _patience_ms(self) -> float | None:
        """Return how long to wait: without a limit (None), or until the command's grace time is over."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - time.monotonic()) * 1000

    def _pass_on(self, number: int) -> None:
        if number == signal.SIGWINCH:
            self._tell(Kind.WINDOW, pair(*window_size()))
        elif number in _PASSED_ON:
            if self._ready and self._first_signal is None:
                self._tell(Kind.SIGNAL, bytes([number]))
                self._deadline = time.monotonic() + GRACE_SECONDS
            else:
                self._let_go()
            self._first_signal = self._first_signal or number

    def _listen(self) -> None:
        data = os.read(self._host.control_in, CHUNK_BYTES)
        self._control_open = bool(data)
        for frame in self._decoder.feed(data):
            if frame.kind is Kind.READY:
                self._ready = True
            elif frame.kind is Kind.WANT_STDIN:
                self._wants_stdin = True
            elif frame.kind is Kind.EXIT:
                self._status = frame.payload[0]
                self._let_go()  # all it wrote is in the lines; no need to wait for a power-off

    def _send_stdin(self) -> None:
        try:
            chunk = os.read(0, STDIN_BYTES)
        except OSError:  # EIO: a terminal that we are in the background of
            chunk = b""
        self._wants_stdin = False
        self._tell(Kind.STDIN, chunk)

    def _tell_closed(self) -> None:
        for number, pump in enumerate(self._pumps):
            if pump.refused and not self._told_closed[number]:
                self._told_closed[number] = True
                self._tell(Kind.CLOSED, bytes([number]))

    def _tell(self, kind: Kind, payload: bytes) -> None:
        if self._ready:
            with contextlib.suppress(BrokenPipeError):  # the lab has just ended
                os.write(self._host.control_out, encode(Frame(kind, payload)))


def _open_lines(console: Path, at_end: contextlib.ExitStack) -> tuple[_HostLines, LabLines]:
    (output, lab_output), (errors, lab_errors) = os.pipe(), os.pipe()
    (control_in, lab_control_out), (lab_control_in, control_out) = os.pipe(), os.pipe()
    lab_console = os.open(console, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    host = _HostLines(os.open(console, os.O_RDONLY), output, errors, control_in, control_out)
    for descriptor in vars(host).values():
        at_end.callback(os.close, descriptor)
    return host, LabLines(lab_console, lab_output, lab_errors, lab_control_in, lab_control_out)


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """A descriptor that delivers the numbers of the signals that arrive.

    Only the main thread gets signals; a lab run from another one goes without them.
    """
    wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    with contextlib.ExitStack() as at_end:
        at_end.callback(os.close, wake)
        at_end.callback(os.close, waker)
        if threading.current_thread() is threading.main_thread():
            before = signal.set_wakeup_fd(waker)
            at_end.callback(signal.set_wakeup_fd, before)
            for number in (*_PASSED_ON, signal.SIGWINCH):
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a shell's `&`
                    handler = signal.signal(number, lambda _number, _frame: None)
                    at_end.callback(signal.signal, number, handler)
            # Reading a terminal from the background raises an error then, instead of stopping us.
            handler = signal.signal(signal.SIGTTIN, signal.SIG_IGN)
            at_end.callback(signal.signal, signal.SIGTTIN, handler)
        yield wake


def _read_all(console: int) -> str:
    with open(console, "rb", closefd=False) as file:
        return file.read().decode("utf-8", "replace")
