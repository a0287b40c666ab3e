"""A disk that can be told to fail while a volume group on it is in use: at any place, for a step of an operation.

    with breakable("pv", directory, size_bytes) as disk:    # make a volume group on disk.device
        disk.fail(Fault.WRITE, range(65536, 131072))        # EIO there, everywhere else all is well
        disk.mend()

It is a device-mapper device of ours on a loop device. It has no cache that it would have to be told to flush: a place
that cannot be written to fails whoever writes there, and not every flush of the whole disk.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from lvmqcow.errors import CommandFailed
from lvmqcow.sizing import SECTOR_BYTES
from lvmqcow.testing.replay import attached

__all__ = ["BEGINS_AT_BYTES", "Disk", "Fault", "breakable"]

BEGINS_AT_BYTES: Final = 1024**2
"""Where in its file the disk begins: what is below must not look like a physical volume itself."""


class Fault(StrEnum):
    """What a place of a disk refuses with EIO."""

    WRITE = "write"
    READ = "read"
    """And to be written to."""

    @property
    def target(self) -> str:
        """What device-mapper calls it; 0 seconds up, 1 down."""
        return "flakey {below} {start} 0 1 1 error_writes" if self is Fault.WRITE else "error"


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
        """From now on this part of it, in whole sectors, fails; or all of it. What failed before is whole again."""
        part = place if place is not None else range(self.size_bytes)
        parts = (
            ("linear {below} {start}", range(part.start)),
            (fault.target, part),
            ("linear {below} {start}", range(part.stop, self.size_bytes)),
        )
        self._load("".join(self._line(target, where) for target, where in parts if where))

    def mend(self) -> None:
        """All of it is well."""
        self._load(self._line("linear {below} {start}", range(self.size_bytes)))

    def _line(self, target: str, where: range) -> str:
        start = (BEGINS_AT_BYTES + where.start) // SECTOR_BYTES
        table = target.format(below=self.below, start=start)
        return f"{where.start // SECTOR_BYTES} {len(where) // SECTOR_BYTES} {table}\n"

    def _load(self, table: str) -> None:
        _dmsetup("load", self.name, table=table)
        _dmsetup("resume", "--noudevsync", "--nolockfs", "--noflush", self.name)
        number = os.stat(self.device).st_rdev
        cache = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/queue/write_cache")
        cache.write_text("write through", encoding="ascii")


@contextmanager
def breakable(name: str, directory: Path, size_bytes: int) -> Iterator[Disk]:
    """An empty disk on a sparse file in ``directory``. What is active on it has to be switched off before the end."""
    file = directory / f"{name}.img"
    with file.open("xb") as made:
        os.truncate(made.fileno(), BEGINS_AT_BYTES + size_bytes)
    try:
        with attached(file) as below:
            disk = Disk(name, size_bytes, file, below)
            _dmsetup("create", "--noudevsync", "--notable", name)
            try:
                disk.mend()
                yield disk
            finally:
                _dmsetup("remove", "--noudevsync", "--retry", name)
    finally:
        file.unlink()


def _dmsetup(*words: str, table: str = "") -> None:
    argv = ("dmsetup", *words)
    done = subprocess.run(argv, input=table, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(argv, done.returncode, done.stderr)
