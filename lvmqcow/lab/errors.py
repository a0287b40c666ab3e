"""The error of the lab itself. A command that fails raises none: its status is the result."""

from __future__ import annotations

__all__ = ["LabError"]


class LabError(Exception):
    """The lab could not be started, or died under its command.

    problem:     what is wrong, in one sentence
    next_step:   what to do about it
    console:     what the lab's kernel printed, if it got that far
    """

    def __init__(self, problem: str, next_step: str, console: str = "") -> None:
        super().__init__(problem, next_step, console)
        self.problem = problem
        self.next_step = next_step
        self.console = console

    def __str__(self) -> str:
        text = f"{self.problem}\n{self.next_step}"
        if self.console:
            text += f"\n--- the lab's console ---\n{self.console.rstrip()}\n--- end of console ---"
        return text
