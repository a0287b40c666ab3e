"""Create an empty volume, which reads as zeros (`lvmqcow.operations.shared.new_volume` has the steps).

Recovery runs first. It wipes and removes LVs of an earlier volume of this name that wait for their removal. LVs that
another tool is about to remove stay.

Source: ``alloc_image`` of the patch series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import VolumeName
from lvmqcow.operations.operation import Kind, Operation, Questions
from lvmqcow.operations.shared.new_volume import Creating, allocate_steps, commit_step, created, recover_new_volume
from lvmqcow.operations.shared.plan import Plan

__all__ = ["CREATE", "Create"]


@dataclass(frozen=True)
class Create:
    """Create a volume that reads as zeros. ``size_bytes`` is the size that a guest sees."""

    kind: ClassVar = Kind("create", created)

    volume: VolumeName
    size_bytes: int

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume,)

    @property
    def headers_of(self) -> None:
        return None

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises AlreadyExists, NoSpace, NotPossible or InvalidName (too long for this volume group)."""
        steps = (
            *allocate_steps(vg, self.volume, self.size_bytes, images.measure, ()),
            commit_step(self.volume),
        )
        return Plan("create", vg.name, self.volume, steps, created)


CREATE: Final = Operation(
    requests=(Create,),
    intents=(Creating,),
    recover=recover_new_volume,
    cuts=(("the intent `create` on the new LV", "undo: remove the LV"),),
)
