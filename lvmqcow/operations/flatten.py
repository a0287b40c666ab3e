"""Flatten a clone: L, its lowest layer, takes what it reads through P, a layer of another volume, and needs it no more.

1. the intent ``flatten/P`` on L
2. extend L where it is too small
3. rebase L onto nothing
4. index L as a child of nothing, and drop the intent

A cut after 1 and before 4 leaves an L whose header may name nothing while the data is not there; P is whole, because
what a clone reads through does not change. Recovery links L back to P, which makes it whole, and goes on from 2. Of a
volume that is no clone the plan is empty.
"""

from __future__ import annotations

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.intents import Flattening
from lvmqcow.core.lv import parent_tags
from lvmqcow.core.volume import Layer
from lvmqcow.operations.requests import Flatten
from lvmqcow.operations.shared.common import (
    activated,
    deactivated,
    grown,
    indexed,
    require_changing,
    require_unread,
    sound_tree,
)
from lvmqcow.operations.shared.plan import Measure, Plan
from lvmqcow.steps import LvTag, QcowRebase, Step

__all__ = ["cut_loose", "plan_flatten"]


def plan_flatten(vg: VolumeGroup, request: Flatten, measure: Measure) -> Plan:
    """Raises VolumeNotFound, NotPossible (a template), SnapshotHasChildren (clones of it), NoSpace or Corrupt."""
    volume = vg.volume(request.volume)
    tree = sound_tree(volume)
    if not volume.bases:
        return Plan("flatten", vg.name, request.volume, ())
    require_changing(volume, "flattening")
    lowest = volume.chain[-1]
    require_unread(volume, lowest)
    intent = Flattening(volume.bases[0].lv.name)
    before: tuple[Step, ...] = (
        *indexed(tree),
        *activated(volume.reads(lowest)),
        LvTag((lowest.lv.name,), add=(intent.tag,)),
    )
    steps = (*before, *cut_loose(vg, lowest, intent, measure), *deactivated([lowest]))
    return Plan("flatten", vg.name, request.volume, steps)


def cut_loose(vg: VolumeGroup, lowest: Layer, intent: Flattening, measure: Measure) -> tuple[Step, ...]:
    """From the intent on; recovery runs the same."""
    assert lowest.virtual_size_bytes is not None  # sound_tree, or recovery's own check
    return (
        *grown(vg, lowest, measure(lowest.virtual_size_bytes, lowest.options)),
        QcowRebase(lowest.lv.name, None, intent.base),
        LvTag((lowest.lv.name,), drop=(intent.tag, *parent_tags(intent.base))),
    )
