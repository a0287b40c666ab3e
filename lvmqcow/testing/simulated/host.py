"""A volume group in memory: `SimHost` models what each step does to LVs, tags, headers and data.

It is a host like `RealHost`: planners, recovery and the public API run on it unchanged, thousands of steps a second,
on any machine. It refuses what lvm2 and qemu-img refuse. A new LV holds the bytes of its extents' last user, and
discarded
bytes are still there. Tests run the same plans on both hosts and compare
(``tests/real/test_agreement.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.holder import Holder
from lvmqcow.core.images import FileCheck, ImageCheck, MergeCost
from lvmqcow.core.lv import StrayKind
from lvmqcow.core.qcow2 import OURS, Header, ImageOptions
from lvmqcow.core.sizing import extents, whole_extents
from lvmqcow.errors import CommandFailed
from lvmqcow.formats import SourceFormat
from lvmqcow.steps import (
    DeviceStep,
    LvmStep,
    Step,
)
from lvmqcow.system.callbacks import Progress
from lvmqcow.testing.content import BLOCK_BYTES, Content, GuestWrites, Write
from lvmqcow.testing.simulated.images import read, run_image
from lvmqcow.testing.simulated.lvm import run_device, run_lvm
from lvmqcow.testing.simulated.measure import fully_allocated_bytes
from lvmqcow.testing.simulated.state import Qcow, State, header_of

__all__ = ["SimHost"]


class SimHost:
    """One volume group in memory."""

    def __init__(
        self,
        vg: str = "sim",
        size_bytes: int = 4 * 1024**3,
        extent_size_bytes: int = 4 * 1024**2,
        files: Mapping[str, Content] | None = None,
    ) -> None:
        """``files`` are the files that imports read, by path; a stream is the file of its `stream_path`."""
        self.state = State(vg, size_bytes // extent_size_bytes, extent_size_bytes, dict(files or {}))
        self._history: tuple[Step | GuestWrites, ...] = ()
        self._failure: str | None = None

    @property
    def freed_unwiped(self) -> tuple[str, ...]:
        """The LVs, by their last names, that were removed with their content still readable for the next LV."""
        return self.state.freed

    @property
    def vg(self) -> str:
        return self.state.vg

    @property
    def key(self) -> Hashable:
        """The whole state.

        Two hosts of one volume group with the same key behave the same, whatever was done before.
        """
        strays = frozenset(self.state.strays.items())
        return frozenset(self.state.lvs.items()), self.state.partial, self.state.freed, self.state.group, strays

    @property
    def history(self) -> tuple[Step | GuestWrites, ...]:
        """Everything that was done, in order.

        Repeated on an empty volume group, also a real one, it gives the same state.
        """
        return self._history

    def copy(self) -> SimHost:
        """Return a second host in the same state."""
        twin = SimHost(self.vg)
        twin.state = self.state.copy()
        twin._history = self._history
        return twin

    def observe(self) -> VolumeGroup:
        return self.state.observe()

    def headers(self, lv_names: Iterable[str]) -> Mapping[str, Header]:
        images = {name: self.state.open(name, ("read", name)).image for name in lv_names}
        return {name: header_of(image) for name, image in images.items() if isinstance(image, Qcow)}

    def measure(self, virtual_size_bytes: int, options: ImageOptions = OURS) -> int:
        return fully_allocated_bytes(virtual_size_bytes, options)

    def merge_cost(self, child_lv: str) -> MergeCost:
        argv = ("merge cost", child_lv)
        self.state.view(child_lv, argv)
        child = self.state.qcow(child_lv, argv)
        below = self.state.qcow(child.backing, argv).blocks if child.backing else {}
        only_below = sum(block not in child.blocks for block in below)
        return MergeCost(pull_bytes=only_below * BLOCK_BYTES, push_bytes=len(child.blocks) * BLOCK_BYTES)

    def check(self, lv_name: str) -> ImageCheck:
        argv = ("check", lv_name)
        image = self.state.qcow(lv_name, argv)
        self.state.view(lv_name, argv)
        cluster_bytes = image.options.cluster_size_bytes
        clusters = {block * BLOCK_BYTES // cluster_bytes for block in image.blocks}
        allocated_bytes = len(clusters) * cluster_bytes
        data_bytes = whole_extents(image.virtual_size_bytes, cluster_bytes)
        metadata_bytes = fully_allocated_bytes(image.virtual_size_bytes, image.options) - data_bytes
        beyond_bytes = metadata_bytes + allocated_bytes - self.state.lvs[lv_name].device_bytes
        return ImageCheck(
            corruptions=max(0, extents(beyond_bytes, cluster_bytes)),
            leaked_clusters=image.leaked_clusters,
            allocated_bytes=allocated_bytes,
        )

    def check_file(self, path: str, source_format: SourceFormat) -> FileCheck:
        return FileCheck(self.state.files[path].size_bytes, corruptions=0)  # a simulated file is whole

    def holders(self, lv_name: str) -> tuple[Holder, ...]:
        return self.state.lvs[lv_name].holders if lv_name in self.state.lvs else ()

    def hold(self, lv_name: str, *holders: Holder) -> None:
        """Let these holders use an LV, so that LVM does not deactivate it; without holders, nothing uses it."""
        self.state.lvs[lv_name] = replace(self.state.open(lv_name, ("hold", lv_name)), holders=holders)

    def lay_out(self, lv_name: str, options: ImageOptions) -> None:
        """Give an image these options, as if another tool had made it. Its content stays."""
        self.state.put(lv_name, replace(self.state.qcow(lv_name, ("lay out", lv_name)), options=options))

    def suspend(self, lv_name: str) -> None:
        """Suspend the device of an LV, as an lvm does that is killed while it changes the LV. Readers would hang."""
        self.state.lvs[lv_name] = replace(self.state.open(lv_name, ("suspend", lv_name)), suspended=True)

    def preload(self, lv_name: str, size_bytes: int) -> None:
        """Load a second table of that size into the device of an LV, as an lvm killed before its commit does."""
        self.state.lvs[lv_name] = replace(self.state.open(lv_name, ("preload", lv_name)), preloaded_bytes=size_bytes)

    def misplace(self, lv_name: str) -> None:
        """Make the name of an LV in ``/dev`` wrong: missing if the LV is active, and there if it is not."""
        self.state.lvs[lv_name] = replace(self.state.find(lv_name, ("misplace", lv_name)), wrong_in_dev=True)

    def stray(self, lv_name: str, kind: StrayKind) -> None:
        """Put something into ``/dev`` under a name that no LV has."""
        self.state.strays[lv_name] = kind

    def reboot(self) -> None:
        """Reboot the machine: nothing is active, and ``/dev`` is new."""
        for name, lv in self.state.lvs.items():
            self.state.lvs[name] = replace(lv, active=False, suspended=False, preloaded_bytes=None, wrong_in_dev=False)
        self.state.strays.clear()

    def fail_next(self, said: str) -> None:
        """Let the next step fail without any effect; ``said`` is what its command writes to stderr."""
        self._failure = said

    def scatter(self, lv_name: str, more_bytes: int) -> None:
        """Let an image take this much more space than `measure` says, as after a guest's discards and writes."""
        self.state.put(lv_name, replace(self.state.qcow(lv_name, ("scatter", lv_name)), scattered_bytes=more_bytes))

    def lose_physical_volume(self, *lv_names: str) -> None:
        """Lose a physical volume that holds parts of these LVs."""
        self.state.partial = frozenset(self.state.lvs[name].uuid for name in lv_names)

    def regroup(self, change: Callable[[VolumeGroup], VolumeGroup]) -> None:
        """From now on the volume group itself is as ``change`` makes it: exported, another host's, with a limit of LVs.

        What it says of logical volumes and of space goes for nothing: that is what is in it.
        """
        self.state.group = change(self.state.group)

    def exported(self, path: str) -> Content:
        """Return what an export wrote to a file."""
        return self.state.files[path]

    def close(self) -> None:
        pass

    def require_fit(self, steps: Sequence[Step]) -> None:
        pass

    def run(self, step: Step, progress: Progress | None = None) -> None:
        argv = step.argv(self.vg)
        if self._failure is not None:
            said, self._failure = self._failure, None
            raise CommandFailed(argv, 1, said)
        if isinstance(step, LvmStep):
            run_lvm(self.state, step, argv)
        elif isinstance(step, DeviceStep):
            run_device(self.state, step, argv)
        else:
            run_image(self.state, step, argv)
        self._history = (*self._history, step)

    def guest_write(self, lv_name: str, writes: Iterable[Write]) -> None:
        """Write as a guest does, through the open image."""
        lv, done = self.state.open(lv_name, ("guest write", lv_name)), tuple(writes)
        blocks = dict(lv.image.blocks)
        for write in done:
            blocks.update(write.blocks)
        self.state.put(lv_name, replace(lv.image, blocks=blocks))
        self._history = (*self._history, GuestWrites(lv_name, done))

    def read(self, lv_name: str) -> Content:
        """Return what a guest reads from an image, backing images included."""
        return read(self.state, lv_name)
