"""The log of several processes, and every state that the volumes can be in after it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lvmqcow.core.names import Format, parse_volume_name
from lvmqcow.testing.conformance.violation import require
from lvmqcow.testing.content import Content, Write
from lvmqcow.testing.processes.worker import Operation

__all__ = ["Disk", "Disks", "Entry", "ends", "possible"]


@dataclass(frozen=True)
class Disk:
    """The content of a volume according to the log, with snapshots oldest first."""

    content: Content
    snapshots: tuple[tuple[str, Content], ...] = ()


Disks = frozenset[tuple[str, Disk]]
"""All volumes by name: one possible state."""


@dataclass(frozen=True)
class Entry:
    """A line of the log."""

    worker: int
    event: str
    operation: Operation
    error: str


def _after(disks: Disks, wanted: Operation) -> tuple[Disks | None, frozenset[str]]:
    """The state after an operation, or the errors that are correct instead."""
    there = dict(disks)
    verb, name, *rest = wanted
    disk = there.get(name)
    raw = parse_volume_name(name).format is Format.RAW
    if verb == "create":
        if disk:
            return None, frozenset({"AlreadyExists"})
        return frozenset({**there, name: Disk(Content(int(rest[0])))}.items()), frozenset()
    if disk is None:
        return None, frozenset({"VolumeNotFound", *(["AlreadyExists"] if rest and rest[0] in there else [])})
    snapshots = dict(disk.snapshots)
    match verb, *rest:
        case "write", block, count, byte:
            disk = replace(disk, content=disk.content.written([Write(int(block), int(count), int(byte))]))
        case "snapshot", snapshot:
            if raw or snapshot in snapshots:
                return None, frozenset({"NotPossible" if raw else "AlreadyExists"})
            disk = replace(disk, snapshots=(*disk.snapshots, (snapshot, disk.content)))
        case "rollback", snapshot:
            if raw or snapshot not in snapshots:
                return None, frozenset({"NotPossible" if raw else "SnapshotNotFound"})
            if disk.snapshots[-1][0] != snapshot:
                return None, frozenset({"NewerSnapshots"})
            disk = replace(disk, content=snapshots[snapshot])
        case "delete", snapshot, _:
            if raw or snapshot not in snapshots:
                return None, frozenset({"NotPossible" if raw else "SnapshotNotFound"})
            disk = replace(disk, snapshots=tuple(pair for pair in disk.snapshots if pair[0] != snapshot))
        case "resize", size:
            if int(size) < disk.content.size_bytes:
                return None, frozenset({"NotPossible"})
            disk = replace(disk, content=replace(disk.content, size_bytes=int(size)))
        case "rename", new:
            if new in there:
                return None, frozenset({"AlreadyExists"})
            del there[name]
            name = new
        case "remove", *_:
            return frozenset((other, held) for other, held in disks if other != name), frozenset()
        case _:
            raise AssertionError(f"nothing says what {wanted} does")
    return frozenset({**there, name: disk}.items()), frozenset()


def possible(log: list[Entry]) -> frozenset[Disks]:
    """All possible states at the end of the log. A killed operation may be done or not."""
    ways: frozenset[Disks] = frozenset({frozenset()})
    for position, entry in enumerate(log):
        if entry.event == "begin" and not any(ends(entry, later) for later in log[position + 1 :]):
            ways |= {done for way in ways if (done := _after(way, entry.operation)[0]) is not None}
        elif entry.event == "done" and entry.operation[0] != "allocate":
            ways = frozenset(done for way in ways if (done := _after(way, entry.operation)[0]) is not None)
        elif entry.event == "failed" and entry.error not in ("_MoreNames", "LvmqcowError"):
            ways = frozenset(way for way in ways if entry.error in _after(way, entry.operation)[1])
        require(bool(ways), f"{entry} cannot be", "a possible outcome", log[max(0, position - 30) : position])
    return ways


def ends(begin: Entry, later: Entry) -> bool:
    """Return whether a later entry ends the operation that one begins."""
    return later.worker == begin.worker and later.event in ("done", "failed", "end", "begin")
