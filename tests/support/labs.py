"""Starts labs for the tests of this folder, and looks for what they might leave behind."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

CHECKOUT = Path(__file__).resolve().parents[2]
LAB = str(CHECKOUT / "ci" / "lab")
DEADLINE_SECONDS = 900.0  # of what would never end: no machine is that slow

# The lab, with a command given for ever to finish after the first signal.
PATIENT_LAB = (
    "/usr/bin/python3",
    "-c",
    f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n"
    "from lvmqcow.lab import cli, session\n"
    "session.GRACE_SECONDS = 1e6\n"
    "sys.exit(cli.main())",
)

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Result:
    """How a command in a lab ended."""

    status: int
    output: bytes
    errors: bytes

    @property
    def lines(self) -> list[str]:
        return self.output.decode().splitlines()


def run_lab(
    *command: str | bytes,
    cwd: Path,
    options: Sequence[str] = (),
    given: bytes = b"",
    environment: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    lab: str = LAB,
) -> Result:
    """`ci/lab run OPTIONS -- COMMAND`, with `given` on stdin."""
    done = subprocess.run(
        [*prefix, lab, "run", *options, "--", *command],
        cwd=cwd,
        input=given,
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        env={**os.environ, **(environment or {})},
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def run_nested(script: str, *, cwd: Path, launcher: Sequence[str] = (LAB,)) -> Result:
    """A shell script in a lab within the lab: the inner one runs directly. $LAB, one plain word, is the launcher."""
    write_lab = 'printf \'#!/bin/sh\\nexec %s "$@"\\n\' "$1" > /run/lab; chmod +x /run/lab; LAB=/run/lab'
    return run_lab("sh", "-c", f"{write_lab}\n{script}", str(CHECKOUT), shlex.join(launcher), cwd=cwd)


def wait_until(what: str, condition: Callable[[], _Value]) -> _Value:
    """The first true value of `condition`; fails loudly when it takes too long."""
    end = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"still not: {what}")


class StartedLab:
    """A lab in the background, seen from the machine."""

    def __init__(
        self,
        *command: str,
        cwd: Path,
        options: Sequence[str] = (),
        launcher: Sequence[str] = (LAB,),
    ) -> None:
        self.runner = subprocess.Popen(
            [*launcher, "run", *options, "--", *command],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def wait_for_output(self, expected: bytes) -> None:
        """Until the command has written this."""
        assert self.runner.stdout is not None
        read = b""
        while expected not in read:
            piece = os.read(self.runner.stdout.fileno(), 65536)
            assert piece, f"the lab ended before writing {expected!r}: {read!r}"
            read += piece

    def finish(self) -> Result:
        """Wait for its end."""
        try:
            output, errors = self.runner.communicate(timeout=DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self.runner.kill()
            raise
        return Result(self.runner.returncode, output, errors)

    def supervisor(self) -> int:
        """The process that stands behind it."""
        return wait_until("a supervisor", self._find_supervisor)

    def run_directory(self) -> Path:
        """Where its kernel's sockets are."""
        argv = _command_line(self.supervisor()).split("\0")
        return next(Path(word) for word in argv if Path(word).name.startswith("lvmqcow-lab-"))

    def _find_supervisor(self) -> int:
        parent = f"PPid:\t{self.runner.pid}\n"
        return next(
            (pid for pid in _processes() if "supervisor.py" in _command_line(pid) and parent in _read(pid, "status")),
            0,
        )


def traces_of(run_directory: Path) -> list[str]:
    """What is left of a lab: its directory, and every process that has it on its command line."""
    processes = [pid for pid in _processes() if str(run_directory) in _command_line(pid)]
    directory = [str(run_directory)] if run_directory.exists() else []
    return directory + [f"{pid}: {_command_line(pid)[:80]}" for pid in processes]


def kernels_of(run_directory: Path) -> list[int]:
    """The processes of its kernel."""
    return [
        pid
        for pid in _processes()
        if "umid=lab\0" in (line := _command_line(pid)) and str(run_directory) in line and "supervisor.py" not in line
    ]


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _command_line(pid: int) -> str:
    return _read(pid, "cmdline")


def _read(pid: int, name: str) -> str:
    try:
        return Path("/proc", str(pid), name).read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has ended
        return ""
