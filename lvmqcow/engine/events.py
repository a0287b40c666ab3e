"""What a caller can be told while an operation runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lvmqcow.errors import (
    LvmqcowError,
)
from lvmqcow.operations import Plan
from lvmqcow.steps import Step
from lvmqcow.system.callbacks import Progress, Trace, Warned

__all__ = ["Events"]


@dataclass(frozen=True)
class Events:
    """Callbacks that are called while an operation runs. By default they do nothing."""

    recovered: Callable[[Plan], None] = lambda plan: None
    """Called before recovery finishes or undoes an operation that was cut."""
    postponed: Callable[[LvmqcowError], None] = lambda error: None
    """Called when recovery has no space to finish a merge. The operation goes on, and the merge is finished later."""
    begun: Callable[[Step], None] = lambda step: None
    """Called before each step, and before the steps that make more room for a step."""
    progress: Progress = lambda percent: None
    """Called during long steps, with the percentage of the step that is done."""
    waiting: Trace = lambda argv: None
    """Called when an LVM command has not answered for some seconds: another process may hold LVM's lock."""
    warned: Warned = lambda text: None
    """Called with each warning that LVM prints although its command succeeded; once for each line."""
