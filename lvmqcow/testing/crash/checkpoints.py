"""A real volume group that can be put back as it was: every byte of its physical volume, and what was active.

Building a chain of snapshots takes seconds; putting it back takes a tenth of a second. So a test can return to one
point of an operation a hundred times, and continue from there in a hundred ways. It is for volume groups on a sparse
file
(`lvmqcow.lvm.loopvg`).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lvmqcow.core.lv import LogicalVolume
from lvmqcow.core.names import device_path
from lvmqcow.core.sizing import whole_extents
from lvmqcow.engine.host import Host
from lvmqcow.lvm.commands import Lvm
from lvmqcow.lvm.loopvg import LoopVolumeGroup
from lvmqcow.steps import LvActivate, LvDeactivate

__all__ = ["CHUNK_BYTES", "Checkpoint", "Checkpoints"]

CHUNK_BYTES: Final = 64 * 1024
"""The grain of a checkpoint."""
_ZEROS: Final = bytes(CHUNK_BYTES)
_BLKFLSBUF: Final = 0x1261


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A volume group at one moment: its LVs, a digest of what is on each, and all that is not zero, by offset."""

    logical_volumes: tuple[LogicalVolume, ...]
    digests: Mapping[str, bytes]
    chunks: Mapping[int, bytes]

    @property
    def active(self) -> tuple[str, ...]:
        return tuple(lv.name for lv in self.logical_volumes if lv.active)

    def without_power(self) -> Checkpoint:
        """Return the same checkpoint as a dead machine leaves it: nothing is active."""
        return replace(self, logical_volumes=tuple(replace(lv, active=False) for lv in self.logical_volumes))

    @property
    def key(self) -> Hashable:
        """A key that is equal for two moments that no reader can tell apart.

        LVM's counters, its clock and free space do not count.
        """
        return self.logical_volumes, tuple(sorted(self.digests.items()))


class Checkpoints:
    """Takes checkpoints of one volume group, and puts the group back to them.

    Nothing else may use the group meanwhile.
    """

    def __init__(self, host: Host, lvm: Lvm, group: LoopVolumeGroup, begins_at_bytes: int = 0) -> None:
        """The physical volume begins at that byte of the file."""
        self._host = host
        self._lvm = lvm
        self._group = group
        self._known: dict[bytes, bytes] = {}
        """Chunks of all checkpoints: most are the same from one to the next, and are kept once."""
        (pv,) = lvm.report(("pvs", "-o", "pe_start", group.device))["pv"]
        self._first_extent = begins_at_bytes + int(pv["pe_start"])

    def take(self) -> Checkpoint:
        """Return a checkpoint of the volume group as it is now."""
        logical_volumes = self._host.observe().logical_volumes
        for lv in logical_volumes:
            if lv.active:
                _flush(device_path(self._host.vg, lv.name))
        _flush(self._group.device)
        chunks = {offset: self._known.setdefault(chunk, chunk) for offset, chunk in self._read()}
        digests = {lv: _digest(chunks, places) for lv, places in self.places().items()}
        return Checkpoint(logical_volumes, digests, chunks)

    def put_back(self, checkpoint: Checkpoint) -> None:
        """Put the volume group back to the checkpoint."""
        self.switch_off()
        present = dict(self._read())
        with open(self._group.file, "r+b", buffering=0) as file:
            for offset in sorted(present.keys() | checkpoint.chunks.keys()):
                chunk = checkpoint.chunks.get(offset, _ZEROS)
                if present.get(offset, _ZEROS) != chunk:
                    os.pwrite(file.fileno(), chunk, offset)
        _forget(self._group.device)
        if checkpoint.active:
            self._host.run(LvActivate(checkpoint.active))

    def switch_off(self) -> None:
        """Deactivate everything."""
        active = tuple(lv.name for lv in self._host.observe().logical_volumes if lv.active)
        if active:
            self._host.run(LvDeactivate(active))

    def places(self) -> Mapping[str, Sequence[int]]:
        """Where in the file the chunks of each LV are."""
        fields = "lv_name,seg_start_pe,seg_pe_ranges,vg_extent_size"
        places: dict[str, list[int]] = {}
        for row in self._lvm.report(("lvs", "--segments", "-O", "lv_name,seg_start_pe", "-o", fields, self._host.vg))[
            "seg"
        ]:
            extent_bytes = int(row["vg_extent_size"])
            first, last = map(int, row["seg_pe_ranges"].rpartition(":")[2].split("-"))
            begin, end = (self._first_extent + extent * extent_bytes for extent in (first, last + 1))
            places.setdefault(row["lv_name"], []).extend(range(begin, end, CHUNK_BYTES))
        return places

    def _read(self) -> Iterator[tuple[int, bytes]]:
        """The chunks that are not zero, by offset."""
        with open(self._group.file, "rb", buffering=0) as file:
            end = 0
            while (start := _next_data(file.fileno(), end)) is not None:
                end = whole_extents(os.lseek(file.fileno(), start, os.SEEK_HOLE), CHUNK_BYTES)
                for offset in range(start // CHUNK_BYTES * CHUNK_BYTES, end, CHUNK_BYTES):
                    chunk = os.pread(file.fileno(), CHUNK_BYTES, offset)
                    if chunk != _ZEROS:
                        yield offset, chunk


def _digest(chunks: Mapping[int, bytes], places: Iterable[int]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for number, offset in enumerate(places):
        if offset in chunks:
            digest.update(number.to_bytes(8, "big") + chunks[offset])
    return digest.digest()


def _next_data(fd: int, offset: int) -> int | None:
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:  # no data behind it
            raise
        return None


def _flush(path: str) -> None:
    device = os.open(path, os.O_RDONLY)
    try:
        os.fsync(device)
    finally:
        os.close(device)


def _forget(path: str) -> None:
    """Drop the kernel's cache of a device whose bytes were changed behind its back."""
    device = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(device, _BLKFLSBUF)
    finally:
        os.close(device)
