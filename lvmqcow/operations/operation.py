"""What an operation states, so that nothing else has to know it.

An operation is one module: its request, its planner, the intent it writes, its commit point, and how recovery goes on
after a cut. `lvmqcow.operations` has the one list of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.images import FileCheck, MergeCost
from lvmqcow.core.intents import Intent
from lvmqcow.core.lv import LogicalVolume
from lvmqcow.core.names import VolumeName
from lvmqcow.core.qcow2 import OURS, ImageOptions, Measure
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.formats import SourceFormat
from lvmqcow.operations.shared.plan import Commit, Plan
from lvmqcow.steps import Step

__all__ = ["NOTHING_CUT", "Kind", "OnLv", "Operation", "Questions", "Recovery", "Request"]


class Questions(Protocol):
    """What a planner may ask of images: each answer is read from them, and nothing is changed."""

    def measure(self, virtual_size_bytes: int, options: ImageOptions = OURS) -> int:
        """Bytes that a fully allocated image of that virtual size and those options takes."""

    def merge_cost(self, child_lv: str) -> MergeCost:
        """What merging an active child with the image below it would move, either way. Raises Corrupt."""

    def check_file(self, path: str, source_format: SourceFormat) -> FileCheck:
        """Look at a file from outside that is not raw, within limits. Raises CommandFailed, NotPossible."""


@dataclass(frozen=True)
class Kind:
    """What is true of every request of a class.

    ``commit`` is when the operation has happened. ``while_postponed``: it may go on over a merge that waits for space,
    because it changes nothing that a guest reads.
    """

    operation: str
    commit: Commit
    while_postponed: bool = False


class Request(Protocol):
    """What can be asked of a storage, as data. A request knows nothing of any volume group until it is planned."""

    kind: ClassVar[Kind]

    @property
    def volume(self) -> VolumeName:
        """The volume that it changes or makes."""

    @property
    def names(self) -> tuple[VolumeName, ...]:
        """Every volume name that is locked for it."""

    @property
    def headers_of(self) -> VolumeName | None:
        """The volume whose image headers have to be known for the plan; None where LVM's report is enough."""

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """The steps that carry it out on what ``vg`` shows.

        Raises:
            LvmqcowError: every refusal, by its own class; nothing was touched.
        """


@dataclass(frozen=True)
class OnLv(Intent):
    """An intent of one operation. A subclass says where it is found, and what it means there."""

    content_unneeded: ClassVar[bool] = False
    """Whether an LV that carries it, and waits for its removal, holds nothing that anything needs."""

    def belongs(self, volume: Volume, lv: LogicalVolume) -> bool:
        """Whether this version's operation can have left it on that LV."""
        raise NotImplementedError

    def safe_to_open(self, volume: Volume, lv: LogicalVolume) -> bool:
        """Whether a guest may open the volume before the operation is finished, as each image reads right."""
        return False

    @property
    def replaces(self) -> str | None:
        """The LV whose name the one that carries it is about to get: that LV may wait for its removal."""
        return None

    @property
    def removes_its_snapshot(self) -> bool:
        """Whether the snapshot that carries it is about to be removed."""
        return False


@dataclass(frozen=True)
class Recovery:
    """What finishes or undoes an operation that was cut; ``operation`` says which, and of the two what.

    ``removed`` are LVs that go after the steps, together with all that waits for its removal. ``whole_volume``: nothing
    of the volume stays, so nothing that waits for its removal is needed.
    """

    operation: str
    steps: tuple[Step, ...]
    removed: tuple[LogicalVolume, ...] = ()
    whole_volume: bool = False


Recover = Callable[[VolumeGroup, Volume, Measure], Recovery | None]
"""The recovery of one operation; None where the volume shows no cut of it.

Raises Corrupt: it shows what no cut of it can leave.
"""


def _nothing(vg: VolumeGroup, volume: Volume, measure: Measure) -> None:
    return None


NOTHING_CUT: Final[Recover] = _nothing
"""Of an operation that leaves nothing to recover."""


@dataclass(frozen=True)
class Operation:
    """One operation, as the rest of the system sees it.

    ``cuts`` says in words what a cut leaves, and what recovery makes of it: pairs of that, one for each state.
    """

    requests: tuple[type[Request], ...]
    intents: tuple[type[OnLv], ...]
    recover: Recover
    cuts: tuple[tuple[str, str], ...]


def carrier(volume: Volume, kind: type[OnLv]) -> Layer | None:
    """The first layer that carries an intent of a kind."""
    return next((layer for layer in volume.layers if kind.among(layer.lv.tags)), None)
