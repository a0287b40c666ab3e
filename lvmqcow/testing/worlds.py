"""The two worlds a test can run in: one class each, the same interface.

A world is a storage, a guest that writes to its volumes, and an independent way to see what the volumes hold. The
simulated one looks into `SimHost`; the real one asks ``qemu-io`` to write and ``qemu-img compare`` to compare with a
raw golden file, so it trusts nothing of lvmqcow's own reading.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lvmqcow.core.names import Format, Layout, device_path, dm_name
from lvmqcow.core.sizing import SECTOR_BYTES
from lvmqcow.engine.host import Host
from lvmqcow.lvm.commands import LvmProcesses
from lvmqcow.steps import LvActivate, LvDeactivate
from lvmqcow.storage import Storage
from lvmqcow.testing.conformance.implementation import OURS, Implementation
from lvmqcow.testing.content import BLOCK_BYTES, Content, Write
from lvmqcow.testing.simulated.host import SimHost

__all__ = ["RealWorld", "SimWorld", "World", "compared", "write_to_image"]


class World(Protocol):
    """Where a test runs."""

    @property
    def host(self) -> Host:
        """The volume group."""

    @property
    def storage(self) -> Storage:
        """The public API on it."""

    @property
    def layout(self) -> Layout:
        """The layout of the snapshots that the storage makes."""

    def write(self, lv: str, image_format: Format, writes: Sequence[Write]) -> None:
        """Write to an image as a guest does."""

    def difference(self, lv: str, image_format: Format, expected: Content) -> str | None:
        """Return how an image differs from the expected content; None if it does not."""

    def readable(self) -> AbstractContextManager[None]:
        """Activate everything for the block, so that everything can be read; then restore what was active."""

    def free_file(self) -> str:
        """Return a path without a file, for an export to write to."""

    def leftovers(self) -> tuple[str, ...]:
        """Return leftovers: devices and names in /dev of no LV, and devices that differ from LVM's report."""

    def through(self, changed: Callable[[Host], Host]) -> World:
        """Return the same world, whose storage works through another host. ``changed`` makes it of this one."""

    def reboot(self) -> None:
        """Do to the volume group what a crash of the machine does: nothing is active when it comes back."""

    def close(self) -> None:
        """Remove everything that the world made."""


class SimWorld:
    """A volume group in memory."""

    def __init__(
        self, host: SimHost | None = None, layout: Layout = Layout.RFC, implementation: Implementation = OURS
    ) -> None:
        self._host = host if host is not None else SimHost()
        self._layout = layout
        self._implementation = implementation
        self._storage = implementation.storage(self._host, layout)

    @property
    def host(self) -> SimHost:
        return self._host

    @property
    def storage(self) -> Storage:
        return self._storage

    @property
    def layout(self) -> Layout:
        return self._layout

    def write(self, lv: str, image_format: Format, writes: Sequence[Write]) -> None:
        self._host.guest_write(lv, writes)

    def difference(self, lv: str, image_format: Format, expected: Content) -> str | None:
        return expected.difference(self._host.read(lv))

    def readable(self) -> AbstractContextManager[None]:
        return _readable(self._host)

    def free_file(self) -> str:
        return "/exported"

    def leftovers(self) -> tuple[str, ...]:
        return ()

    def through(self, changed: Callable[[Host], Host]) -> SimWorld:
        twin = copy(self)
        twin._storage = self._implementation.storage(changed(self._host), self._layout)
        return twin

    def reboot(self) -> None:
        self._host.reboot()

    def close(self) -> None:
        pass


class RealWorld:
    """A real volume group, emptied at the start; ``directory`` takes golden files and exports."""

    def __init__(
        self, host: Host, directory: Path, layout: Layout = Layout.RFC, implementation: Implementation = OURS
    ) -> None:
        self._host = host
        self._layout = layout
        self._implementation = implementation
        self._golden = directory / f"{host.vg}.golden"
        self._exported = directory / f"{host.vg}.exported"
        self._storage = implementation.storage(host, layout)
        self._empty()

    @property
    def host(self) -> Host:
        return self._host

    @property
    def storage(self) -> Storage:
        return self._storage

    @property
    def layout(self) -> Layout:
        return self._layout

    def write(self, lv: str, image_format: Format, writes: Sequence[Write]) -> None:
        write_to_image(device_path(self._host.vg, lv), image_format, writes)

    def difference(self, lv: str, image_format: Format, expected: Content) -> str | None:
        return compared(device_path(self._host.vg, lv), image_format, expected, self._golden)

    def readable(self) -> AbstractContextManager[None]:
        return _readable(self._host)

    def free_file(self) -> str:
        self._exported.unlink(missing_ok=True)
        return str(self._exported)

    def leftovers(self) -> tuple[str, ...]:
        vg = self._host.vg
        sizes = {lv.name: lv.size_bytes for lv in self._host.observe().logical_volumes if lv.active}
        expected = {dm_name(vg, name): name for name in sizes}
        devices = {device.name: device for device in _devices() if device.name.startswith(dm_name(vg, ""))}
        nodes = {node.name: node.stat().st_rdev for node in Path("/dev/mapper").iterdir() if node.name != "control"}
        nodes = {name: number for name, number in nodes.items() if name.startswith(dm_name(vg, ""))}
        links = set(os.listdir(f"/dev/{vg}")) if Path("/dev", vg).is_dir() else set()
        return (
            *(f"device {name} without an LV" for name in sorted(devices.keys() - expected)),
            *(f"no device of the LV {expected[name]}" for name in sorted(expected.keys() - devices.keys())),
            *(f"device node {name} without an LV" for name in sorted(nodes.keys() - expected)),
            *(f"/dev/{vg}/{name} without an LV" for name in sorted(links - sizes.keys())),
            *(
                f"{name}: {wrong}"
                for name, device in sorted(devices.items())
                if name in expected
                for wrong in device.wrong(sizes[expected[name]], nodes.get(name))
            ),
        )

    def through(self, changed: Callable[[Host], Host]) -> RealWorld:
        twin = copy(self)
        twin._storage = self._implementation.storage(changed(self._host), self._layout)
        return twin

    def reboot(self) -> None:
        active = tuple(sorted(lv.name for lv in self._host.observe().logical_volumes if lv.active))
        if active:
            self._host.run(LvDeactivate(active))

    def close(self) -> None:
        self._empty()
        for file in (self._golden, self._exported):
            file.unlink(missing_ok=True)

    def _empty(self) -> None:
        names = [f"{self._host.vg}/{lv.name}" for lv in self._host.observe().logical_volumes]
        if names:
            LvmProcesses().change(("lvremove", "--yes", *names))


def compared(path: str, image_format: Format, expected: Content, golden: Path) -> str | None:
    """Return what ``qemu-img compare`` finds between an image and the expected content, written to ``golden``."""
    expected.save(golden)
    argv = ("qemu-img", "compare", "-f", "raw", "-F", image_format.value, str(golden), path)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"{path}: {done.stdout}{done.stderr}"


def write_to_image(path: str, image_format: Format, writes: Sequence[Write]) -> None:
    """Write to an image as a guest does, with ``qemu-io``. Raises AssertionError: a write fails."""
    commands = [
        word
        for write in writes
        for word in ("-c", f"write -P {write.byte} {write.block * BLOCK_BYTES} {write.count * BLOCK_BYTES}")
    ]
    _run(("qemu-io", "-f", image_format.value, *commands, path))


@contextmanager
def _readable(host: Host) -> Iterator[None]:
    idle = tuple(lv.name for lv in host.observe().logical_volumes if not lv.active)
    if idle:
        host.run(LvActivate(idle))
    yield
    if idle:
        host.run(LvDeactivate(idle))


@dataclass(frozen=True)
class _Device:
    """A device-mapper device as ``dmsetup`` shows it."""

    name: str
    number: int
    suspended: bool
    waiting: bool
    size_bytes: int

    def wrong(self, size_bytes: int, node: int | None) -> Iterator[str]:
        """Return what is wrong with the device of an LV of that size, and with its node in /dev."""
        if self.suspended:
            yield "it is suspended"
        if self.waiting:
            yield "a table waits in it"
        if self.size_bytes != size_bytes:
            yield f"the device has {self.size_bytes} bytes, the LV {size_bytes}"
        if node != self.number:
            yield f"its device node has the number {node}, not {self.number}"


def _devices() -> Iterator[_Device]:
    fields = "name,major,minor,suspended,tables_loaded"
    argv = ("dmsetup", "info", "--columns", "--noheadings", "--separator", " ", "-o", fields)
    for line in subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines():
        if line.count(" ") != fields.count(","):
            continue  # it says that there are none
        name, major, minor, suspended, tables = line.split(" ")
        number, table = os.makedev(int(major), int(minor)), Path(f"/sys/dev/block/{major}:{minor}/size")
        size_bytes = int(table.read_text()) * SECTOR_BYTES if table.exists() else 0  # it has none without a table
        yield _Device(name, number, suspended == "Suspended", tables in ("Both", "Inactive"), size_bytes)


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    # qemu-io exits 0 when a write fails; it says so on stdout or stderr
    if done.returncode or "failed" in done.stdout + done.stderr or "rror" in done.stderr:
        raise AssertionError(f"{argv}: {done.stdout}{done.stderr}")
