"""Planners: pure functions from a picture of the volume group and a request to a plan, or a named error.

Everything that can be refused is refused here, before anything is touched. One module an operation; the module's
docstring is the flow, and what a cut leaves. `lvmqcow.operations.recovery` reads those states back.
"""

from __future__ import annotations

from typing import assert_never

from lvmqcow.core.fitness import require_changeable
from lvmqcow.core.group import VolumeGroup
from lvmqcow.operations.activation import plan_activate, plan_deactivate
from lvmqcow.operations.clone import plan_clone
from lvmqcow.operations.convert import plan_convert
from lvmqcow.operations.copy import plan_copy
from lvmqcow.operations.create import plan_create, plan_import, plan_import_stream
from lvmqcow.operations.delete import plan_delete
from lvmqcow.operations.export import plan_export, plan_export_stream
from lvmqcow.operations.flatten import plan_flatten
from lvmqcow.operations.remove import plan_remove
from lvmqcow.operations.rename import plan_rename
from lvmqcow.operations.requests import (
    Activate,
    Clone,
    Convert,
    Copy,
    Create,
    Deactivate,
    DeleteSnapshot,
    Export,
    ExportStream,
    Flatten,
    Grow,
    Import,
    ImportStream,
    Remove,
    Rename,
    Request,
    Resize,
    Rollback,
    Snapshot,
    Template,
)
from lvmqcow.operations.resize import plan_grow, plan_resize
from lvmqcow.operations.rollback import plan_rollback
from lvmqcow.operations.shared.plan import Measure, Plan
from lvmqcow.operations.snapshot import plan_snapshot
from lvmqcow.operations.template import plan_template

__all__ = ["Measure", "Plan", "plan"]


def plan(vg: VolumeGroup, request: Request, measure: Measure) -> Plan:
    """The steps that carry out ``request`` on what ``vg`` shows.

    Raises:
        LvmqcowError: every refusal, by its own class; nothing was touched.
    """
    require_changeable(vg)
    match request:
        case Create():
            return plan_create(vg, request, measure)
        case Import():
            return plan_import(vg, request, measure)
        case ImportStream():
            return plan_import_stream(vg, request, measure)
        case Export():
            return plan_export(vg, request)
        case ExportStream():
            return plan_export_stream(vg, request)
        case Snapshot():
            return plan_snapshot(vg, request, measure)
        case Rollback():
            return plan_rollback(vg, request, measure)
        case DeleteSnapshot():
            return plan_delete(vg, request, measure)
        case Template():
            return plan_template(vg, request)
        case Clone():
            return plan_clone(vg, request, measure)
        case Flatten():
            return plan_flatten(vg, request, measure)
        case Resize():
            return plan_resize(vg, request, measure)
        case Grow():
            return plan_grow(vg, request, measure)
        case Remove():
            return plan_remove(vg, request)
        case Rename():
            return plan_rename(vg, request)
        case Copy():
            return plan_copy(vg, request, measure)
        case Convert():
            return plan_convert(vg, request, measure)
        case Activate():
            return plan_activate(vg, request)
        case Deactivate():
            return plan_deactivate(vg, request)
        case _:
            assert_never(request)
