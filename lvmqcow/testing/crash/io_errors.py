"""A disk that fails on request, at any place, while a volume group on it is in use.

    with breakable("pv", directory, size_bytes) as disk:    # make a volume group on disk.device
        disk.fail(Fault.WRITE, range(65536, 131072))        # EIO there, everywhere else all is well
        disk.mend()

The disk is a device-mapper device on a loop device. It has no cache. So a place that cannot be written to fails only
the
writes to that place, and not every flush of the whole disk.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, assert_never

from lvmqcow.core.sizing import SECTOR_BYTES
from lvmqcow.errors import CommandFailed
from lvmqcow.testing.crash.power_loss import attached

__all__ = ["BEGINS_AT_BYTES", "Disk", "Fault", "breakable"]

BEGINS_AT_BYTES: Final = 1024**2
"""Where in its file the disk begins: what is below must not look like a physical volume itself."""

# linux/dm-ioctl.h: struct dm_ioctl, struct dm_target_spec. A dmsetup, four a fault, would take longer than the rest.
_COMMAND: Final = struct.Struct("=3I4IIII Q128s136s")
_TARGET: Final = struct.Struct("=QQiI16s")
_TABLE_LOAD, _RESUME = (3 << 30 | _COMMAND.size << 16 | 0xFD << 8 | number for number in (9, 6))
_SKIP_LOCKFS, _NOFLUSH = 1 << 10, 1 << 11


class Fault(StrEnum):
    """The access that a place of a disk refuses with EIO."""

    WRITE = "write"
    READ = "read"
    """And to be written to."""


@dataclass(frozen=True)
class _Target:
    """A part of a device-mapper device, in bytes."""

    where: range
    kind: str
    arguments: str


@dataclass(frozen=True)
class Disk:
    """A disk, and the file and the loop device that hold what is on it."""

    name: str
    size_bytes: int
    file: Path
    below: str

    @property
    def device(self) -> str:
        return f"/dev/mapper/{self.name}"

    def fail(self, fault: Fault, place: range | None = None) -> None:
        """Let this range, in whole sectors, fail from now on; None: the whole disk. Earlier failures are mended."""
        part = place if place is not None else range(self.size_bytes)
        rest = range(part.start), range(part.stop, self.size_bytes)
        self._load([self._linear(rest[0]), self._failing(fault, part), self._linear(rest[1])])

    def mend(self) -> None:
        """Let the whole disk work again."""
        self._load([self._linear(range(self.size_bytes))])

    @contextmanager
    def whole_again(self) -> Iterator[None]:
        """Mend the disk after the block, whatever failed in it."""
        try:
            yield
        finally:
            self.mend()

    def _linear(self, where: range) -> _Target:
        return _Target(where, "linear", f"{self.below} {(BEGINS_AT_BYTES + where.start) // SECTOR_BYTES}")

    def _failing(self, fault: Fault, where: range) -> _Target:
        match fault:
            case Fault.READ:
                return _Target(where, "error", "")
            case Fault.WRITE:
                below = self._linear(where).arguments
                return _Target(where, "flakey", f"{below} 0 1 1 error_writes")  # 0 seconds up, 1 down
            case _:
                assert_never(fault)

    def _load(self, targets: list[_Target]) -> None:
        used = [target for target in targets if target.where]
        with open("/dev/mapper/control", "rb", buffering=0) as control:
            for command, spec in ((_TABLE_LOAD, b"".join(map(_packed, used))), (_RESUME, b"")):
                size_bytes = _COMMAND.size + len(spec)
                version, flags, name = (4, 0, 0), _SKIP_LOCKFS | _NOFLUSH, self.name.encode()
                head = _COMMAND.pack(*version, size_bytes, _COMMAND.size, len(used), 0, flags, 0, 0, 0, name, b"")
                fcntl.ioctl(control, command, bytearray(head + spec))
        number = os.stat(self.device).st_rdev
        cache = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/queue/write_cache")
        cache.write_text("write through", encoding="ascii")


def _packed(target: _Target) -> bytes:
    arguments = target.arguments.encode() + b"\0"
    arguments += bytes(-len(arguments) % 8)
    start, length = target.where.start // SECTOR_BYTES, len(target.where) // SECTOR_BYTES
    return _TARGET.pack(start, length, 0, _TARGET.size + len(arguments), target.kind.encode()) + arguments


@contextmanager
def breakable(name: str, directory: Path, size_bytes: int) -> Iterator[Disk]:
    """Make an empty disk on a sparse file in ``directory``. Deactivate everything on it before the block ends."""
    file = directory / f"{name}.img"
    with file.open("xb") as made:
        os.truncate(made.fileno(), BEGINS_AT_BYTES + size_bytes)
    try:
        with attached(file) as below:
            disk = Disk(name, size_bytes, file, below)
            nothing = f"0 {size_bytes // SECTOR_BYTES} error"
            _dmsetup("create", "--noudevsync", name, "--table", nothing)
            try:
                disk.mend()
                yield disk
            finally:
                _dmsetup("remove", "--noudevsync", "--retry", name)
    finally:
        file.unlink()


def _dmsetup(*words: str) -> None:
    argv = ("dmsetup", *words)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(argv, done.returncode, done.stderr)
