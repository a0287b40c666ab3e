"""Make a linked clone: a new volume that reads through B, a template or a snapshot of another volume.

1. activate B and the layers below it, if they are inactive
2. create an LV with the intent ``create`` and index tags that name B as its parent
3. format the LV as an overlay of B
4. drop the intent: now the volume exists

A cut before 4 leaves an LV with the intent ``create``, which holds no data: recovery removes it. From 2 on B does not
change, because another volume reads through it (`lvmqcow.operations.shared.preconditions.require_unread`). So this
operation locks the names of both volumes. Later operations on the clone lock only the clone's name. B stays active,
because other clones may use it.

Source: ``clone_image`` of Proxmox VE's storage plugins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import index_tags
from lvmqcow.core.names import Format, VolumeName, check_fits
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.errors import AlreadyExists, FormatMismatch, NotPossible
from lvmqcow.operations.operation import NOTHING_CUT, Kind, Operation, Questions
from lvmqcow.operations.shared.allocation import Allocation
from lvmqcow.operations.shared.chain_steps import activate_steps, index_steps
from lvmqcow.operations.shared.new_volume import Creating, commit_step, created
from lvmqcow.operations.shared.plan import Plan
from lvmqcow.operations.shared.preconditions import (
    require_free_name,
    require_qcow2,
    require_unclaimed,
    verified_tree,
)
from lvmqcow.steps import LvCreate, QcowCreate, Step

__all__ = ["CLONE", "Clone"]


@dataclass(frozen=True)
class Clone:
    """A new volume that reads through a template, or through a snapshot of ``source``."""

    kind: ClassVar = Kind("clone", created)

    volume: VolumeName
    source: VolumeName
    snapshot: str | None = None

    @property
    def names(self) -> tuple[VolumeName, ...]:
        return (self.volume, self.source)

    @property
    def headers_of(self) -> VolumeName:
        return self.source

    def plan(self, vg: VolumeGroup, images: Questions) -> Plan:
        """Raises VolumeNotFound, SnapshotNotFound, NotPossible (the source is raw, or changes), Corrupt,
        FormatMismatch, InvalidName (too long), AlreadyExists or NoSpace.
        """
        name = self.volume
        source = vg.volume(self.source)
        require_qcow2(source, "clones")
        if name.format is not Format.QCOW2:
            raise FormatMismatch(name.text, name.format, Format.QCOW2)
        check_fits(vg.name, name)
        if vg.find(name) is not None:  # also if only its leftovers exist: they would become part of the clone
            raise AlreadyExists("volume", name.text)
        require_free_name(vg, "volume", name.text, name.text)
        require_unclaimed(vg, name)
        tree = verified_tree(source)
        base = _base(source, self.snapshot)
        size_bytes = base.virtual_size_bytes
        assert size_bytes is not None  # verified_tree
        lv_size_bytes = Allocation(vg, images.measure).new_lv_bytes(Format.QCOW2, size_bytes)
        tags = (*name.tags, *index_tags(size_bytes, base.lv.name), Creating().tag)
        steps: tuple[Step, ...] = (
            *index_steps(tree),
            *activate_steps(source.reads(base)),
            LvCreate(name.text, lv_size_bytes, tags),
            QcowCreate(name.text, size_bytes, base.lv.name),
            commit_step(name),
        )
        return Plan("clone", vg.name, name, steps, created)


CLONE: Final = Operation(
    requests=(Clone,),
    intents=(),
    recover=NOTHING_CUT,
    cuts=(("the intent `create` on the new LV", "undo: remove the LV"),),
)


def _base(source: Volume, snapshot: str | None) -> Layer:
    """Return the layer that the clone will read through: a snapshot or a template, which never changes."""
    if snapshot is not None:
        return source.snapshot(snapshot)
    if not source.current.lv.template:
        reason = "the volume is no template, and a clone can only read through a template or a snapshot"
        advice = f"clone a snapshot, {source.target}@SNAPSHOT, or run `lvmqcow template {source.target}` first"
        raise NotPossible(source.target, reason, advice)
    return source.current
