"""What becomes of an operation that is cut: the one table. Plans read it, and so the tests of every cut.

An operation has happened once its committing step is done. A cut before that is undone by recovery, a cut after it is
finished. Why the step is the one says the module of each planner; what recovery goes by, `lvmqcow.operations.recovery`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lvmqcow.core.intents import (
    Creating,
    Discarding,
    Flattening,
    Intent,
    Pulling,
    Pushing,
    Removing,
    Renaming,
    Resizing,
    RollingBack,
    parse_intent,
)
from lvmqcow.core.lv import TEMPLATE
from lvmqcow.steps import LvExtend, LvRename, LvTag, Step

__all__ = ["COMMITS", "Commit", "commit_point", "never_commits", "recovers", "require_told"]


@dataclass(frozen=True)
class Commit:
    """When an operation has happened: with the first step that ``by`` tells; if it is extended next, after that."""

    by: Callable[[Step], bool]
    extended: bool = False


def _writes(*intents: type[Intent]) -> Callable[[Step], bool]:
    return lambda step: isinstance(step, LvTag) and any(isinstance(parse_intent(tag), intents) for tag in step.add)


def _drops(intent: type[Intent]) -> Callable[[Step], bool]:
    return lambda step: isinstance(step, LvTag) and any(isinstance(parse_intent(tag), intent) for tag in step.drop)


def _marks_a_template(step: Step) -> bool:
    return isinstance(step, LvTag) and TEMPLATE in step.add


def _renames(step: Step) -> bool:
    return isinstance(step, LvRename)


def _never(step: Step) -> bool:
    return False


COMMITS: Final[Mapping[str, Commit]] = {
    "create": Commit(_drops(Creating)),
    "import": Commit(_drops(Creating)),
    "copy": Commit(_drops(Creating)),
    "clone": Commit(_drops(Creating)),
    "convert": Commit(_renames),
    "snapshot": Commit(_renames),
    "rollback": Commit(_writes(RollingBack, Discarding), extended=True),
    "delete-snapshot": Commit(_writes(Pulling, Pushing, Discarding)),
    "resize": Commit(_writes(Resizing), extended=True),
    "flatten": Commit(_writes(Flattening)),
    "rename": Commit(_writes(Renaming)),
    "remove": Commit(_writes(Removing)),
    "template": Commit(_marks_a_template),
    "export": Commit(_never),
    "activate": Commit(_never),
    "deactivate": Commit(_never),
}
"""By operation. Where nothing commits, nothing that a volume holds or is called changes: then the last step counts."""


_RECOVERIES: Final = ("recover", "restore devices")
_RECOVERING: Final = ("finish ", "undo ")
"""What the plans of recovery are called, or how their names begin."""


def require_told(operation: str) -> None:
    """Refuse an operation that this module says nothing of: nobody could tell what becomes of it when it is cut.

    Raises:
        ValueError: a row is missing, so this version is broken.
    """
    if operation not in COMMITS and not recovers(operation):
        raise ValueError(f"COMMITS has no row for {operation!r}, so nothing says what becomes of a cut {operation}")


def recovers(operation: str) -> bool:
    """Whether a plan of that name is a recovery."""
    return operation in _RECOVERIES or operation.startswith(_RECOVERING)


def never_commits(operation: str) -> bool:
    """Whether a cut of it leaves nothing to recover. Raises ValueError, as `require_told`."""
    require_told(operation)
    return operation in COMMITS and COMMITS[operation].by is _never


def commit_point(operation: str, steps: Sequence[Step]) -> int:
    """After how many steps the operation has happened: recovery itself, which is not in the table, has from the start.

    Raises:
        ValueError: as `require_told`.
    """
    require_told(operation)
    commit = COMMITS.get(operation)
    if commit is None:
        return 0
    at = next((number for number, step in enumerate(steps, 1) if commit.by(step)), len(steps))
    return at + 1 if commit.extended and isinstance(next(iter(steps[at : at + 1]), None), LvExtend) else at
