"""The interface between plans and the machine.

A `Host` is one volume group on some machine. It has three parts: an `Observer` takes pictures, `Images` answers
questions that need qemu-img, and a `Runner` runs steps. `lvmqcow.real_host.RealHost` uses LVM and QEMU.
`lvmqcow.testing.simulated.SimHost` is a volume group in memory. Planners, recovery and the public API know only these
protocols.
To change single answers of a host, subclass `HostWrapper`.
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
    """Looks at a volume group and changes nothing."""

    @property
    def vg(self) -> str:
        """The volume group's name."""

    def observe(self) -> VolumeGroup:
        """Take a picture of the volume group as it is now. Raises VolumeGroupNotFound."""

    def headers(self, lv_names: Iterable[str]) -> Mapping[str, Header]:
        """Return the qcow2 headers of these active LVs, without those that hold none. Raises CommandFailed."""

    def holders(self, lv_name: str) -> tuple[Holder, ...]:
        """Return what uses an LV: processes, devices on top of the LV, and mounts."""


class Images(Protocol):
    """Answers questions about images that need qemu-img, and changes no image."""

    def measure(self, virtual_size_bytes: int, options: ImageOptions = OURS) -> int:
        """Return how many bytes a fully allocated image of that virtual size and those options takes."""

    def merge_cost(self, child_lv: str) -> MergeCost:
        """Return how many bytes a merge of an active layer with its parent would move. Raises Corrupt."""

    def check(self, lv_name: str) -> ImageCheck:
        """Check the image on an active LV.

        Raises:
            Corrupt: the header of the image, or of an image below it, leads out of the volume group.
            CommandFailed: the image cannot be read.
        """

    def check_file(self, path: str, source_format: SourceFormat) -> FileCheck:
        """Check a file that is to be imported and is not raw, within limits. Raises CommandFailed, NotPossible."""


class Runner(Protocol):
    """Runs steps on a volume group."""

    def require_fit(self, steps: Sequence[Step]) -> None:
        """Check that the machine has all that these steps need; run nothing. Raises UnfitMachine."""

    def run(self, step: Step, progress: Progress | None = None) -> None:
        """Run one step. When this returns, the effect of the step survives a power loss.

        Raises:
            CommandFailed: the command failed; with its stderr.
            UnfitMachine: the command could not be started.
            Corrupt: the step would open an image that leads out of the volume group. The step was not run.
        """

    def close(self) -> None:
        """End the processes that the host started."""


class Host(Observer, Images, Runner, Protocol):
    """One volume group on a machine: looks at it, asks qemu-img about its images, and runs steps."""


class HostWrapper:
    """A host that passes every call on to another host. A subclass overrides the calls that it changes."""

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
