"""Make a linked clone: a new volume that reads through B, a template or a snapshot of another volume.

1. activate B, and what it reads through, where they are not active
2. an LV with the intent ``create``, indexed as a child of B
3. format it over B
4. drop the intent: now the volume exists

A cut before 4 leaves an LV that says it holds nothing yet: recovery removes it. From 2 on B does not change, for it is
read through by another volume (`lvmqcow.operations.shared.common.require_unread`): so the names of both are locked for this, and
an operation on the clone later needs only the clone's. B stays active: other clones may be about to use it.
"""

from __future__ import annotations

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.intents import Creating
from lvmqcow.core.lv import index_tags
from lvmqcow.core.names import Format, check_fits
from lvmqcow.core.sizing import whole_extents
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.errors import AlreadyExists, FormatMismatch, NotPossible
from lvmqcow.operations.requests import Clone
from lvmqcow.operations.shared.common import (
    activated,
    indexed,
    require_free_name,
    require_new_lv,
    require_qcow2,
    require_unclaimed,
    sound_tree,
)
from lvmqcow.operations.shared.plan import Measure, Plan
from lvmqcow.steps import LvCreate, LvTag, QcowCreate, Step

__all__ = ["plan_clone"]


def plan_clone(vg: VolumeGroup, request: Clone, measure: Measure) -> Plan:
    """Raises VolumeNotFound, SnapshotNotFound, NotPossible (the source is raw, or changes), Corrupt, FormatMismatch,
    InvalidName (too long), AlreadyExists or NoSpace.
    """
    name = request.volume
    source = vg.volume(request.source)
    require_qcow2(source, "clones")
    if name.format is not Format.QCOW2:
        raise FormatMismatch(name.text, name.format, Format.QCOW2)
    check_fits(vg.name, name)
    if vg.find(name) is not None:  # be it only its leftovers: they would become ours
        raise AlreadyExists("volume", name.text)
    require_free_name(vg, "volume", name.text, name.text)
    require_unclaimed(vg, name)
    tree = sound_tree(source)
    base = _base(source, request.snapshot)
    size_bytes = base.virtual_size_bytes
    assert size_bytes is not None  # sound_tree
    lv_size_bytes = whole_extents(measure(size_bytes), vg.extent_size_bytes)
    require_new_lv(vg, lv_size_bytes)
    intent = Creating().tag
    steps: tuple[Step, ...] = (
        *indexed(tree),
        *activated(source.reads(base)),
        LvCreate(name.text, lv_size_bytes, (*name.tags, *index_tags(size_bytes, base.lv.name), intent)),
        QcowCreate(name.text, size_bytes, base.lv.name),
        LvTag((name.text,), drop=(intent,)),
    )
    return Plan("clone", vg.name, name, steps)


def _base(source: Volume, snapshot: str | None) -> Layer:
    """What the clone is to read through: something that does not change."""
    if snapshot is not None:
        return source.snapshot(snapshot)
    if not source.current.lv.template:
        reason = "it is no template, and what a clone reads through may not change"
        advice = f"clone one of its snapshots, {source.target}@SNAPSHOT, or `lvmqcow template {source.target}` first"
        raise NotPossible(source.target, reason, advice)
    return source.current
