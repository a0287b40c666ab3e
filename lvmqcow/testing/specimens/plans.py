"""Specimens whose planner makes a wrong plan: steps are missing, or come in a wrong order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import Format
from lvmqcow.engine.planners import PLANNERS
from lvmqcow.operations import (
    Clone,
    Convert,
    Copy,
    Create,
    DeleteSnapshot,
    Flatten,
    Newer,
    Plan,
    Remove,
    Rename,
    Request,
    Resize,
    Rollback,
    Snapshot,
)
from lvmqcow.operations.operation import Questions
from lvmqcow.steps import (
    LvActivate,
    LvCreate,
    LvExtend,
    LvRemove,
    LvRename,
    LvTag,
    LvZero,
    LvZeroRange,
    QcowCreate,
    QcowRelink,
    QcowResize,
    Step,
)
from lvmqcow.testing.conformance.implementation import Implementation
from lvmqcow.testing.specimens.planted import (
    freed_then_renamed,
    intent_dropped_too_early,
    renamed_then_created,
    without_intents,
)
from lvmqcow.testing.specimens.specimen import Specimen, measured, planned, with_planner

__all__ = ["SPECIMENS"]

_MIB: Final = 1024**2
_TIB: Final = 1024**4
_PLENTY_EXTENTS: Final = 10**9


def _without(*kinds: type[Step]) -> Callable[[Plan], Plan]:
    """Return a patch that leaves these steps out."""
    return lambda plan: replace(plan, steps=tuple(step for step in plan.steps if not isinstance(step, kinds)))


def _only_current(plan: Plan) -> Plan:
    """Act on the current LV alone, as if there were no snapshots."""
    current = plan.volume.text
    kept: list[Step] = []
    for step in plan.steps:
        if isinstance(step, LvTag | LvRemove | LvActivate):
            lvs = tuple(lv for lv in step.lvs if lv.removeprefix("del-") == current)
            kept += [replace(step, lvs=lvs)] if lvs else []
        else:
            kept.append(step)
    return replace(plan, steps=tuple(kept))


def _current_renamed(plan: Plan) -> Plan:
    """Rename the current LV, and neither its snapshots nor its tags."""
    return replace(plan, steps=tuple(s for s in plan.steps if isinstance(s, LvRename) and s.lv == plan.volume.text))


def _tags_kept(plan: Plan) -> Plan:
    """Add the new tags, and leave the old ones."""
    steps = (
        replace(step, drop=tuple(tag for tag in step.drop if not tag.startswith("pve-")))
        if isinstance(step, LvTag)
        else step
        for step in plan.steps
    )
    return replace(plan, steps=tuple(steps))


def _no_size(plan: Plan) -> Plan:
    """Make an overlay without a size."""
    steps = (
        replace(step, virtual_size_bytes=0) if isinstance(step, QcowCreate) and step.backing else step
        for step in plan.steps
    )
    return replace(plan, steps=tuple(steps))


def _current_removed_first(plan: Plan) -> Plan:
    """Remove the current LV, then make the overlay anew: a cut in between leaves no current volume."""
    form = next(step for step in plan.steps if isinstance(step, QcowCreate))
    if not form.backing or form.lv != plan.volume.text:
        return plan
    rest = tuple(step for step in plan.steps if not isinstance(step, LvTag))
    at = rest.index(form)
    remove, create = LvRemove((form.lv,)), LvCreate(form.lv, 64 * _MIB, plan.volume.tags)
    return replace(plan, steps=(*rest[:at], remove, create, *rest[at:]))


def _merged_into_the_small(plan: Plan) -> Plan:
    """Commit into a snapshot that is not grown before."""
    if not any(type(step).__name__ == "QcowCommit" for step in plan.steps):
        return plan
    return _without(LvExtend, QcowResize)(plan)


def _resize_always(vg: VolumeGroup, request: Request, images: Questions) -> Plan:
    """Extend the LV whatever size it has. LVM refuses an extension to the present size."""
    right = PLANNERS.plan(vg, request, images)
    if not isinstance(request, Resize) or right.steps or request.volume.format is Format.RAW:
        return right
    current = vg.volume(request.volume).current.lv
    return replace(right, steps=(LvExtend(current.name, current.size_bytes),))


def _believes_there_is_space(vg: VolumeGroup, request: Request, images: Questions) -> Plan:
    """Compare free space in the wrong unit: it never runs out."""
    return PLANNERS.plan(replace(vg, free_extents=_PLENTY_EXTENTS), request, images)


def _never_refuses_a_rollback(vg: VolumeGroup, request: Request, images: Questions) -> Plan:
    """Roll back past newer snapshots, and leave them where they are."""
    if isinstance(request, Rollback) and request.newer is Newer.REFUSE:
        request = replace(request, newer=Newer.KEEP)
    return PLANNERS.plan(vg, request, images)


def _flat_overhead(virtual_size_bytes: int) -> int:
    """The formula of the patch: 4 MiB for each started TiB."""
    return virtual_size_bytes + -(-virtual_size_bytes // _TIB) * 4 * _MIB


def _specimen(name: str, origin: str, broke: str, implementation: Implementation, *suites: str) -> Specimen:
    return Specimen(name, origin, broke, suites or ("sequences",), implementation)


def _of(
    name: str,
    origin: str,
    broke: str,
    patch: Callable[[Plan], Plan],
    *requests: type[Request],
    suites: str = "sequences",
) -> Specimen:
    return Specimen(name, origin, broke, tuple(suites.split()), planned(name, patch, *requests))


_MAKERS: Final = (Create, Copy, Convert, Clone)

SPECIMENS: Final[tuple[Specimen, ...]] = (
    _specimen(
        "flat-overhead",
        "seed 1",
        "an LV is too small for its image, once all of it is written",
        measured("flat-overhead", _flat_overhead),
    ),
    _specimen(
        "free-space-never-checked",
        "seed 2",
        "an operation that finds no space fails in the middle, where it should be refused",
        with_planner("free-space-never-checked", _believes_there_is_space),
    ),
    _of(
        "commit-into-a-smaller-base",
        "seed 3",
        "the commit of a child that was grown runs out of space, half merged",
        _merged_into_the_small,
        DeleteSnapshot,
        suites="cuts",
    ),
    _specimen(
        "resize-not-repeatable",
        "seed 4",
        "a resize that was done cannot be asked for again",
        with_planner("resize-not-repeatable", _resize_always),
    ),
    _of("remove-ignores-snapshots", "seed 6", "snapshots of a removed volume stay for ever", _only_current, Remove),
    _of("rename-ignores-snapshots", "seed 7", "a renamed volume has lost its snapshots", _current_renamed, Rename),
    _specimen(
        "rollback-orphans-newer",
        "seed 8",
        "a rollback to an older snapshot orphans the newer ones",
        with_planner("rollback-orphans-newer", _never_refuses_a_rollback),
    ),
    _of(
        "rollback-without-intent",
        "seed 9",
        "a rollback that was cut leaves an image that nobody can read, and no record of it",
        without_intents,
        Rollback,
        suites="cuts",
    ),
    _of(
        "rename-then-create",
        "seed 10",
        "a snapshot that is cut leaves no current volume",
        renamed_then_created,
        Snapshot,
        suites="cuts sequences",
    ),
    _of(
        "free-then-rename",
        "seed 10",
        "a delete that is cut leaves no current volume",
        freed_then_renamed,
        DeleteSnapshot,
        suites="cuts sequences",
    ),
    _of(
        "delete-does-not-activate",
        "seed 13",
        "a snapshot of an inactive volume cannot be deleted",
        _without(LvActivate),
        DeleteSnapshot,
    ),
    _of(
        "raw-volume-not-zeroed",
        "seed 20",
        "a new raw volume shows the guest what the LV held before",
        _without(LvZero),
        *_MAKERS,
    ),
    _of(
        "grown-part-not-zeroed",
        "seed 20",
        "the grown part of a raw volume shows the guest what the LV held before",
        _without(LvZeroRange),
        Resize,
    ),
    _of(
        "nothing-activates",
        "upstream 94b637a, 3941068, 3a7e061",
        "an operation on an inactive volume fails",
        _without(LvActivate),
        Rename,
        Rollback,
        Snapshot,
    ),
    _of("overlay-without-size", "upstream 04cbc41", "an overlay has no size", _no_size, Snapshot, Rollback),
    _of(
        "rename-breaks-the-chain",
        "upstream f649f5a",
        "after a rename the snapshots lead nowhere",
        _without(QcowRelink),
        Rename,
    ),
    _of(
        "wipe-of-an-inactive-lv",
        "upstream d5995ff",
        "a wipe does not reach the disk, because the LV is not active",
        _without(LvActivate),
        Remove,
    ),
    _of(
        "rename-keeps-old-tags", "upstream f5a6f9b, 36ca127", "a renamed volume has the tags of two", _tags_kept, Rename
    ),
    _of(
        "rollback-removes-current-first",
        "head 2",
        "a rollback that is cut leaves no current volume",
        _current_removed_first,
        Rollback,
        suites="cuts sequences",
    ),
    _of(
        "intent-dropped-too-early",
        "seed 9",
        "a rollback that was cut while it formats leaves no record of it",
        intent_dropped_too_early,
        Rollback,
        suites="cuts",
    ),
    _of(
        "clone-not-flattened",
        "upstream 44b4e42, d0239ba",
        "a volume still reads through another one after it was made independent",
        lambda plan: replace(plan, steps=()),
        Flatten,
    ),
)
"""Those whose plans are wrong."""
