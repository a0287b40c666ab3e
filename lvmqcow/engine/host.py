"""The seam between plans and the world.

A `Host` is one volume group on some machine. It is three things: an `Observer` that gives the picture, `Images` that
answer what only qemu-img can tell, and a `Runner` of steps. `lvmqcow.real_host.RealHost` is LVM and QEMU;
`lvmqcow.testing.SimHost` is a volume group in memory. Planners, recovery and the public API know only these protocols.
Whoever wants to change one answer of a host wraps it in a `HostWrapper`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.holder import Holder
from lvmqcow.core.images import FileCheck, ImageCheck, MergeCost
from lvmqcow.core.qcow2 import OURS, Header, ImageOptions
from lvmqcow.formats import SourceFormat
from lvmqcow.steps import Step
from lvmqcow.system.callbacks import Progress

__all__ = ["Host", "HostWrapper", "Images", "Observer", "Runner"]


class Observer(Protocol):
    """Looks at a volume group, and changes nothing."""

    @property
    def vg(self) -> str:
        """The volume group's name."""

    def observe(self) -> VolumeGroup:
        """The picture, now. Raises VolumeGroupNotFound."""

    def headers(self, lv_names: Iterable[str]) -> Mapping[str, Header]:
        """The qcow2 headers of those of these active LVs that hold one."""

    def holders(self, lv_name: str) -> tuple[Holder, ...]:
        """What uses an LV: processes, devices on top of it, mounts."""


class Images(Protocol):
    """Answers what only qemu-img can tell of images, and changes none."""

    def measure(self, virtual_size_bytes: int, options: ImageOptions = OURS) -> int:
        """Bytes that a fully allocated image of that virtual size and those options takes."""

    def merge_cost(self, child_lv: str) -> MergeCost:
        """What merging an active child with the image below it would move, either way. Raises Corrupt."""

    def check(self, lv_name: str) -> ImageCheck:
        """Check the image on an active LV. Raises Corrupt: its header leads out of the volume group."""

    def check_file(self, path: str, source_format: SourceFormat) -> FileCheck:
        """Look at a file from outside that is not raw, within limits. Raises CommandFailed, NotPossible."""


class Runner(Protocol):
    """Runs steps on a volume group."""

    def require_fit(self, steps: Sequence[Step]) -> None:
        """Raises UnfitMachine: the machine lacks something that one of these steps needs. Nothing is run."""

    def run(self, step: Step, progress: Progress | None = None) -> None:
        """Run one step; when it returns, what it did survives a power cut.

        Raises:
            CommandFailed: with what the command said.
            UnfitMachine: the command could not be started.
            Corrupt: the step would open an image that leads out of the volume group; it was not run.
        """

    def close(self) -> None:
        """End what was started."""


class Host(Observer, Images, Runner, Protocol):
    """One volume group, to look at and to change."""


class HostWrapper:
    """A host that answers as another one does. A subclass overrides what it wants to change."""

    def __init__(self, host: Host) -> None:
        self.host = host

    @property
    def vg(self) -> str:
        return self.host.vg

    def observe(self) -> VolumeGroup:
        return self.host.observe()

    def headers(self, lv_names: Iterable[str]) -> Mapping[str, Header]:
        return self.host.headers(lv_names)

    def holders(self, lv_name: str) -> tuple[Holder, ...]:
        return self.host.holders(lv_name)

    def measure(self, virtual_size_bytes: int, options: ImageOptions = OURS) -> int:
        return self.host.measure(virtual_size_bytes, options)

    def merge_cost(self, child_lv: str) -> MergeCost:
        return self.host.merge_cost(child_lv)

    def check(self, lv_name: str) -> ImageCheck:
        return self.host.check(lv_name)

    def check_file(self, path: str, source_format: SourceFormat) -> FileCheck:
        return self.host.check_file(path, source_format)

    def require_fit(self, steps: Sequence[Step]) -> None:
        self.host.require_fit(steps)

    def run(self, step: Step, progress: Progress | None = None) -> None:
        self.host.run(step, progress)

    def close(self) -> None:
        self.host.close()
