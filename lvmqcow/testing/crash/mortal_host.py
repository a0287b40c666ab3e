"""A host that dies after a number of steps, as a process that is killed does: it runs nothing more."""

from __future__ import annotations

from lvmqcow.engine.host import Host, HostWrapper
from lvmqcow.steps import Step
from lvmqcow.system.callbacks import Progress

__all__ = ["Died", "MortalHost"]


class Died(BaseException):
    """The host is dead. It is no Exception, so nothing on the way handles it."""


class MortalHost(HostWrapper):
    """A host that lives for ``steps`` steps. ``inside``: it dies when the first part of the next step is done."""

    def __init__(self, host: Host, steps: int, inside: bool = False) -> None:
        super().__init__(host)
        self._left = steps
        self._inside = inside

    def run(self, step: Step, progress: Progress | None = None) -> None:
        if self._left <= 0:
            if self._left == 0 and self._inside and step.parts:
                self.host.run(step.parts[0])
            self._left = -1
            raise Died
        self._left -= 1
        self.host.run(step, progress)
