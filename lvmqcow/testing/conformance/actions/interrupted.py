"""An action that is cut: the process, or the machine, dies after some steps. Recovery must finish or undo it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from lvmqcow.errors import LvmqcowError
from lvmqcow.operations import Plan
from lvmqcow.testing.conformance.actions import copies, snapshots, volumes
from lvmqcow.testing.conformance.actions.base import Action, Chooser, Rule
from lvmqcow.testing.model import Disks, Model
from lvmqcow.testing.worlds import World

__all__ = ["KINDS", "RULES", "Interrupted"]

_MOST_STEPS: Final = 12
_NEVER_CUT: Final = frozenset({"write", "recover", "large"})


@dataclass(frozen=True)
class Interrupted:
    """An action that is cut after ``after`` steps; if it has no more, it is simply carried out."""

    kind: ClassVar[str] = "interrupted"
    action: Action
    after: int
    inside: bool
    """Whether the next step was begun."""
    machine: bool
    """Whether the machine died, not only the process."""

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        return self.action.refusal(model)

    def on(self, world: World) -> Plan | None:
        return self.action.on(world)

    def change(self, model: Model, ran: Plan | None) -> None:
        self.action.change(model, ran)


def _interrupted(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    rules = [rule for rule in _CUT if rule.possible(disks)]
    action = next(chooser.pick(rules, "interrupted").draw(disks, chooser), None)
    if action is not None:
        after = chooser.number(0, _MOST_STEPS, "steps")
        yield Interrupted(action, after, *(chooser.pick((False, True), what) for what in ("inside", "machine")))


_CUT: Final = [rule for rule in (*volumes.RULES, *snapshots.RULES, *copies.RULES) if not rule.kinds & _NEVER_CUT]

KINDS: Final = (Interrupted,)
"""The actions of this module."""

RULES: Final = (Rule("interrupted", frozenset({"interrupted"}), lambda disks: True, _interrupted),)
"""How they are drawn."""
