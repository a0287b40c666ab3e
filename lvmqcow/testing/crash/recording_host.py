"""A host that notes the command of every step that it is asked to run."""

from __future__ import annotations

import shlex

from lvmqcow.engine.host import Host, HostWrapper
from lvmqcow.steps import Step
from lvmqcow.system.callbacks import Progress

__all__ = ["RecordingHost"]


class RecordingHost(HostWrapper):
    """A host that adds the command of each step to ``commands``, before the step runs."""

    def __init__(self, host: Host, commands: list[str]) -> None:
        super().__init__(host)
        self._commands = commands

    def run(self, step: Step, progress: Progress | None = None) -> None:
        self._commands.append(shlex.join(step.argv(self.vg)))
        self.host.run(step, progress)
