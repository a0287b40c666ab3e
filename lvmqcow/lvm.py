"""Talking to LVM: one persistent ``lvm`` process, or a process a command. Both give the same.

A fresh ``lvs`` spends its time starting and scanning (30-300 ms); the shell of lvm(8) answers in 6-20 ms. It takes
a command a line on stdin and writes a JSON document a command to ``LVM_REPORT_FD``, with a log report that tells
success from failure. ``LVM_COMMAND_PROFILE`` is the only way to ask it for JSON.

Every command sees only the volume group's own physical volumes: a busy host's other disks are neither scanned nor
touched. A process is told with ``--devices``; the shell of lvm2 2.03.16 dies of that option (SIGSEGV, on the second
use), so it is told the same with a filter.

LVM takes a lock of its own on the volume group, and waits for ever for whoever holds it (``global/wait_for_locks``).
To fail at once would be worse: operations on other volumes of the group hold it for moments. So we wait too, say so
after some seconds, and on Ctrl-C LVM stops waiting.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final, Protocol, cast

from lvmqcow.errors import CommandFailed, UnfitMachine, VolumeGroupNotFound
from lvmqcow.interrupts import deferred
from lvmqcow.locks import child_environment
from lvmqcow.model import LogicalVolume, VolumeGroup

__all__ = ["Lvm", "LvmProcesses", "LvmShell", "Report", "Row", "Trace", "read_volume_group"]

Row = Mapping[str, str]
Report = Mapping[str, Sequence[Row]]
"""A JSON report of lvm2: the rows of each kind of thing (``vg``, ``lv``, ``pv``)."""

Trace = Callable[[Sequence[str]], None]
"""Is told the argv of every external command."""

_SUCCESS: Final = 1  # log_ret_code, in the shell's log report; for failures it is what a process would exit with
_FAILED: Final = 5
_PATIENCE_SECONDS: Final = 3.0
_VG_FIELDS: Final = "vg_uuid,vg_extent_size,vg_free_count,vg_missing_pv_count"
_LV_FIELDS: Final = "lv_name,lv_uuid,lv_size,lv_tags,lv_active,lv_health_status,lv_attr,lv_autoactivation"
_NOT_MAPPED: Final = frozenset("sdiX")  # lvs(8): suspended, no table, one not in use yet, not as LVM says
_GIVEN_BY_PROFILE: Final = ("--reportformat", "json", "--units", "b", "--nosuffix")


class Lvm(Protocol):
    """Runs LVM commands, seeing only ``physical_volumes`` (all, while it is empty)."""

    physical_volumes: tuple[str, ...]

    def report(self, argv: Sequence[str]) -> Report:
        """Run a reporting command. Raises CommandFailed."""

    def change(self, argv: Sequence[str]) -> None:
        """Run a command that changes something. Raises CommandFailed."""

    def close(self) -> None:
        """End what was started."""


class LvmProcesses:
    """A process a command."""

    def __init__(
        self, physical_volumes: Sequence[str] = (), trace: Trace | None = None, waiting: Trace | None = None
    ) -> None:
        """``waiting`` is told of a command that has not answered for a while."""
        self.physical_volumes = tuple(physical_volumes)
        self._trace = trace
        self._waiting = waiting
        # lvm writes remarks between the lines of a report ("Retrying metadata scan."), so these go to stderr
        self._environment = {**_environment(), "LVM_REPORT_FD": "1", "LVM_OUT_FD": "2"}
        self._lvm = _lvm_binary()

    def report(self, argv: Sequence[str]) -> Report:
        out = self._run((*argv[:1], *_GIVEN_BY_PROFILE, *argv[1:]))
        with _whole(argv):
            return _first_report(argv, json.loads(out))

    def change(self, argv: Sequence[str]) -> None:
        self._run(argv)

    def close(self) -> None:
        pass

    def _run(self, argv: Sequence[str]) -> str:
        if self._trace:
            self._trace(argv)
        scope = ("--devices", ",".join(self.physical_volumes)) if self.physical_volumes else ()
        process: subprocess.Popen[str] | None = None
        try:
            with deferred():
                process = subprocess.Popen(
                    (self._lvm, *argv[:1], *scope, *argv[1:]),
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,  # Ctrl-C comes to us, and we tell lvm
                )
            try:
                out, err = process.communicate(timeout=_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                if self._waiting:
                    self._waiting(argv)
                out, err = process.communicate()
        except KeyboardInterrupt:
            if process:
                process.send_signal(signal.SIGINT)  # lvm stops waiting for a lock, and finishes a metadata commit
                process.communicate()
            raise
        if process.returncode:
            raise CommandFailed(argv, process.returncode, err)
        return out


class LvmShell:
    """One ``lvm`` process for all commands, started at the first and again after it died."""

    def __init__(
        self, physical_volumes: Sequence[str] = (), trace: Trace | None = None, waiting: Trace | None = None
    ) -> None:
        """``waiting`` is told of a command that has not answered for a while."""
        self.physical_volumes = tuple(physical_volumes)
        self._trace = trace
        self._waiting = waiting
        self._environment = _environment()
        self._lvm = _lvm_binary()
        self._session: _Session | None = None

    def report(self, argv: Sequence[str]) -> Report:
        try:
            return _first_report(argv, self._ask(argv))
        except _ShellDied:
            return _first_report(argv, self._surely_ask(argv))  # it only reads: asking again is safe

    def change(self, argv: Sequence[str]) -> None:
        self._surely_ask(argv)

    def close(self) -> None:
        if self._session:
            self._session.close()
            self._session = None

    def _surely_ask(self, argv: Sequence[str]) -> Mapping[str, object]:
        try:
            return self._ask(argv)
        except _ShellDied as died:
            raise CommandFailed(argv, died.status, f"the lvm shell died: {died.stderr}") from died

    def _ask(self, argv: Sequence[str]) -> Mapping[str, object]:
        if self._trace:
            self._trace(argv)
        if self._session is None:
            with deferred():
                self._session = _Session(self._lvm, self._environment)
        try:
            waiting = partial(self._waiting, argv) if self._waiting else None
            document = self._session.ask(_line((*argv[:1], *self._scope(), *argv[1:])), waiting)
            status = int(_log(argv, document)[-1]["log_ret_code"])
            errors = self._session.errors() if status != _SUCCESS else ""
        except _ShellDied:
            self._session = None
            raise
        except CommandFailed:  # what it says next is no answer either
            self.close()
            raise
        except KeyboardInterrupt:
            self._session.interrupt()
            self._session = None  # between question and answer: the next answer would be to the wrong question
            raise
        if status != _SUCCESS:
            raise CommandFailed(argv, status, errors)
        return document

    def _scope(self) -> tuple[str, ...]:
        if not self.physical_volumes:
            return ()
        accept = ",".join(f'"a|^{re.escape(path)}$|"' for path in self.physical_volumes)
        return ("--config", f'devices{{filter=[{accept},"r|.*|"]use_devicesfile=0}}')


def read_volume_group(lvm: Lvm, vg: str) -> VolumeGroup:
    """The picture of a volume group, in one report (lvm-fullreport(8)).

    The first looks at the whole machine; from then on ``lvm`` sees the group's own physical volumes.

    Raises:
        VolumeGroupNotFound: it is not there.
        CommandFailed: LVM could not read it whole.
    """
    try:
        picture = _read(lvm, vg)
    except CommandFailed:
        if not lvm.physical_volumes:
            raise
        lvm.physical_volumes = ()  # it may have been given another physical volume since
        picture = _read(lvm, vg)
    return picture


class _ShellDied(Exception):
    def __init__(self, status: int, stderr: str) -> None:
        self.status = status
        self.stderr = stderr.strip() or f"status {status}"
        super().__init__(status, stderr)


class _Session:
    """One life of an ``lvm`` shell."""

    def __init__(self, binary: str, environment: Mapping[str, str]) -> None:
        report, out, err = os.pipe(), os.pipe(), os.pipe()
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
        for fd in told.values():
            os.close(fd)
        self._report, self._err = report[0], err[0]
        self._pipes = selectors.DefaultSelector()
        self._buffers: dict[int, bytearray] = {}
        for fd in (report[0], out[0], err[0]):
            os.set_blocking(fd, False)
            self._buffers[fd] = bytearray()
            self._pipes.register(fd, selectors.EVENT_READ)

    def ask(self, line: str, waiting: Callable[[], None] | None = None) -> Mapping[str, object]:
        """The JSON answer to a command; ``waiting`` is called when it takes long. Raises _ShellDied."""
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
            if not self._read(_PATIENCE_SECONDS if waiting else None) and waiting:
                waiting()
                waiting = None
        while self._read(timeout_seconds=0):
            pass
        return document

    def errors(self) -> str:
        """What the last command complained of; a process would have written it to stderr."""
        log = _log(("lastlog",), self.ask("lastlog\n"))
        return "\n".join(row.get("log_message", "") for row in log if row.get("log_type") == "error")

    def interrupt(self) -> None:
        """Ctrl-C: lvm stops waiting for a lock, finishes a metadata commit, and ends."""
        self._process.send_signal(signal.SIGINT)
        self.close()

    def close(self) -> None:
        assert self._process.stdin is not None  # Popen was asked for a pipe
        with suppress(BrokenPipeError):  # it died before; that is what closing wants
            self._process.stdin.close()
        self._process.wait()
        for fd in self._buffers:
            os.close(fd)
        self._pipes.close()

    def _read(self, timeout_seconds: float | None) -> bool:
        """Whether anything came in time, an end too. A pipe that has ended is watched no longer."""
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
            return None  # a brace inside the document

    def _died(self) -> _ShellDied:
        stderr = self._buffers[self._err].decode(errors="replace")
        self.close()
        return _ShellDied(self._process.returncode, stderr)


def _read(lvm: Lvm, vg: str) -> VolumeGroup:
    argv = (
        *("fullreport", "--configreport", "vg", "-o", f"vg_name,{_VG_FIELDS}"),
        *("--configreport", "lv", "-o", _LV_FIELDS),
        *("--configreport", "pv", "-o", "pv_name", "--configreport", "pvseg", "-o", "pvseg_start"),
        *("--configreport", "seg", "-o", "seg_start", vg),
    )
    with _whole(argv):
        try:
            report = lvm.report(argv)
        except CommandFailed as failed:
            if any(row["vg_name"] == vg for row in lvm.report(("vgs", "-o", "vg_name"))["vg"]):
                raise
            raise VolumeGroupNotFound(vg) from failed
        picture = _volume_group(report["vg"][0], report["lv"])
        physical_volumes = tuple(row["pv_name"] for row in report["pv"] if row["pv_name"].startswith("/"))
    lvm.physical_volumes = physical_volumes
    return picture


def _volume_group(group: Row, lvs: Sequence[Row]) -> VolumeGroup:
    return VolumeGroup(
        name=group["vg_name"],
        uuid=group["vg_uuid"],
        extent_size_bytes=int(group["vg_extent_size"]),
        free_extents=int(group["vg_free_count"]),
        logical_volumes=tuple(sorted(map(_logical_volume, lvs), key=lambda lv: lv.name)),
        missing_physical_volumes=int(group["vg_missing_pv_count"]),
    )


def _logical_volume(row: Row) -> LogicalVolume:
    return LogicalVolume(
        name=row["lv_name"],
        uuid=row["lv_uuid"],
        size_bytes=int(row["lv_size"]),
        tags=frozenset(row["lv_tags"].split(",")) - {""},
        active=row["lv_active"] == "active",
        partial=row["lv_health_status"] == "partial",
        writable=row["lv_attr"][1] != "r",  # lv_permissions says nothing of what is not active
        suspended=row["lv_attr"][4] in _NOT_MAPPED,
        autoactivated=row["lv_autoactivation"] == "enabled",
    )


@contextmanager
def _whole(argv: Sequence[str]) -> Iterator[None]:
    """What a report lacks is the report's failure."""
    try:
        yield
    except (LookupError, ValueError) as error:
        raise CommandFailed(argv, _FAILED, f"it succeeded, and its report is not whole: {error!r}") from error


def _first_report(argv: Sequence[str], document: object) -> Report:
    match document:
        case {"report": [dict(report), *_]} if all(map(_are_rows, report.values())):
            return cast(Report, report)
        case _:
            raise CommandFailed(argv, _FAILED, "it succeeded and reported nothing")


def _log(argv: Sequence[str], document: object) -> Sequence[Row]:
    match document:
        case {"log": [_, *_] as log} if _are_rows(log) and log[-1].get("log_ret_code", "").lstrip("-").isdecimal():
            return cast(Sequence[Row], log)
        case _:
            raise CommandFailed(argv, _FAILED, "it did not say whether it succeeded")


def _are_rows(found: object) -> bool:
    return isinstance(found, list) and all(
        isinstance(row, dict) and all(isinstance(value, str) for value in row.values()) for row in found
    )


def _line(argv: Sequence[str]) -> str:
    """A line of the shell, which splits at blanks and knows quotes but no escapes."""
    for word in argv:
        if "'" in word or "\n" in word:
            raise ValueError(f"the lvm shell cannot be given {word!r}")
    return " ".join(word if re.fullmatch(r"[\w/:=,.+#&!@-]+", word) else f"'{word}'" for word in argv) + "\n"


def _environment() -> dict[str, str]:
    return {**child_environment(), "LVM_SUPPRESS_FD_WARNINGS": "1"}


def _lvm_binary() -> str:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    found = shutil.which("lvm", path=path)
    if found is None:
        raise UnfitMachine("lvm is missing", "install lvm2 (`apt-get install lvm2`)")
    if os.geteuid() != 0:
        raise UnfitMachine("not root", "LVM needs root; `lvmqcow lab run` gives a root of its own")
    return found
