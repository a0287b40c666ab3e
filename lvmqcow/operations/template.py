"""Make a template of a volume: its current LV V never changes again, so clones may read through it.

1. the tag ``lvmqcow.template`` on V: from here on it is one
2. make V read-only

A cut after 1 leaves a template that can still be written to: recovery goes on with 2. Of a template the plan is empty:
who does not know whether it was done asks again.
"""

from __future__ import annotations

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import TEMPLATE
from lvmqcow.core.names import Format
from lvmqcow.core.volume import Layer
from lvmqcow.errors import NotPossible
from lvmqcow.operations.requests import Template
from lvmqcow.operations.shared.common import indexed, sound_tree
from lvmqcow.operations.shared.plan import Plan
from lvmqcow.steps import LvPermission, LvTag, Permission, Step

__all__ = ["frozen", "plan_template"]


def plan_template(vg: VolumeGroup, request: Template) -> Plan:
    """Raises VolumeNotFound, NotPossible (raw) or Corrupt."""
    volume = vg.volume(request.volume)
    if volume.name.format is not Format.QCOW2:
        reason = "it is raw, and a clone can only read through qcow2"
        raise NotPossible(volume.target, reason, "copy it to a volume named *.qcow2 and make that a template")
    tree = sound_tree(volume)
    current = tree[0]
    if current.lv.template:
        return Plan("template", vg.name, request.volume, ())
    before: tuple[Step, ...] = (*indexed(tree), LvTag((current.lv.name,), add=(TEMPLATE,)))
    return Plan("template", vg.name, request.volume, (*before, *frozen([current])))


def frozen(layers: list[Layer]) -> tuple[LvPermission, ...]:
    """The steps that make read-only those of ``layers`` that are not: also what recovery runs."""
    return tuple(LvPermission(layer.lv.name, Permission.READ) for layer in layers if layer.lv.writable)
