"""The actions that sequences are made of: one class for each operation, and the rules that draw them."""

from __future__ import annotations

from typing import Final

from lvmqcow.testing.conformance.actions import copies, snapshots, volumes
from lvmqcow.testing.conformance.actions.base import Action, Chooser, RandomChooser, Rule

__all__ = ["KINDS", "RULES", "Action", "Chooser", "RandomChooser", "Rule"]

KINDS: Final[dict[str, type[Action]]] = {each.kind: each for each in (*volumes.KINDS, *snapshots.KINDS, *copies.KINDS)}
"""Every action, by its name in a trace."""

RULES: Final[tuple[Rule, ...]] = (*volumes.RULES, *snapshots.RULES, *copies.RULES)
"""Every rule."""
