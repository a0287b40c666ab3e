"""What the command line writes: data to stdout, messages and progress to stderr.

A program gets JSON, whose fields only ever get added; a person gets tables and trees; a pipe gets the same, plain.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from lvmqcow.core.fitness import Condition
from lvmqcow.core.sizing import format_size
from lvmqcow.errors import CommandFailed, LvmqcowError, OperationCut
from lvmqcow.operations import Plan
from lvmqcow.steps import LvZeroRange, RangeStep, Step

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Output", "plan_document", "writing"]

_STDOUT: Final = 1
_STDERR: Final = 2


class Output:
    """Where a verb writes to."""

    def __init__(self, as_json: bool, verbose: bool) -> None:
        self.as_json = as_json
        self._verbose = verbose
        self._progressing = False
        self._doing = ""

    def data(self, document: dict[str, object], human: RenderableType = "") -> None:
        """The result: ``document`` for a program, ``human`` for anybody else (nothing when empty)."""
        with writing():
            if self.as_json:
                print(json.dumps(document, indent=2))
            elif human != "":
                print(_rendered(human), end="")

    def commands(self, plan: Plan) -> None:
        """What ``--dry-run`` prints: the plan's commands, to copy and paste."""
        if self.as_json:
            self.data(plan_document(plan, dry_run=True))
        else:
            with writing():
                for argv in plan.commands:
                    print(shlex.join(argv))

    def say(self, message: str) -> None:
        """A message."""
        self._end_progress()
        _tell(f"lvmqcow: {message}")

    def error(self, error: LvmqcowError, status: int) -> None:
        """What went wrong; for a program as one line of JSON."""
        self._end_progress()
        if self.as_json:
            _tell(json.dumps(_error_document(error, status), default=str))
        else:
            for message in (str(error), *_notes(error)):
                self.say(message)

    def trace(self, argv: Sequence[str]) -> None:
        """With ``--verbose``: an external command that is about to run."""
        if self._verbose:
            self._end_progress()
            _tell(f"+ {shlex.join(argv)}")

    def recovering(self, plan: Plan) -> None:
        """The one line that says recovery runs first."""
        self.say(f"an operation on {plan.target} was cut before; first: {plan.operation}")

    def postponed(self, error: LvmqcowError) -> None:
        """What recovery has to do later, once there is space for it."""
        self.say(f"not yet, the volume is used as it is: {error}")

    def waiting(self, argv: Sequence[str]) -> None:
        """Why nothing happens."""
        self.say(f"waiting for `{shlex.join(argv)}`: another LVM command may hold the volume group; Ctrl-C stops it")

    def warned(self, text: str) -> None:
        """What LVM complains of although it did what it was asked for; for a program as one line of JSON."""
        self._end_progress()
        if self.as_json:
            _tell(json.dumps({"warning": text}))
        else:
            self.say(f"LVM says: {text}")

    def conditions(self, vg: str, conditions: Sequence[Condition]) -> None:
        """What there is to say of the volume group where volumes are looked at; programs get it in the result."""
        for condition in () if self.as_json else conditions:
            self.say(f"{vg}: {condition.text}; {condition.advice} [{condition.state}]")

    def begun(self, step: Step) -> None:
        """What the progress that follows is of."""
        self._end_progress()
        self._doing = _doing(step)

    def progress(self, percent: float) -> None:
        """How far a long step is, for a person to watch."""
        if sys.stderr.isatty() and not self.as_json:
            _tell(f"\r{percent:6.2f} %{self._doing}", end="")
            self._progressing = True

    def _end_progress(self) -> None:
        if self._progressing:
            _tell("")
            self._progressing = False


@contextmanager
def writing() -> Iterator[None]:
    """What is within writes to standard output. Raises CommandFailed: whoever read it stopped, or there is no room."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        _give_up(_STDOUT)
        raise CommandFailed(("write", "standard output"), error.errno or 1, error.strerror or str(error)) from error


def _tell(text: str, end: str = "\n") -> None:
    """Write to standard error. Where nobody can be told, what is being done goes on: it must not stop between steps."""
    try:
        print(text, end=end, file=sys.stderr, flush=True)
    except OSError:
        _give_up(_STDERR)


def _give_up(stream: int) -> None:
    """What is left for a standard stream goes nowhere: Python would try again at its end."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream)
        os.close(nowhere)


def plan_document(plan: Plan, dry_run: bool) -> dict[str, object]:
    """A plan, for a program."""
    return {
        "operation": plan.operation,
        "volume": plan.target,
        "dry_run": dry_run,
        "commands": [list(argv) for argv in plan.commands],
    }


def _error_document(error: LvmqcowError, status: int) -> dict[str, object]:
    """An error, for a program: with the facts that the message tells in words, sizes in bytes among them."""
    cause = error.cause if isinstance(error, OperationCut) else error
    said = {"error": type(cause).__name__, "message": str(error), "exit_status": status}
    facts = {name: fact for name, fact in vars(cause).items() if not name.startswith("_")}
    notes = {"notes": _notes(error)} if _notes(error) else {}
    return {**said, **notes, **{name: fact for name, fact in facts.items() if name not in said}}


def _notes(error: LvmqcowError) -> tuple[str, ...]:
    return tuple(getattr(error, "__notes__", ()))


def _doing(step: Step) -> str:
    """A long step that takes one of several LVs, or a part of one: which."""
    if not isinstance(step, RangeStep):
        return ""
    verb = "zeroing" if isinstance(step, LvZeroRange) else "discarding"
    start, length = format_size(step.offset_bytes), format_size(step.length_bytes)
    return f"  {verb} {step.lv}, {length} from {start} on"


def _rendered(human: RenderableType) -> str:
    from rich.console import Console  # here, so that a program's call does not pay for it

    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(human, soft_wrap=True)
    return captured.get()
