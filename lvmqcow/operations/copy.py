"""Copy the content of a volume or of a snapshot into a new volume N of either format.

1. activate the layers that are read
2. make N (`lvmqcow.operations.shared.new_volume`) and copy what a guest reads from the source; holes stay holes
3. drop N's intent: now N exists
4. deactivate the layers that step 1 activated, and N if the source layer was inactive

A cut before 3 leaves an N with the intent ``create``: recovery removes it. The source is only read. A program that has
the current layer open could write to it during the copy, so that is refused. A snapshot never changes and can be copied
while a guest runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import VolumeName
from lvmqcow.operations.operation import NOTHING_CUT, Kind, Operation, Questions
from lvmqcow.operations.shared.chain_steps import activate_steps, deactivate_steps
from lvmqcow.operations.shared.new_volume import allocate_steps, commit_step, created
from lvmqcow.operations.shared.plan import Plan
from lvmqcow.operations.shared.preconditions import verified_below
from lvmqcow.steps import ImageCopy, LvDeactivate, Step

__all__ = ["COPY", "Copy"]


@dataclass(frozen=True)
class Copy:
    """Make the volume ``new`` with the content of ``volume`` or of its ``snapshot``. Its name says the format."""

    kind: ClassVar = Kind("copy", created)

    volume: VolumeName
    snapshot: str | None
    new: VolumeName

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume, self.new)

    @property
    def headers_of(self) -> VolumeName:
        return self.volume

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises VolumeNotFound, SnapshotNotFound, AlreadyExists, NoSpace, InvalidName (too long) or Corrupt."""
        volume, new = vg.volume(self.volume), self.new
        layer = volume.snapshot(self.snapshot) if self.snapshot else volume.current
        below = verified_below(volume, layer)
        assert layer.virtual_size_bytes is not None  # verified_below
        fill = ImageCopy(layer.lv.name, volume.name.format, new.text, new.format)
        done: tuple[Step, ...] = (
            *activate_steps((*below, *volume.bases)),
            *allocate_steps(vg, new, layer.virtual_size_bytes, images.measure, (fill,)),
            commit_step(new),
        )
        steps = (*done, *deactivate_steps(below), *(() if layer.lv.active else (LvDeactivate((new.text,)),)))
        source = frozenset({layer.lv.name} if layer.snapshot is None else ())
        return Plan("copy", vg.name, new, steps, created, must_not_change=source)


COPY: Final = Operation(
    requests=(Copy,),
    intents=(),
    recover=NOTHING_CUT,
    cuts=(("the intent `create` on the new LV", "undo: remove the LV"),),
)
