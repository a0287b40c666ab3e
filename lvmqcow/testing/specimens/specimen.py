"""What a specimen is, and the ways to put a defect back: over a planner, or over the steps of a host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.images import FileCheck, MergeCost
from lvmqcow.core.names import VolumeName
from lvmqcow.core.qcow2 import OURS, ImageOptions
from lvmqcow.engine.host import Host, HostWrapper
from lvmqcow.engine.planners import PLANNERS, Planners
from lvmqcow.formats import SourceFormat
from lvmqcow.operations import Measure, Plan, Request
from lvmqcow.operations.operation import Questions
from lvmqcow.steps import Step
from lvmqcow.system.callbacks import Progress
from lvmqcow.testing.conformance.implementation import Implementation

__all__ = ["PlanPatch", "Planner", "Run", "Specimen", "StepPatch", "measured", "planned", "stepped", "with_planner"]

PlanPatch = Callable[[Plan], Plan]
"""Makes a wrong plan of the right one."""

Planner = Callable[[VolumeGroup, Request, Questions], Plan]

Run = Callable[[Step], None]
StepPatch = Callable[[Host, Step, Run], None]
"""Runs a step wrongly. It gets the host, the step, and what runs a step rightly."""


@dataclass(frozen=True)
class Specimen:
    """lvmqcow with one defect."""

    name: str
    origin: str
    """The row of fixtures/defects.toml that it puts back."""
    broke: str
    """What happens to a user, in one sentence."""
    suites: tuple[str, ...]
    """The suites that must find it, the quickest first."""
    implementation: Implementation


def planned(name: str, patch: PlanPatch, *requests: type[Request]) -> Implementation:
    """Return lvmqcow with the plans of these requests patched. A plan that a patch does not fit stays as it is."""

    def plan(vg: VolumeGroup, request: Request, images: Questions) -> Plan:
        right = PLANNERS.plan(vg, request, images)
        return patch(right) if isinstance(request, requests) and right.steps else right

    return with_planner(name, plan)


def with_planner(name: str, plan: Planner) -> Implementation:
    """Return lvmqcow with another planner of requests."""
    return Implementation(name, replace(PLANNERS, plan=plan))


def measured(name: str, measure: Callable[[int], int]) -> Implementation:
    """Return lvmqcow that measures images by a formula of its own."""

    def plan(vg: VolumeGroup, request: Request, images: Questions) -> Plan:
        return PLANNERS.plan(vg, request, _Measured(images, measure))

    def plan_recovery(vg: VolumeGroup, volume: VolumeName, _: Measure) -> Plan:
        return PLANNERS.plan_recovery(vg, volume, lambda size_bytes, options=OURS: measure(size_bytes))

    return Implementation(name, Planners(plan, plan_recovery))


def stepped(name: str, patch: StepPatch) -> Implementation:
    """Return lvmqcow whose steps run wrongly."""
    return Implementation(name, PLANNERS, lambda host: _PatchedHost(host, patch))


class _PatchedHost(HostWrapper):
    def __init__(self, host: Host, patch: StepPatch) -> None:
        super().__init__(host)
        self._patch = patch

    def run(self, step: Step, progress: Progress | None = None) -> None:
        self._patch(self.host, step, lambda each: self.host.run(each, progress))


class _Measured:
    """Answers a planner's questions, and measures images by a formula."""

    def __init__(self, images: Questions, measure: Callable[[int], int]) -> None:
        self._images = images
        self._measure = measure

    def measure(self, virtual_size_bytes: int, options: ImageOptions = OURS) -> int:
        return self._measure(virtual_size_bytes)

    def merge_cost(self, child_lv: str) -> MergeCost:
        return self._images.merge_cost(child_lv)

    def check_file(self, path: str, source_format: SourceFormat) -> FileCheck:
        return self._images.check_file(path, source_format)
