"""Wrong plans, each made of the right one. A plan of another shape stays as it is."""

from __future__ import annotations

from dataclasses import replace

from lvmqcow.operations import Plan
from lvmqcow.steps import (
    LvActivate,
    LvCreate,
    LvDiscardRange,
    LvRefresh,
    LvRemove,
    LvRename,
    LvTag,
    LvZeroRange,
    QcowCreate,
    QcowRebase,
    Step,
)

__all__ = [
    "freed_then_renamed",
    "intent_dropped_too_early",
    "rebased_with_the_default_cache",
    "renamed_then_created",
    "without_intents",
]


class CachedRebase(QcowRebase):
    """With the cache mode that qemu-img has by default: the header may be on disk before what it stands for."""

    def argv(self, vg: str) -> tuple[str, ...]:
        return tuple(word.replace("directsync", "writeback") for word in super().argv(vg))


def rebased_with_the_default_cache(plan: Plan) -> Plan:
    """As the seed does it."""
    steps = (
        CachedRebase(step.lv, step.backing, step.was) if isinstance(step, QcowRebase) else step for step in plan.steps
    )
    return replace(plan, steps=tuple(steps))


def without_intents(plan: Plan) -> Plan:
    """Nothing says what was begun."""
    return replace(plan, steps=tuple(step for step in plan.steps if not _is_intent(step)))


def renamed_then_created(plan: Plan) -> Plan:
    """The seed's order of a snapshot: for a while there is no current volume, and nothing that says so."""
    creates = [step for step in plan.steps if isinstance(step, LvCreate)]
    forms = [step for step in plan.steps if isinstance(step, QcowCreate)]
    freezes = [step for step in plan.steps if isinstance(step, LvRename) and step.lv == plan.volume.text]
    if not (creates and forms and freezes):
        return plan
    name = plan.volume.text
    return replace(plan, steps=(freezes[0], replace(creates[0], lv=name), replace(forms[0], lv=name)))


def freed_then_renamed(plan: Plan) -> Plan:
    """The child's LV is wiped, if that was asked for, and goes before the merged one has its name."""
    dooms = [step for step in plan.steps if isinstance(step, LvRename) and step.to.startswith("del-")]
    if len(dooms) != 1:
        return plan
    (doom,) = dooms
    begun = plan.steps.index(doom)
    after = plan.steps[begun + 1 :]
    goes = [_on_another(step, doom.to, doom.lv) for step in after]
    return replace(
        plan,
        steps=(
            *plan.steps[:begun],
            *(new for new, step in zip(goes, after, strict=True) if new != step),
            *(step for new, step in zip(goes, after, strict=True) if new == step),
        ),
    )


def intent_dropped_too_early(plan: Plan) -> Plan:
    """Before what it stands for is done."""
    forms = [step for step in plan.steps if isinstance(step, QcowCreate)]
    drops = [step for step in plan.steps if isinstance(step, LvTag) and step.drop]
    if not forms or not drops:
        return plan
    form, drop = forms[-1], drops[-1]
    rest = [step for step in plan.steps if step not in (form, drop)]
    at = plan.steps.index(form)
    return replace(plan, steps=(*rest[:at], drop, form, *rest[at:]))


def _is_intent(step: Step) -> bool:
    return isinstance(step, LvTag) and any("intent" in tag for tag in step.add)


def _on_another(step: Step, lv: str, other: str) -> Step:
    """What lets an LV go does the same to another, if it is to that one."""
    match step:
        case LvTag() | LvActivate() | LvRefresh() | LvRemove():
            return replace(step, lvs=tuple(other if each == lv else each for each in step.lvs))
        case LvZeroRange() | LvDiscardRange() if step.lv == lv:
            return replace(step, lv=other)
        case _:
            return step
