"""The interface of an operation.

An operation is one module: its request, its planner, the intents that it writes, its commit point, and its recovery.
`lvmqcow.operations` lists all operations.
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
    """The questions about images that a planner may ask. The answers change nothing."""

    def measure(self, virtual_size_bytes: int, options: ImageOptions = OURS) -> int:
        """Return how many bytes a fully allocated image of that virtual size and those options takes."""

    def merge_cost(self, child_lv: str) -> MergeCost:
        """Return how many bytes a merge of an active layer with its parent would move. Raises Corrupt."""

    def check_file(self, path: str, source_format: SourceFormat) -> FileCheck:
        """Check a file that is to be imported and is not raw, within limits. Raises CommandFailed, NotPossible."""


@dataclass(frozen=True)
class Kind:
    """The facts that all requests of one class share.

    ``commit`` is the commit point of the operation. ``while_postponed``: the operation may run while a merge waits for
    space, because it changes nothing that a guest reads.
    """

    operation: str
    commit: Commit
    while_postponed: bool = False


class Request(Protocol):
    """A request to a storage, as data. It refers to no volume group until it is planned."""

    kind: ClassVar[Kind]

    @property
    def volume(self) -> VolumeName:
        """The volume that the request reads, changes or makes."""

    @property
    def names(self) -> tuple[VolumeName, ...]:
        """The volume names whose locks the request needs."""

    @property
    def headers_of(self) -> VolumeName | None:
        """The volume whose image headers the planner needs; None if LVM's report is enough."""

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Plan the request on the picture ``vg``.

        Raises:
            LvmqcowError: the request is refused. Nothing was changed.
        """


@dataclass(frozen=True)
class OnLv(Intent):
    """An intent of one operation. A subclass says on which LVs it may be, and what it means there."""

    content_unneeded: ClassVar[bool] = False
    """Whether nothing needs the content of an LV that carries this intent and waits for its removal."""
    shared: ClassVar[bool] = False
    """Whether layers of other volumes carry the same intent: then these volumes are recovered together."""

    def belongs(self, volume: Volume, lv: LogicalVolume) -> bool:
        """Return whether the operation of this version can have left the intent on that LV."""
        raise NotImplementedError

    def safe_to_open(self, volume: Volume, lv: LogicalVolume) -> bool:
        """Return whether a guest may open the volume before the operation is finished: all images read right."""
        return False

    @property
    def replaces(self) -> str | None:
        """The LV whose name the carrier of this intent will get; None if it gets none. That LV may then be removed."""
        return None

    @property
    def removes_its_snapshot(self) -> bool:
        """Whether the operation removes the snapshot that carries this intent."""
        return False


@dataclass(frozen=True)
class Recovery:
    """How an operation that was cut is finished or undone. ``operation`` says which: ``undo snapshot``.

    ``removed`` are LVs that are removed after the steps, together with the LVs that wait for their removal.
    ``whole_volume``: the whole volume is removed, so no LV that waits for its removal is needed.
    """

    operation: str
    steps: tuple[Step, ...]
    removed: tuple[LogicalVolume, ...] = ()
    whole_volume: bool = False


Recover = Callable[[VolumeGroup, Volume, Measure], Recovery | None]
"""Plans the recovery of one operation. It returns None if the volume shows no cut of that operation.

It raises Corrupt if the volume is in a state that no cut of the operation can leave.
"""


def _nothing(vg: VolumeGroup, volume: Volume, measure: Measure) -> None:
    return None


NOTHING_CUT: Final[Recover] = _nothing
"""The recovery of an operation that leaves nothing to recover."""


@dataclass(frozen=True)
class Operation:
    """One operation, as the rest of the library sees it.

    ``cuts`` has a pair of texts for each state that a cut can leave: the state, and what recovery does.
    """

    requests: tuple[type[Request], ...]
    intents: tuple[type[OnLv], ...]
    recover: Recover
    cuts: tuple[tuple[str, str], ...]


def carrier(volume: Volume, kind: type[OnLv]) -> Layer | None:
    """Return the first layer that carries an intent of this class; None if no layer does."""
    return next((layer for layer in volume.layers if kind.among(layer.lv.tags)), None)
