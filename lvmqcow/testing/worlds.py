"""The two worlds a test can run in: one class each, the same interface.

A world is a storage, a guest that writes to its volumes, and an independent way to see what the volumes hold. The
simulated one looks into `SimHost`; the real one asks ``qemu-io`` to write and ``qemu-img compare`` to compare with a
raw golden file, so it trusts nothing of lvmqcow's own reading.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from lvmqcow.host import Host
from lvmqcow.locks import NoLocks
from lvmqcow.lvm import LvmProcesses
from lvmqcow.names import Format, Layout, device_path
from lvmqcow.steps import LvActivate, LvDeactivate
from lvmqcow.storage import Storage
from lvmqcow.testing.content import BLOCK_BYTES, Content, Write
from lvmqcow.testing.sim import SimHost

__all__ = ["RealWorld", "SimWorld", "World", "compared"]


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
        """What the snapshots that the storage makes are called."""

    def write(self, lv: str, image_format: Format, writes: Sequence[Write]) -> None:
        """Write to an image as a guest does."""

    def difference(self, lv: str, image_format: Format, expected: Content) -> str | None:
        """What distinguishes an image from the expected content; None when nothing does."""

    def readable(self) -> AbstractContextManager[None]:
        """Everything is active within, and as it was afterwards: what is not active can be looked at so."""

    def free_file(self) -> str:
        """A path that an export may write to, and an import read: nothing is there."""

    def leftovers(self) -> tuple[str, ...]:
        """What is there and belongs to nothing: device-mapper nodes without an LV, for one."""

    def close(self) -> None:
        """Leave nothing behind."""


class SimWorld:
    """A volume group in memory."""

    def __init__(self, host: SimHost | None = None, layout: Layout = Layout.SEED) -> None:
        self._host = host if host is not None else SimHost()
        self._layout = layout
        self._storage = Storage(self._host, NoLocks(), layout=layout)

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
        found = self._host.read(lv)
        return None if found == expected else f"{lv} reads {found}, not {expected}"

    def readable(self) -> AbstractContextManager[None]:
        return _readable(self._host)

    def free_file(self) -> str:
        return "/exported"

    def leftovers(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        pass


class RealWorld:
    """A real volume group, emptied at the start; ``directory`` takes golden files and exports."""

    def __init__(self, host: Host, directory: Path, layout: Layout = Layout.SEED) -> None:
        self._host = host
        self._layout = layout
        self._golden = directory / f"{host.vg}.golden"
        self._exported = directory / f"{host.vg}.exported"
        self._storage = Storage(host, NoLocks(), layout=layout)
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
        commands = [
            word
            for write in writes
            for word in ("-c", f"write -P {write.byte} {write.block * BLOCK_BYTES} {write.count * BLOCK_BYTES}")
        ]
        _run(("qemu-io", "-f", image_format.value, *commands, device_path(self._host.vg, lv)))

    def difference(self, lv: str, image_format: Format, expected: Content) -> str | None:
        return compared(device_path(self._host.vg, lv), image_format, expected, self._golden)

    def readable(self) -> AbstractContextManager[None]:
        return _readable(self._host)

    def free_file(self) -> str:
        self._exported.unlink(missing_ok=True)
        return str(self._exported)

    def leftovers(self) -> tuple[str, ...]:
        lvs = {f"{_dm(self._host.vg)}-{_dm(lv.name)}" for lv in self._host.observe().logical_volumes if lv.active}
        nodes = {node.name for node in Path("/dev/mapper").iterdir()} - {"control"}
        own = {node for node in nodes if node.startswith(f"{_dm(self._host.vg)}-")}
        return (*(f"device {node} without an LV" for node in sorted(own - lvs)),)

    def close(self) -> None:
        self._empty()
        for file in (self._golden, self._exported):
            file.unlink(missing_ok=True)

    def _empty(self) -> None:
        names = [f"{self._host.vg}/{lv.name}" for lv in self._host.observe().logical_volumes]
        if names:
            LvmProcesses().change(("lvremove", "--yes", *names))


def compared(path: str, image_format: Format, expected: Content, golden: Path) -> str | None:
    """What ``qemu-img compare`` finds between an image and the expected content, which is put into ``golden``."""
    expected.save(golden)
    argv = ("qemu-img", "compare", "-f", "raw", "-F", image_format.value, str(golden), path)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"{path}: {done.stdout}{done.stderr}"


@contextmanager
def _readable(host: Host) -> Iterator[None]:
    idle = tuple(lv.name for lv in host.observe().logical_volumes if not lv.active)
    if idle:
        host.run(LvActivate(idle))
    yield
    if idle:
        host.run(LvDeactivate(idle))


def _dm(name: str) -> str:
    """As device-mapper writes a name within a name."""
    return name.replace("-", "--")


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    # qemu-io exits 0 when a write fails; it says so on stdout or stderr
    if done.returncode or "failed" in done.stdout + done.stderr or "rror" in done.stderr:
        raise AssertionError(f"{argv}: {done.stdout}{done.stderr}")
