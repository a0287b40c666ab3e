"""What a caller may want to hear while an operation runs."""

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
    """What a caller may want to hear while an operation runs."""

    recovered: Callable[[Plan], None] = lambda plan: None
    """Before recovery finishes or undoes an operation that was cut."""
    postponed: Callable[[LvmqcowError], None] = lambda error: None
    """Recovery found no space for what it has to finish, and the volume is used as it is."""
    begun: Callable[[Step], None] = lambda step: None
    """Before each step, and before those that a step needs for want of space."""
    progress: Progress = lambda percent: None
    """During long steps, in percent of the step."""
    waiting: Trace = lambda argv: None
    """When an LVM command has not answered for some seconds: another may hold LVM's lock on the volume group."""
    warned: Warned = lambda text: None
    """What LVM complains of although its command succeeded: each line once, as LVM says it."""
