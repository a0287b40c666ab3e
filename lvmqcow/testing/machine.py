"""The state machine: random operations on a storage, against a model that cannot lose anything.

Each rule of `lvmqcow.testing.conformance.actions` is one rule of the machine, because Hypothesis switches whole rules
on and off. The model keeps the content of every volume and every snapshot. After each operation all of them are
compared with the model, `check` must find nothing, and nothing may be left over. The same class runs on the simulated
and the real world::

    TestMine = machine(make_world).TestCase
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from hypothesis import event, note, target
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from lvmqcow.testing.conformance.actions import RULES, Rule
from lvmqcow.testing.conformance.actions.volumes import Create
from lvmqcow.testing.conformance.session import Ours, Session
from lvmqcow.testing.conformance.trace import to_line
from lvmqcow.testing.strategies import Drawn, volume_names, volume_sizes
from lvmqcow.testing.worlds import World

__all__ = ["StorageMachine", "machine"]


class StorageMachine(RuleBasedStateMachine):
    """Random operations on volumes and snapshots. Use `machine` to run it in a world."""

    make_world: Callable[[], World]
    ended: Callable[[int], None]

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(Ours(type(self).make_world()))

    def teardown(self) -> None:
        type(self).ended(len(self.session.done))
        target(float(self.session.deepest), label="snapshots of a volume")
        self.session.subject.close()

    @initialize(name=volume_names, size_bytes=volume_sizes)
    def create_the_first(self, name: str, size_bytes: int) -> None:
        self.session.apply(Create(name, size_bytes))

    def follow(self, rule: Rule, chooser: Drawn) -> None:
        """Draw the actions of a rule, and apply them."""
        before = len(self.session.done)
        try:
            self.session.follow(rule, chooser)
        finally:
            for action in self.session.done[before:]:
                event(action.kind)
                note(to_line(action))


def machine(world: Callable[[], World], ended: Callable[[int], None] = lambda steps: None) -> type[StorageMachine]:
    """Return the machine for a world.

    ``world`` makes a fresh world for each sequence; ``ended`` gets its number of operations.
    """
    members = {"make_world": staticmethod(world), "ended": staticmethod(ended)}
    rules = {each.name: _rule(each) for each in RULES if each.name != "large"}
    return type("StorageMachine", (StorageMachine,), {**rules, **members})


def _rule(drawn: Rule) -> Callable[[StorageMachine], None]:
    def follow(self: StorageMachine, data: st.DataObject) -> None:
        self.follow(drawn, Drawn(lambda strategy, label: data.draw(strategy, label=label)))

    follow.__name__ = drawn.name
    made = precondition(lambda self: bool(drawn.possible(self.session.model.disks)))(rule(data=st.data())(follow))
    return cast("Callable[[StorageMachine], None]", made)
