"""What an action is, and how one is drawn.

An `Action` is one operation as data: it can be written to a trace, read back, and carried out again. It knows three
things: what the model says that it is refused with, how to ask lvmqcow for it, and how it changes the model.

A `Rule` draws actions that make sense in the present state. A `Chooser` makes the choices: Hypothesis in tests, a
random number generator with a seed in `lvmqcow verify`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Final, Protocol, TypeVar

from lvmqcow.errors import LvmqcowError
from lvmqcow.operations import Plan
from lvmqcow.testing.conformance.violation import require
from lvmqcow.testing.content import Write
from lvmqcow.testing.model import DiskModel, Disks, Model
from lvmqcow.testing.worlds import World

__all__ = [
    "BEYOND_BYTES",
    "GROWTHS_BYTES",
    "LARGEST_BYTES",
    "LARGE_BYTES",
    "SIZES_BYTES",
    "SNAPSHOTS",
    "VOLUMES",
    "Action",
    "Chooser",
    "RandomChooser",
    "Rule",
    "any_volume",
    "draw_writes",
    "require_steps",
]

_MIB: Final = 1024**2
_Option = TypeVar("_Option")

VOLUMES: Final = ("vm-100-disk-0.qcow2", "vm-100-disk-1.qcow2", "vm-1000-disk-0.qcow2", "vm-100-disk-2")
"""Names of one machine and of two, one a prefix of another, one raw. There are few, so that names come again."""

SNAPSHOTS: Final = ("s1", "s2", "s10", "before-upgrade", "a.b", "x_y", "disk-0.qcow2", "0")
"""Names that are easily taken for each other, or for a part of a volume's name."""

SIZES_BYTES: Final = (512 * 9, _MIB, 4 * _MIB, 5 * _MIB + 512, 16 * _MIB)
"""Below, at and between the sizes of clusters and extents."""

GROWTHS_BYTES: Final = (0, 512, _MIB, 5 * _MIB + 512, 16 * _MIB, -512)
"""By how much a volume is to grow: within its LV, beyond it, not at all, and the wrong way."""

LARGEST_BYTES: Final = 48 * _MIB
"""Of a volume that a sequence grows."""

LARGE_BYTES: Final = 32 * 1024 * _MIB
"""Of a volume whose metadata takes more than an extent."""

BEYOND_BYTES: Final = 60 * 1024**2 * _MIB
"""More than any volume group of a test has."""

_COUNTS: Final = (1, 2, 31, 32, 33, 100)
_BYTES: Final = (0, 1, 2, 0x55, 0xFF)
_MOST_WRITES: Final = 4


class Action(Protocol):
    """One operation as data. Its fields are what it is asked with."""

    kind: ClassVar[str]
    """Its name in a trace, and in the protocol of drivers."""

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        """Return the error that it must be refused with; None where it must succeed."""

    def on(self, world: World) -> Plan | None:
        """Ask lvmqcow for it; returns the plan that ran, if one did."""

    def change(self, model: Model, ran: Plan | None) -> None:
        """Change the model as the operation changes the volumes. Raises Violation: the plan is not as it should be."""


class Chooser(Protocol):
    """Makes choices."""

    def pick(self, options: Sequence[_Option], label: str) -> _Option:
        """Return one of the options; ``label`` says what for."""

    def number(self, low: int, high: int, label: str) -> int:
        """Return a number between the two, both included."""


class RandomChooser:
    """Chooses at random. The same seed chooses the same."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def pick(self, options: Sequence[_Option], label: str) -> _Option:
        return self._random.choice(options)

    def number(self, low: int, high: int, label: str) -> int:
        return self._random.randint(low, high)


@dataclass(frozen=True)
class Rule:
    """Draws one action, or a few that belong together. Each is carried out before the next one is drawn."""

    name: str
    kinds: frozenset[str]
    """The kinds of action that it draws. It is only used where all of them are offered."""
    possible: Callable[[Disks], object]
    """Whether it makes sense now: its value is true then."""
    draw: Callable[[Disks, Chooser], Iterator[Action]]


def any_volume(disks: Disks, chooser: Chooser) -> tuple[str, DiskModel]:
    """Pick any volume."""
    name = chooser.pick(sorted(disks), "volume")
    return name, disks[name]


def draw_writes(blocks: int, chooser: Chooser) -> tuple[Write, ...]:
    """Draw up to four writes to a disk of that many blocks, zeros among them, some longer than a cluster."""
    drawn = []
    for _ in range(chooser.number(1, _MOST_WRITES, "writes")):
        block = chooser.number(0, blocks - 1, "block")
        count = min(chooser.pick(_COUNTS, "count"), blocks - block)
        drawn.append(Write(block, count, chooser.pick(_BYTES, "byte")))
    return tuple(drawn)


def require_steps(ran: Plan | None, wanted: bool, what: str) -> None:
    """Require that a plan has steps, or that it has none. A driver shows no plan, so nothing is required of it."""
    if ran is not None:
        require(
            bool(ran.steps) == wanted,
            what,
            "some" if wanted else "no steps",
            [type(step).__name__ for step in ran.steps],
        )
