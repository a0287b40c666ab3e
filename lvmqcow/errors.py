"""The errors of lvmqcow.

Each error keeps its facts as attributes. Its message says what could not be done, why, and what to do next.
``exit_status`` is the exit status of the command line::

    LvmqcowError                         1
    ├── CommandFailed                    1   lvm or qemu-img failed: argv, exit status, stderr
    ├── OperationCut                     *   a step failed midway: which, and what recovery will do
    │   └── NothingChanged                   the first step failed and changed nothing
    ├── InvalidRequest                   2   refused before the volume group was looked at
    │   ├── InvalidName
    │   ├── InvalidSize
    │   ├── FormatMismatch
    │   └── SourceMismatch                   a file to import is not of the declared format, or none was declared
    ├── NotFound                        10
    │   ├── VolumeGroupNotFound
    │   ├── VolumeNotFound
    │   ├── SnapshotNotFound
    │   └── SourceNotFound                   a file to import cannot be read
    ├── Locked                          11   another process works on the volume
    ├── NoSpace                         12
    ├── NotPossible                     13   the state or the format of the volume does not allow the operation
    │   ├── InUse                            processes, mounts or devices use the volume: they are listed
    │   ├── NewerSnapshots                   a rollback would leave newer snapshots behind: they are listed
    │   ├── SnapshotHasChildren
    │   ├── RecoveryNeeded
    │   └── Unchangeable                     the volume group may not be changed: exported, another host's, …
    ├── Corrupt                         14   names, tags and headers contradict each other
    ├── AlreadyExists                   15
    ├── UnfitMachine                    16   not root, no device-mapper, a tool or a directory is missing
    └── Interrupted                    130   Ctrl-C

(*) ``OperationCut`` exits with the status of the error that caused it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final

from lvmqcow.units import format_apart

__all__ = [
    "AlreadyExists",
    "CommandFailed",
    "Corrupt",
    "FormatMismatch",
    "InUse",
    "Interrupted",
    "InvalidName",
    "InvalidRequest",
    "InvalidSize",
    "Locked",
    "LvmqcowError",
    "NewerSnapshots",
    "NoSpace",
    "NotFound",
    "NotPossible",
    "NothingChanged",
    "OperationCut",
    "RecoveryNeeded",
    "SnapshotHasChildren",
    "SnapshotNotFound",
    "SourceMismatch",
    "SourceNotFound",
    "Unchangeable",
    "UnfitMachine",
    "VolumeGroupNotFound",
    "VolumeNotFound",
]

_NO_SPACE: Final = "No space left on device"  # ENOSPC; commands run with LC_ALL=C


class LvmqcowError(Exception):
    """The base class of all errors. It is never raised itself."""

    exit_status: ClassVar[int] = 1


class CommandFailed(LvmqcowError):
    """An external command exited with a failure."""

    def __init__(self, argv: Sequence[str], status: int, stderr: str) -> None:
        self.argv = tuple(argv)
        self.status = status
        self.stderr = "\n".join(line.strip() for line in stderr.strip().splitlines())
        super().__init__(self.argv, status, self.stderr)

    @property
    def no_space(self) -> bool:
        """Whether a device or a file system was full. All tools print the C library's text for this error."""
        return _NO_SPACE in self.stderr

    def __str__(self) -> str:
        said = self.stderr or "it printed no reason"
        return f"`{shlex.join(self.argv)}` failed with status {self.status}: {said}"


class OperationCut(LvmqcowError):
    """A step of an operation failed. The steps before it are done, and recovery finishes or undoes the operation."""

    def __init__(self, operation: str, target: str, done: int, steps: int, cause: LvmqcowError, outcome: str) -> None:
        """``outcome`` is what recovery will do: ``undoes`` or ``finishes``; empty: there is nothing to recover."""
        self.operation, self.target, self.done, self.steps = operation, target, done, steps
        self.cause, self.outcome = cause, outcome
        super().__init__(operation, target, done, steps, cause, outcome)

    def __str__(self) -> str:
        stopped = f"{self.operation} of {self.target} stopped after {self.done} of {self.steps} steps: {self.cause}\n"
        if not self.outcome:
            return f"{stopped}The content of the volume has not changed. Next: solve that, then try again."
        return (
            f"{stopped}No data is lost. Next: `lvmqcow recover {self.target}` {self.outcome} the {self.operation}; "
            f"the next operation on the volume does the same."
        )


class NothingChanged(OperationCut):
    """The first step of an operation failed and changed nothing. There is nothing to recover."""

    def __init__(self, operation: str, target: str, steps: int, cause: LvmqcowError) -> None:
        super().__init__(operation, target, 0, steps, cause, "")
        self.args = (operation, target, steps, cause)

    def __str__(self) -> str:
        return (
            f"{self.operation} of {self.target} failed at its first step: {self.cause}\n"
            f"Nothing was changed. Next: solve that, then try again."
        )


class InvalidRequest(LvmqcowError):
    """The request can never succeed."""

    exit_status = 2


class InvalidName(InvalidRequest):
    """LVM or the naming scheme does not allow the name of a volume, a snapshot or a volume group."""

    def __init__(self, kind: str, name: str, reason: str) -> None:
        self.kind, self.name, self.reason = kind, name, reason
        super().__init__(kind, name, reason)

    def __str__(self) -> str:
        return f"{self.kind} name {self.name!r} is not possible: {self.reason}"


class InvalidSize(InvalidRequest):
    """The size is no positive number of bytes, or is too large."""

    def __init__(self, size: str, reason: str, size_bytes: int | None = None) -> None:
        """``size`` is the size as the user typed it, or in words. ``size_bytes`` None: it is no number."""
        self.size, self.reason, self.size_bytes = size, reason, size_bytes
        super().__init__(size, reason, size_bytes)

    def __str__(self) -> str:
        return f"size {self.size!r} is not possible: {self.reason}"


class FormatMismatch(InvalidRequest):
    """The name of the volume means another format than the request asks for."""

    def __init__(self, name: str, named: str, requested: str) -> None:
        self.name, self.named, self.requested = name, named, requested
        super().__init__(name, named, requested)

    def __str__(self) -> str:
        return (
            f"the name {self.name!r} means {self.named}, but the request asks for {self.requested}: "
            f"names of qcow2 volumes end in .qcow2, names of raw volumes do not"
        )


class SourceMismatch(InvalidRequest):
    """A file or stream to import is not of the declared format or of the format in its name, or has to be declared."""

    def __init__(self, source: str, found: str, said: str, advice: str) -> None:
        """``found`` is what the content is; ``said`` is a clause about the name or the declared format."""
        self.source, self.found, self.said, self.advice = source, found, said, advice
        super().__init__(source, found, said, advice)

    def __str__(self) -> str:
        return f"{self.source} is {self.found}, and {self.said}: {self.advice}"


class NotFound(LvmqcowError):
    """Something that the request names does not exist."""

    exit_status = 10


class VolumeGroupNotFound(NotFound):
    """This machine has no such volume group, or LVM does not show it."""

    def __init__(self, vg: str, said: str = "") -> None:
        """``said`` is LVM's message, which tells a missing volume group from one that LVM refuses to read."""
        self.vg, self.said = vg, said
        super().__init__(vg, said)

    def __str__(self) -> str:
        because = f" (LVM says: {self.said})" if self.said else ""
        return f"volume group {self.vg!r} was not found{because}: `vgs` lists the volume groups of this machine"


class VolumeNotFound(NotFound):
    """The volume group has no such volume."""

    def __init__(self, vg: str, volume: str) -> None:
        self.vg, self.volume = vg, volume
        super().__init__(vg, volume)

    def __str__(self) -> str:
        return f"volume {self.vg}/{self.volume} was not found: `lvmqcow list {self.vg}` lists the volumes"


class SnapshotNotFound(NotFound):
    """The volume has no such snapshot."""

    def __init__(self, target: str, snapshot: str, present: Iterable[str]) -> None:
        self.target, self.snapshot = target, snapshot
        self.present = tuple(present)
        super().__init__(target, snapshot, self.present)

    def __str__(self) -> str:
        return f"{self.target} has no snapshot {self.snapshot!r}; it has {', '.join(self.present) or 'none'}"


class SourceNotFound(NotFound):
    """A file or stream to import cannot be read."""

    def __init__(self, source: str, reason: str) -> None:
        self.source, self.reason = source, reason
        super().__init__(source, reason)

    def __str__(self) -> str:
        return f"cannot read {self.source}: {self.reason}"


class Locked(LvmqcowError):
    """Another process holds the lock of the volume."""

    exit_status = 11

    def __init__(self, target: str, holder: str, waited_seconds: float) -> None:
        self.target, self.holder, self.waited_seconds = target, holder, waited_seconds
        super().__init__(target, holder, waited_seconds)

    def __str__(self) -> str:
        return (
            f"{self.target} is locked by {self.holder} (waited {self.waited_seconds:g} s): "
            f"try again when that process is done, or wait longer with --wait"
        )


class NoSpace(LvmqcowError):
    """The volume group has too little space. Nothing was changed, unless this error cut an operation."""

    exit_status = 12

    def __init__(self, vg: str, needed_bytes: int, free_bytes: int, policy: str = "") -> None:
        """``policy`` is the allocation policy, if enough extents are free but the policy excludes some of them."""
        self.vg, self.needed_bytes, self.free_bytes, self.policy = vg, needed_bytes, free_bytes, policy
        super().__init__(vg, needed_bytes, free_bytes, policy)

    def __str__(self) -> str:
        needed, free = format_apart(self.needed_bytes, self.free_bytes)
        where = f" under its allocation policy, {self.policy}" if self.policy else ""
        other = f"`vgchange --alloc normal {self.vg}` allows any free extent, " if self.policy else ""
        return (
            f"no space in {self.vg}: {needed} needed, {free} free{where}; "
            f"{other}`vgextend {self.vg}` adds room, deleting snapshots frees room"
        )


class NotPossible(LvmqcowError):
    """The state or the format of the volume does not allow the operation."""

    exit_status = 13

    def __init__(self, target: str, reason: str, advice: str) -> None:
        self.target, self.reason, self.advice = target, reason, advice
        super().__init__(target, reason, advice)

    def __str__(self) -> str:
        return f"{self.target}: {self.reason}; {self.advice}"


class InUse(NotPossible):
    """A process, a mount or another device uses a device of the volume."""

    def __init__(self, target: str, holders: Iterable[str]) -> None:
        self.holders = tuple(holders)
        super().__init__(target, f"the volume is in use: {', '.join(self.holders)}", "stop that first")
        self.args = (target, self.holders)


class NewerSnapshots(NotPossible):
    """A rollback goes to an older snapshot, and the request does not say what happens to the newer ones."""

    def __init__(self, target: str, snapshot: str, blockers: Iterable[str]) -> None:
        self.snapshot = snapshot
        self.blockers = tuple(blockers)
        reason = f"snapshot {snapshot!r} is not the newest; newer: {', '.join(self.blockers)}"
        super().__init__(target, reason, "--discard-newer removes the newer ones, --keep-newer keeps them as a branch")
        self.args = (target, snapshot, self.blockers)


class SnapshotHasChildren(NotPossible):
    """Other images read through the snapshot, so it cannot be removed."""

    def __init__(
        self, target: str, snapshot: str, children: Iterable[str], advice: str = "remove all but one of these first"
    ) -> None:
        self.snapshot = snapshot
        self.children = tuple(children)
        super().__init__(target, f"snapshot {snapshot!r} is the backing file of {', '.join(self.children)}", advice)
        self.args = (target, snapshot, self.children, advice)


class RecoveryNeeded(NotPossible):
    """An operation was cut, and recovery was switched off."""

    def __init__(self, target: str, operation: str) -> None:
        """``operation`` is what recovery would do: ``undo snapshot``."""
        self.operation = operation
        reason = f"an operation was cut and has to be recovered first ({operation})"
        super().__init__(target, reason, f"run `lvmqcow recover {target}`")
        self.args = (target, operation)


class Unchangeable(NotPossible):
    """The volume group is in a state in which nothing may be changed. Nothing was changed.

    ``states`` has a text for each such state by its name (`lvmqcow.core.fitness` lists all states).
    """

    def __init__(self, vg: str, states: Mapping[str, str], advice: str) -> None:
        self.states = dict(states)
        said = "; ".join(f"{text} [{state}]" for state, text in self.states.items())
        super().__init__(vg, f"nothing may be changed: {said}", advice)
        self.args = (vg, self.states, advice)


class Corrupt(LvmqcowError):
    """Names, tags, headers or a file contradict each other. Nothing is changed until a person has looked."""

    exit_status = 14

    def __init__(self, target: str, findings: Iterable[str], advice: str = "") -> None:
        self.target = target
        self.findings = tuple(findings)
        self.advice = advice or f"Change nothing; `lvmqcow check {target}` lists all findings"
        super().__init__(target, self.findings, self.advice)

    def __str__(self) -> str:
        return f"{self.target} is not sound: {'; '.join(self.findings)}. {self.advice}"


class AlreadyExists(LvmqcowError):
    """The name is already in use."""

    exit_status = 15

    def __init__(self, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        super().__init__(kind, name)

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} exists already: choose another name"


class UnfitMachine(LvmqcowError):
    """This machine or this user cannot run the operation. Nothing was changed, unless this error cut an operation."""

    exit_status = 16

    def __init__(self, missing: str, advice: str) -> None:
        self.missing, self.advice = missing, advice
        super().__init__(missing, advice)

    def __str__(self) -> str:
        return f"{self.missing}: {self.advice}"


class Interrupted(LvmqcowError):
    """The user pressed Ctrl-C. The running step was stopped; recovery finishes or undoes the operation."""

    exit_status = 130

    def __init__(self, doing: str) -> None:
        self.doing = doing
        super().__init__(doing)

    def __str__(self) -> str:
        return f"interrupted while running {self.doing}"
