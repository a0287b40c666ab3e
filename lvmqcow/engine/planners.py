"""The planners that the engine asks. A test harness can put wrong ones in their place, to see that it finds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import VolumeName
from lvmqcow.operations import Measure, Plan, Request, plan
from lvmqcow.operations.operation import Questions
from lvmqcow.operations.recovery import plan_recovery

__all__ = ["PLANNERS", "Planners"]


@dataclass(frozen=True)
class Planners:
    """What makes plans of pictures."""

    plan: Callable[[VolumeGroup, Request, Questions], Plan]
    """The plan of a request. Raises LvmqcowError: the request is refused."""
    plan_recovery: Callable[[VolumeGroup, VolumeName, Measure], Plan]
    """The plan that recovers a volume; the last argument measures an image."""


PLANNERS: Final = Planners(plan, plan_recovery)
"""Those of `lvmqcow.operations`."""
