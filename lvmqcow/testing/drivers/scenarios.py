"""What a driver is tried with: a state that it builds itself, and one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lvmqcow.testing.conformance.actions import Action
from lvmqcow.testing.conformance.actions.base import LARGE_BYTES
from lvmqcow.testing.conformance.actions.snapshots import DeleteSnapshot, Rollback, Snapshot
from lvmqcow.testing.conformance.actions.volumes import Create, Deactivate, Remove, Rename, Resize, WriteTo
from lvmqcow.testing.content import Write

__all__ = ["NEIGHBOUR", "SCENARIOS", "Scenario", "neighbour"]

_MIB: Final = 1024**2
_DISK: Final = "vm-100-disk-0.qcow2"
NEIGHBOUR: Final = "vm-100-disk-1.qcow2"
_OTHER: Final = "vm-200-disk-0.qcow2"


@dataclass(frozen=True)
class Scenario:
    """A state, and the request that is made in it."""

    before: tuple[Action, ...]
    request: Action
    again: Action | None = None
    """A second request that must succeed after it."""
    may_be_refused: bool = False
    """Whether a driver may refuse to build the state."""

    @property
    def kinds(self) -> frozenset[str]:
        """The operations that a driver must offer for it."""
        last = (self.again,) if self.again else ()
        return frozenset(action.kind for action in (*self.before, self.request, *last)) - {"write"}


def _chain(depth: int, *, volume: str = _DISK) -> tuple[Action, ...]:
    """A volume of 4 MiB with snapshots; every layer has blocks of its own, and one that all overwrite."""
    # all of it is written: a driver whose new volumes show old bytes fails in `create`, and shows the rest elsewhere
    actions: list[Action] = [Create(volume, 4 * _MIB), WriteTo(volume, (Write(0, 1024, 0),))]
    for number in range(depth + 1):
        actions.append(WriteTo(volume, (Write(0, 2, number + 1), Write(40 + number, 1, 0x60 + number))))
        if number < depth:
            actions.append(Snapshot(volume, f"s{number + 1}"))
    return tuple(actions)


def _grown(depth: int) -> tuple[Action, ...]:
    """The same, and the current layer was resized after the newest snapshot, and its new part written to."""
    blocks = tuple(Write(block, 32, 0x70) for block in range(2048, 12288, 2048))
    return (*_chain(depth), Resize(_DISK, 64 * _MIB), WriteTo(_DISK, blocks))


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "create": Scenario((), Create(_DISK, 4 * _MIB)),
    "create a large volume": Scenario((), Create(_DISK, LARGE_BYTES)),
    "snapshot over 0": Scenario(_chain(0), Snapshot(_DISK, "new")),
    "snapshot over 1": Scenario(_chain(1), Snapshot(_DISK, "new")),
    "rollback": Scenario(_chain(1), Rollback(_DISK, "s1")),
    "rollback after a resize": Scenario(_grown(1), Rollback(_DISK, "s1"), Resize(_DISK, 32 * _MIB)),
    "rollback to an older snapshot": Scenario(_chain(2), Rollback(_DISK, "s1")),
    "delete the only snapshot": Scenario(_chain(1), DeleteSnapshot(_DISK, "s1")),
    "delete the first of 2": Scenario(_chain(2), DeleteSnapshot(_DISK, "s1")),
    "delete the newest of 2": Scenario(_chain(2), DeleteSnapshot(_DISK, "s2")),
    "delete after a resize": Scenario(_grown(1), DeleteSnapshot(_DISK, "s1")),
    "delete of an inactive volume": Scenario((*_chain(1), Deactivate(_DISK)), DeleteSnapshot(_DISK, "s1")),
    "resize": Scenario(_chain(1), Resize(_DISK, 64 * _MIB)),
    "resize twice": Scenario(_chain(0), Resize(_DISK, 64 * _MIB), Resize(_DISK, 64 * _MIB)),
    "rename": Scenario(_chain(0), Rename(_DISK, _OTHER)),
    "rename with a snapshot": Scenario(_chain(1), Rename(_DISK, _OTHER)),
    "remove": Scenario(_chain(0), Remove(_DISK), Create(_DISK, 8 * _MIB)),
    "remove with snapshots": Scenario(_chain(2), Remove(_DISK), Create(_DISK, 8 * _MIB)),
    "names that collide": Scenario(
        (Create("vm-100-x.qcow2", _MIB), Create("vm-100-vm-100-x.qcow2", _MIB), Snapshot("vm-100-x.qcow2", "s-vm-100")),
        Snapshot("vm-100-vm-100-x.qcow2", "s"),
        may_be_refused=True,
    ),
}
"""By name. A neighbour with a snapshot is beside each, and must never change."""


def neighbour() -> tuple[Action, ...]:
    """Return what makes the neighbour."""
    return _chain(1, volume=NEIGHBOUR)
