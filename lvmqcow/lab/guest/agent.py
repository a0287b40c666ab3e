"""Runs COMMAND in the lab, as process 1: moves its streams, passes signals on, reports its status.

    serve
      start the command in a session of its own, on pipes or on a terminal
      loop: output to its lines, input as it is wanted, frames from the host, children that ended
      when the command has ended: end everything else, deliver what was written, send EXIT

Four descriptors connect it to the host, whatever the lab is made of (serial lines of User-mode
Linux, or pipes): output, errors, control in, control out.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
from dataclasses import dataclass

from .command import Command, start
from .job import Job
from .kernel import sync_file_system
from .pump import Pump
from .wire import CHUNK_BYTES, Decoder, Frame, Kind, encode, unpair

__all__ = ["Lines", "serve"]


@dataclass(frozen=True)
class Lines:
    """The descriptors that lead to the host."""

    output: int
    errors: int
    control_in: int
    control_out: int

    def tell(self, kind: Kind, payload: bytes = b"") -> None:
        """Send one frame."""
        data = encode(Frame(kind, payload))
        while data:
            data = data[os.write(self.control_out, data) :]

    def settle(self) -> None:
        """Wait until serial lines have passed on what was written; pipes have already."""
        for line in (self.output, self.errors, self.control_out):
            if os.isatty(line):
                termios.tcdrain(line)


def serve(job: Job, lines: Lines) -> None:
    """Run the job to its end, and report its exit status."""
    wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    lines.tell(Kind.READY)
    status = _Service(start(job), lines, wake).run()
    lines.settle()
    _make_durable(job)
    lines.tell(Kind.EXIT, bytes([status]))
    lines.settle()


def _make_durable(job: Job) -> None:
    """Flush what the command wrote outside the lab. After this the lab may be killed."""
    sync_file_system(job.directory)
    for disk in job.disks:
        descriptor = os.open(disk, os.O_RDWR)
        os.fsync(descriptor)
        os.close(descriptor)


class _Service:
    """The loop around one command."""

    def __init__(self, command: Command, lines: Lines, wake: int) -> None:
        self._command = command
        self._lines = lines
        self._wake = wake
        self._decoder = Decoder()
        self._outputs = [Pump(command.stdout, lines.output)]
        if command.stderr is not None:
            self._outputs.append(Pump(command.stderr, lines.errors))
        self._input = b""
        self._input_open = True
        self._status: int | None = None

    def run(self) -> int:
        """Run the loop; returns the command's exit status once all its output has been delivered."""
        self._lines.tell(Kind.WANT_STDIN)
        while self._status is None:
            self._turn(None)
        # The lab ends with its command. What others wrote is in the pipes by now, and one that is
        # stuck in the kernel (on a suspended device, say) must not keep us waiting for its end.
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        while self._turn(None if any(pump.holds for pump in self._outputs) else 0):
            pass
        return self._status

    def _turn(self, timeout: int | None) -> bool:
        """Wait for something to do and do it; False if there was nothing."""
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        poller.register(self._lines.control_in, select.POLLIN)
        if self._input:
            poller.register(self._command.stdin, select.POLLOUT)
        waiting: dict[int, Pump] = {}
        for pump in self._outputs:
            interest = pump.interest()
            if interest is not None:
                waiting[interest[0]] = pump
                poller.register(*interest)
        ready = [descriptor for descriptor, _ in poller.poll(timeout)]
        for descriptor in ready:
            if descriptor == self._wake:
                os.read(self._wake, CHUNK_BYTES)
                self._reap()
            elif descriptor == self._lines.control_in:
                self._listen()
            elif descriptor == self._command.stdin:
                self._deliver_input()
            else:
                waiting[descriptor].step()
        return bool(ready)

    def _reap(self) -> None:
        """Collect every child that ended: as process 1 we get the orphans too."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, wait_status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._command.pid:
                    code = os.waitstatus_to_exitcode(wait_status)
                    self._status = code if code >= 0 else 128 - code

    def _listen(self) -> None:
        data = os.read(self._lines.control_in, CHUNK_BYTES)
        if not data:
            raise SystemExit("the host's side of the lab is gone")
        for frame in self._decoder.feed(data):
            if frame.kind is Kind.STDIN:
                self._take_input(frame.payload)
            elif frame.kind is Kind.SIGNAL:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._command.pid, frame.payload[0])
            elif frame.kind is Kind.WINDOW:
                self._command.resize(*unpair(frame.payload))
            elif frame.kind is Kind.CLOSED:
                self._outputs[frame.payload[0]].close()

    def _take_input(self, chunk: bytes) -> None:
        if not self._input_open:
            return
        if chunk:
            self._input = chunk
        else:
            self._input_open = False
            self._command.close_input()

    def _deliver_input(self) -> None:
        try:
            sent = os.write(self._command.stdin, self._input)
        except OSError:  # EPIPE: the command has closed its input
            self._input = b""
            self._input_open = False
            return
        self._input = self._input[sent:]
        if not self._input:
            self._lines.tell(Kind.WANT_STDIN)
