"""Operations plan requests. A planner is pure: from a picture and a request it makes a plan, or raises an error.

The planners refuse everything that can be refused, before anything is changed. Each operation has one module with its
request, its planner, its intents and its recovery. The docstring of the module lists the steps. `OPERATIONS` lists all
operations; `lvmqcow.operations.recovery` asks each in turn.
"""

from __future__ import annotations

from typing import Final

from lvmqcow.core.fitness import require_changeable
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume
from lvmqcow.operations.activation import ACTIVATION, Activate, Deactivate
from lvmqcow.operations.clone import CLONE, Clone
from lvmqcow.operations.convert import CONVERT, Convert
from lvmqcow.operations.copy import COPY, Copy
from lvmqcow.operations.create import CREATE, Create
from lvmqcow.operations.delete import DELETE, DeleteSnapshot, Merge
from lvmqcow.operations.export import EXPORT, Export, ExportStream, StreamFormat
from lvmqcow.operations.flatten import FLATTEN, Flatten
from lvmqcow.operations.import_image import IMPORT, Import, ImportStream
from lvmqcow.operations.operation import OnLv, Operation, Questions, Request
from lvmqcow.operations.remove import REMOVE, Remove
from lvmqcow.operations.rename import RENAME, Rename
from lvmqcow.operations.rename_snapshot import RENAME_SNAPSHOT, RenameSnapshot
from lvmqcow.operations.resize import RESIZE, Grow, Resize
from lvmqcow.operations.rollback import ROLLBACK, Newer, Rollback
from lvmqcow.operations.shared.plan import Measure, Plan
from lvmqcow.operations.snapshot import SNAPSHOT, Snapshot
from lvmqcow.operations.template import MAKE_TEMPLATE, Template

__all__ = [
    "OPERATIONS",
    "Activate",
    "Clone",
    "Convert",
    "Copy",
    "Create",
    "Deactivate",
    "DeleteSnapshot",
    "Export",
    "ExportStream",
    "Flatten",
    "Grow",
    "Import",
    "ImportStream",
    "Measure",
    "Merge",
    "Newer",
    "Operation",
    "Plan",
    "Questions",
    "Remove",
    "Rename",
    "RenameSnapshot",
    "Request",
    "Resize",
    "Rollback",
    "Snapshot",
    "StreamFormat",
    "Template",
    "intents_of",
    "plan",
]

OPERATIONS: Final[tuple[Operation, ...]] = (
    REMOVE,
    RENAME,
    CONVERT,
    SNAPSHOT,
    RENAME_SNAPSHOT,
    CREATE,
    IMPORT,
    CLONE,
    COPY,
    EXPORT,
    ROLLBACK,
    DELETE,
    RESIZE,
    FLATTEN,
    MAKE_TEMPLATE,
    ACTIVATION,
)
"""All operations. Recovery asks them in this order: first those that decide the volume's name, or whether it stays."""


def plan(vg: VolumeGroup, request: Request, images: Questions) -> Plan:
    """Plan a request on the picture ``vg``. ``images`` answers the planner's questions about images.

    Raises:
        LvmqcowError: the request is refused. Nothing was changed.
    """
    require_changeable(vg)
    return request.plan(vg, images)


def intents_of(lv: LogicalVolume) -> tuple[tuple[str, OnLv | None], ...]:
    """Return the intents that an LV carries, each with its tag. A tag that no operation writes gives None."""
    kinds = [kind for operation in OPERATIONS for kind in operation.intents]
    return tuple((tag, next((found for kind in kinds if (found := kind.read(tag))), None)) for tag in lv.intent_tags)
