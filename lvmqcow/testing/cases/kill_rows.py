"""The operations whose long steps are killed, each on a start of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from lvmqcow.core.names import Format, VolumeName, in_other_format
from lvmqcow.core.wiping import Wipe
from lvmqcow.formats import SourceFormat
from lvmqcow.operations import (
    Convert,
    Copy,
    Create,
    DeleteSnapshot,
    Flatten,
    Import,
    ImportStream,
    Merge,
    Newer,
    Remove,
    Request,
    Resize,
    Rollback,
    Snapshot,
)
from lvmqcow.testing.cases.operation_table import ELSEWHERE, RAW_ELSEWHERE
from lvmqcow.testing.cases.real_operations import chain
from lvmqcow.testing.cases.scenarios import DISK, FILES, MIB, NEIGHBOUR, RAW, STREAM, source, storage
from lvmqcow.testing.content import Write
from lvmqcow.testing.simulated.host import SimHost
from lvmqcow.testing.worlds import SimWorld

__all__ = ["ROWS", "SECRET"]

SECRET = 0x5E
"""The byte in all blocks that are to be wiped."""


def nothing() -> SimHost:
    """A volume group with only the neighbour."""
    host = SimHost(files=FILES)
    chain(1, NEIGHBOUR, SimWorld(host))
    return host


def laid(depth: int, name: VolumeName = DISK) -> SimHost:
    """A volume with snapshots, and with data spread over each layer."""
    host = nothing()
    chain(depth, name, SimWorld(host))
    return host


def grown() -> SimHost:
    """A volume that is larger than its snapshot, so a commit resizes the snapshot first."""
    host = laid(1)
    storage(host).volume(DISK.text).resize(8 * MIB)
    host.guest_write(DISK.text, [Write(block, 2, 9) for block in range(300, 2000, 200)])
    return host


def cloned(depth: int) -> SimHost:
    """A clone of the snapshot of the neighbour, with own snapshots, and with much data in the base."""
    host = nothing()
    clone = storage(host).volume(NEIGHBOUR.text).clone(DISK.text, "s1")
    for number in range(1, depth + 1):
        clone.snapshot(f"s{number}")
    return host


def wide() -> SimHost:
    """A volume with a snapshot. The wipe of each LV takes two calls."""
    host = nothing()
    volume = storage(host).create(DISK.text, 40 * MIB)
    host.guest_write(DISK.text, [Write(block, 2, 1) for block in range(0, 10000, 1000)])
    volume.snapshot("s1")
    host.guest_write(DISK.text, [Write(block, 2, 2) for block in range(1, 10000, 2000)])
    return host


def large() -> SimHost:
    """A raw volume filled with a unique byte. Its wipe has two pieces of several calls each."""
    host = nothing()
    storage(host).create(RAW.text, 160 * MIB)
    host.guest_write(RAW.text, [Write(block, 1, SECRET) for block in range(0, 40000, 2000)])
    return host


Start = Callable[[], SimHost]
ROWS: Mapping[str, tuple[Start, Request]] = {
    "create": (nothing, Create(DISK, 4 * MIB)),
    "create raw": (nothing, Create(RAW, 160 * MIB)),
    **{
        f"import a {file_format} file as {name.format}": (
            nothing,
            Import(name, 4 * MIB, source(file_format), SourceFormat(file_format)),
        )
        for name, file_format in ((DISK, Format.QCOW2), (DISK, Format.RAW), (RAW, Format.QCOW2))
    },
    **{f"import a stream as {name.format}": (nothing, ImportStream(name, 4 * MIB, STREAM)) for name in (DISK, RAW)},
    "snapshot": (partial(laid, 1), Snapshot(DISK, "new")),
    "rollback": (partial(laid, 2), Rollback(DISK, "s2")),
    "rollback past a newer one, to zero": (partial(laid, 2), Rollback(DISK, "s1", Newer.DISCARD, Wipe.ZERO)),
    **{
        f"delete {number} of 2 by {merge}": (partial(laid, 2), DeleteSnapshot(DISK, f"s{number}", merge))
        for number in (1, 2)
        for merge in (Merge.PULL, Merge.PUSH)
    },
    **{
        f"delete 1 of 1 by {merge}, to {wipe}": (wide, DeleteSnapshot(DISK, "s1", merge, wipe))
        for merge, wipe in ((Merge.PULL, Wipe.DISCARD), (Merge.PUSH, Wipe.ZERO))
    },
    "delete 1 of 1 by push, grown": (grown, DeleteSnapshot(DISK, "s1", Merge.PUSH)),
    "resize": (partial(laid, 1), Resize(DISK, 80 * MIB)),
    "resize raw": (partial(laid, 0, RAW), Resize(RAW, 160 * MIB)),
    "copy to qcow2": (partial(laid, 1), Copy(DISK, None, ELSEWHERE)),
    "copy to raw": (partial(laid, 1), Copy(DISK, "s1", RAW_ELSEWHERE)),
    "convert to raw": (partial(laid, 0), Convert(DISK, in_other_format(DISK))),
    "convert to qcow2": (partial(laid, 0, RAW), Convert(RAW, in_other_format(RAW))),
    "flatten": (partial(cloned, 0), Flatten(DISK)),
    "flatten below a snapshot": (partial(cloned, 1), Flatten(DISK)),
    **{f"remove raw, to {wipe}": (large, Remove(RAW, wipe)) for wipe in (Wipe.ZERO, Wipe.DISCARD)},
}
