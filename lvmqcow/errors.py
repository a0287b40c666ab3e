"""Every way lvmqcow says no.

Each error stores its facts as attributes, formats them in ``__str__`` and ends with what to do next.
``exit_status`` is what the command line exits with::

    LvmqcowError                         1   something failed; the message says what
    ├── CommandFailed                    1   lvm or qemu-img failed: argv, exit status, stderr
    ├── OperationCut                     *   a step failed midway: where, and what recover will do
    │   └── NothingChanged                   the first step failed, and the volume group is as it was
    ├── InvalidRequest                   2   refused before looking at anything
    │   ├── InvalidName
    │   ├── InvalidSize
    │   ├── FormatMismatch
    │   └── SourceMismatch                   a file to import is not what was said, or nobody said it
    ├── NotFound                        10
    │   ├── VolumeGroupNotFound
    │   ├── VolumeNotFound
    │   ├── SnapshotNotFound
    │   └── SourceNotFound                   a file to import
    ├── Locked                          11   another process works on the volume
    ├── NoSpace                         12
    ├── NotPossible                     13   the volume's state, or its format, does not allow it
    │   ├── InUse                            a process, a mount or a device on top holds it: they are listed
    │   ├── NewerSnapshots                   a rollback would leave snapshots behind: they are listed
    │   ├── SnapshotHasChildren
    │   ├── RecoveryNeeded
    │   └── Unchangeable                     the volume group as a whole takes no changes: exported, another host's, …
    ├── Corrupt                         14   what is on disk contradicts itself
    ├── AlreadyExists                   15
    ├── UnfitMachine                    16   not root, no device-mapper, a tool or a directory is missing
    └── Interrupted                    130   Ctrl-C

(*) ``OperationCut`` exits as the error that caused it.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

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


class LvmqcowError(Exception):
    """Base of all; never raised itself."""

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
        """Whether a device or a file system was full. The tools say it in the C library's words, and no other way."""
        return os.strerror(errno.ENOSPC) in self.stderr

    def __str__(self) -> str:
        said = self.stderr or "it printed no reason"
        return f"`{shlex.join(self.argv)}` failed with status {self.status}: {said}"


class OperationCut(LvmqcowError):
    """A step of a plan failed; the steps before it are done.

    The volume's data is safe; what is on disk is one of the states that recovery knows.
    """

    def __init__(self, operation: str, target: str, done: int, steps: int, cause: LvmqcowError, outcome: str) -> None:
        self.operation = operation
        self.target = target
        self.done = done
        self.steps = steps
        self.cause = cause
        self.outcome = outcome
        super().__init__(operation, target, done, steps, cause, outcome)

    def __str__(self) -> str:
        stopped = f"{self.operation} of {self.target} stopped after {self.done} of {self.steps} steps: {self.cause}\n"
        if not self.outcome:
            return f"{stopped}Nothing that the volume holds has changed. Next: mend that, and ask again."
        return (
            f"{stopped}No data is lost. Next: `lvmqcow recover {self.target}` "
            f"({self.outcome} the {self.operation}; the next operation on the volume does it too)."
        )


class NothingChanged(OperationCut):
    """The first step of a plan failed, and a look at the volume group showed that it had changed nothing.

    There is nothing to recover.
    """

    def __init__(self, operation: str, target: str, steps: int, cause: LvmqcowError) -> None:
        super().__init__(operation, target, 0, steps, cause, "")
        self.args = (operation, target, steps, cause)

    def __str__(self) -> str:
        return (
            f"{self.operation} of {self.target} failed at its first step: {self.cause}\n"
            f"Nothing was changed. Next: mend that, and ask again."
        )


class InvalidRequest(LvmqcowError):
    """What was asked for can never be done."""

    exit_status = 2


class InvalidName(InvalidRequest):
    """A volume, snapshot or volume group name that this layout or LVM cannot carry."""

    def __init__(self, kind: str, name: str, reason: str) -> None:
        self.kind = kind
        self.name = name
        self.reason = reason
        super().__init__(kind, name, reason)

    def __str__(self) -> str:
        return f"{self.kind} name {self.name!r} is not possible: {self.reason}"


class InvalidSize(InvalidRequest):
    """A size that is no positive number of bytes."""

    def __init__(self, size: str, reason: str, size_bytes: int | None = None) -> None:
        """``size`` is as it was typed, or in words; ``size_bytes`` is None where it is no number."""
        self.size = size
        self.reason = reason
        self.size_bytes = size_bytes
        super().__init__(size, reason, size_bytes)

    def __str__(self) -> str:
        return f"size {self.size!r} is not possible: {self.reason}"


class FormatMismatch(InvalidRequest):
    """The volume's name says one format, the request another."""

    def __init__(self, name: str, named: str, requested: str) -> None:
        self.name = name
        self.named = named
        self.requested = requested
        super().__init__(name, named, requested)

    def __str__(self) -> str:
        return (
            f"{self.name!r} says {self.named}, the request says {self.requested}: "
            f"qcow2 volumes end in .qcow2, raw volumes do not"
        )


class SourceMismatch(InvalidRequest):
    """A file or stream to import is not what somebody said, or than its name says; or nobody said what it is."""

    def __init__(self, source: str, found: str, said: str, advice: str) -> None:
        self.source = source
        self.found = found
        self.said = said
        self.advice = advice
        super().__init__(source, found, said, advice)

    def __str__(self) -> str:
        return f"{self.source} is {self.found}, and {self.said}: {self.advice}"


class NotFound(LvmqcowError):
    """Something named in the request is not there."""

    exit_status = 10


class VolumeGroupNotFound(NotFound):
    """No such volume group on this machine."""

    def __init__(self, vg: str, said: str = "") -> None:
        """``said`` is why LVM does not show it: it may be there, and clustered."""
        self.vg = vg
        self.said = said
        super().__init__(vg, said)

    def __str__(self) -> str:
        because = f" (LVM says: {self.said})" if self.said else ""
        return f"no volume group {self.vg!r}{because}: `vgs` lists those of this machine"


class VolumeNotFound(NotFound):
    """No such volume in the volume group."""

    def __init__(self, vg: str, volume: str) -> None:
        self.vg = vg
        self.volume = volume
        super().__init__(vg, volume)

    def __str__(self) -> str:
        return f"no volume {self.vg}/{self.volume}: `lvmqcow list {self.vg}` shows what there is"


class SnapshotNotFound(NotFound):
    """The volume has no such snapshot."""

    def __init__(self, target: str, snapshot: str, present: Iterable[str]) -> None:
        self.target = target
        self.snapshot = snapshot
        self.present = tuple(present)
        super().__init__(target, snapshot, self.present)

    def __str__(self) -> str:
        there = ", ".join(self.present) or "it has none"
        return f"{self.target} has no snapshot {self.snapshot!r} (present: {there})"


class SourceNotFound(NotFound):
    """A file to import that cannot be read."""

    def __init__(self, source: str, reason: str) -> None:
        self.source = source
        self.reason = reason
        super().__init__(source, reason)

    def __str__(self) -> str:
        return f"cannot read {self.source}: {self.reason}"


class Locked(LvmqcowError):
    """Another process holds the volume's lock."""

    exit_status = 11

    def __init__(self, target: str, holder: str, waited_seconds: float) -> None:
        self.target = target
        self.holder = holder
        self.waited_seconds = waited_seconds
        super().__init__(target, holder, waited_seconds)

    def __str__(self) -> str:
        return (
            f"{self.target} is locked by {self.holder} (waited {self.waited_seconds:g} s): "
            f"try again when that is done, or wait longer with --wait"
        )


class NoSpace(LvmqcowError):
    """The volume group cannot hold what is needed. Unless it cut an operation, nothing was touched."""

    exit_status = 12

    def __init__(self, vg: str, needed_bytes: int, free_bytes: int, policy: str = "") -> None:
        """``policy`` is the allocation policy, where it is that, and not the disk, that has no more to give."""
        self.vg = vg
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes
        self.policy = policy
        super().__init__(vg, needed_bytes, free_bytes, policy)

    def __str__(self) -> str:
        needed, free = format_apart(self.needed_bytes, self.free_bytes)
        where = f" where its allocation policy, {self.policy}, would take it" if self.policy else ""
        other = f"`vgchange --alloc normal {self.vg}` takes it elsewhere too, " if self.policy else ""
        return (
            f"no space in {self.vg}: {needed} needed, {free} free{where}; "
            f"{other}`vgextend {self.vg}` adds room, deleting snapshots frees it"
        )


class NotPossible(LvmqcowError):
    """The volume is in a state, or of a format, in which this cannot be done."""

    exit_status = 13

    def __init__(self, target: str, reason: str, advice: str) -> None:
        self.target = target
        self.reason = reason
        self.advice = advice
        super().__init__(target, reason, advice)

    def __str__(self) -> str:
        return f"{self.target}: {self.reason}; {self.advice}"


class InUse(NotPossible):
    """Something holds a device of the volume open."""

    def __init__(self, target: str, holders: Iterable[str]) -> None:
        self.holders = tuple(holders)
        super().__init__(target, f"it is in use: {', '.join(self.holders)}", "stop that first")
        self.args = (target, self.holders)


class NewerSnapshots(NotPossible):
    """A rollback to an older snapshot, and nothing was said of the newer ones."""

    def __init__(self, target: str, snapshot: str, blockers: Iterable[str]) -> None:
        self.snapshot = snapshot
        self.blockers = tuple(blockers)
        super().__init__(
            target,
            f"{snapshot!r} is not the newest snapshot: {', '.join(self.blockers)} would be left behind",
            "--discard-newer removes what is newer, --keep-newer leaves it as a branch",
        )
        self.args = (target, snapshot, self.blockers)


class SnapshotHasChildren(NotPossible):
    """Images read through the snapshot that its removal would break."""

    def __init__(
        self, target: str, snapshot: str, children: Iterable[str], advice: str = "remove all but one of these first"
    ) -> None:
        self.snapshot = snapshot
        self.children = tuple(children)
        super().__init__(
            target,
            f"snapshot {snapshot!r} is the backing of {', '.join(self.children)}",
            advice,
        )
        self.args = (target, snapshot, self.children, advice)


class RecoveryNeeded(NotPossible):
    """An operation was cut here and recovery was switched off."""

    def __init__(self, target: str, operation: str) -> None:
        self.operation = operation
        reason = f"an unfinished operation is in the way: {operation}"
        super().__init__(target, reason, f"run `lvmqcow recover {target}`")
        self.args = (target, operation)


class Unchangeable(NotPossible):
    """The volume group is in a state in which nothing may be changed; nothing was touched.

    ``states`` has each of these states by its name, with what it means here (`lvmqcow.core.fitness` has all there are).
    """

    def __init__(self, vg: str, states: Mapping[str, str], advice: str) -> None:
        self.states = dict(states)
        said = "; ".join(f"{text} [{state}]" for state, text in self.states.items())
        super().__init__(vg, f"nothing may be changed: {said}", advice)
        self.args = (vg, self.states, advice)


class Corrupt(LvmqcowError):
    """What is on disk contradicts itself; nothing is touched until somebody looked."""

    exit_status = 14

    def __init__(self, target: str, findings: Iterable[str], advice: str = "") -> None:
        self.target = target
        self.findings = tuple(findings)
        self.advice = advice or f"Change nothing; `lvmqcow check {target}` tells more"
        super().__init__(target, self.findings, self.advice)

    def __str__(self) -> str:
        return f"{self.target} is not sound: {'; '.join(self.findings)}. {self.advice}"


class AlreadyExists(LvmqcowError):
    """The name is taken."""

    exit_status = 15

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.name = name
        super().__init__(kind, name)

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} exists already: choose another name"


class UnfitMachine(LvmqcowError):
    """This machine, or this user, cannot run the operation. Unless it cut an operation, nothing was begun."""

    exit_status = 16

    def __init__(self, missing: str, advice: str) -> None:
        self.missing = missing
        self.advice = advice
        super().__init__(missing, advice)

    def __str__(self) -> str:
        return f"{self.missing}: {self.advice}"


class Interrupted(LvmqcowError):
    """Ctrl-C. The step that ran was told to stop; recovery knows the state it left."""

    exit_status = 130

    def __init__(self, doing: str) -> None:
        self.doing = doing
        super().__init__(doing)

    def __str__(self) -> str:
        return f"interrupted while running {self.doing}"
