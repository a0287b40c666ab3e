"""Make a volume a template: its current LV V never changes again, so clones may read through it.

1. add the tag ``lvmqcow.template`` to V: from here on the volume is a template
2. make V read-only

A cut after 1 leaves a template that is still writable: recovery goes on with 2. If the volume is a template already,
the plan is empty, so a caller may repeat the request.

Source: ``create_base`` of Proxmox VE's storage plugins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import TEMPLATE
from lvmqcow.core.names import Format, VolumeName
from lvmqcow.core.qcow2 import Measure
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.errors import NotPossible
from lvmqcow.operations.operation import Kind, Operation, Questions, Recovery
from lvmqcow.operations.shared.chain_steps import index_steps
from lvmqcow.operations.shared.plan import Commit, Plan
from lvmqcow.operations.shared.preconditions import verified_tree
from lvmqcow.steps import LvPermission, LvTag, Permission, Step

__all__ = ["MAKE_TEMPLATE", "Template"]


def _marks(step: Step) -> bool:
    return isinstance(step, LvTag) and TEMPLATE in step.add


_COMMIT: Final = Commit(_marks)


@dataclass(frozen=True)
class Template:
    """Make a volume a template, which never changes and can be cloned."""

    kind: ClassVar = Kind("template", _COMMIT)

    volume: VolumeName

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> VolumeName:
        return self.volume

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises VolumeNotFound, NotPossible (raw) or Corrupt."""
        volume = vg.volume(self.volume)
        if volume.name.format is not Format.QCOW2:
            reason = "the volume is raw, and a clone can only read through a qcow2 volume"
            raise NotPossible(volume.target, reason, "copy it to a volume named *.qcow2 and make the copy a template")
        tree = verified_tree(volume)
        current = tree[0]
        if current.lv.template:
            return Plan("template", vg.name, self.volume, (), _COMMIT)
        steps: tuple[Step, ...] = (
            *index_steps(tree),
            LvTag((current.lv.name,), add=(TEMPLATE,)),
            *_read_only_steps([current]),
        )
        return Plan("template", vg.name, self.volume, steps, _COMMIT)


def _recover(vg: VolumeGroup, volume: Volume, measure: Measure) -> Recovery | None:
    steps = _read_only_steps(layer for layer in volume.layers if layer.lv.template)
    return Recovery("finish template", steps) if steps else None


MAKE_TEMPLATE: Final = Operation(
    requests=(Template,),
    intents=(),
    recover=_recover,
    cuts=(("V is a template, and can be written to", "finish: make V read-only"),),
)


def _read_only_steps(layers: Iterable[Layer]) -> tuple[LvPermission, ...]:
    return tuple(LvPermission(layer.lv.name, Permission.READ) for layer in layers if layer.lv.writable)
