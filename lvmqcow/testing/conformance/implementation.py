"""An implementation of ours that the suites judge: the library itself, or the library with one defect put back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lvmqcow.core.names import Layout
from lvmqcow.engine.events import Events
from lvmqcow.engine.host import Host
from lvmqcow.engine.locks import NoLocks
from lvmqcow.engine.planners import PLANNERS, Planners
from lvmqcow.storage import SILENT, Storage

__all__ = ["OURS", "Implementation"]


def _unchanged(host: Host) -> Host:
    return host


@dataclass(frozen=True)
class Implementation:
    """How a storage is made of a host."""

    name: str
    planners: Planners = PLANNERS
    changed: Callable[[Host], Host] = _unchanged
    """Puts a host in the place of another one, to change how steps run."""

    @property
    def is_ours(self) -> bool:
        """Whether it is the library as it is. Then a cut must come out as its plan says, not only old or new."""
        return self.planners is PLANNERS and self.changed is _unchanged

    def storage(self, host: Host, layout: Layout | None = None, events: Events = SILENT) -> Storage:
        """Return the public API on a host."""
        return Storage(self.changed(host), NoLocks(), events, layout=layout, planners=self.planners)


OURS: Final = Implementation("lvmqcow")
