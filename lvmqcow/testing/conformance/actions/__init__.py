"""The actions that sequences are made of: one class for each operation, and the rules that draw them."""

from __future__ import annotations

from typing import Final

from lvmqcow.testing.conformance.actions import copies, interrupted, snapshots, volumes
from lvmqcow.testing.conformance.actions.base import Action, Chooser, RandomChooser, Rule

__all__ = ["KINDS", "RULES", "Action", "Chooser", "RandomChooser", "Rule"]

_MODULES: Final = (volumes, snapshots, copies, interrupted)

KINDS: Final[dict[str, type[Action]]] = {kind.kind: kind for module in _MODULES for kind in module.KINDS}
"""Every action, by its name in a trace."""

RULES: Final[tuple[Rule, ...]] = tuple(rule for module in _MODULES for rule in module.RULES)
"""Every rule."""
