"""How logical volumes that are no longer part of a volume are wiped and removed.

LVs that carry the record of a wipe (`lvmqcow.core.wiping`) are removed in four steps. The operation wrote the record
together with its intent.

1. rename each LV to ``del-…``: its old name becomes free, and no operation on the volume reaches it any more
2. activate the LVs in one command, and refresh those that were active, so that each device has its full size; make a
   former template writable again
3. for each LV, segment by segment: overwrite or discard the segment, then record how many bytes are done
4. remove all LVs in one command

LVs without the record need only 4. After a cut, the name of an LV says that it is to be removed, and its record says
how much of it is still to be wiped. Recovery goes on from there and repeats at most one segment. A new volume may have
the old name by then. For its planners, the ``del-…`` LVs are only extents that are not free yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, assert_never

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume
from lvmqcow.core.names import pending_removal_name, pending_removal_origin
from lvmqcow.core.wiping import Wipe, Wiping, wipe_tags
from lvmqcow.steps import (
    LvActivate,
    LvDiscardRange,
    LvPermission,
    LvRefresh,
    LvRemove,
    LvRename,
    LvTag,
    LvZeroRange,
    Permission,
    Step,
)

__all__ = ["SEGMENT_BYTES", "removal_steps", "wipe_or_default", "with_wipe_record"]

SEGMENT_BYTES: Final = 16 * 1024**3
"""How much is wiped between two records. This takes about a minute."""


def wipe_or_default(vg: VolumeGroup, wipe: Wipe | None) -> Wipe:
    """Return how LVs are wiped before their removal: as the request says, or as the storage does by default."""
    return vg.wipe if wipe is None else wipe


def with_wipe_record(lv: LogicalVolume, wipe: Wipe | None) -> LogicalVolume:
    """Return the LV with the record of a wipe among its tags."""
    return replace(lv, tags=lv.tags | set(wipe_tags(wipe)))


def removal_steps(
    vg: VolumeGroup, lvs: Iterable[LogicalVolume], segment_bytes: int = SEGMENT_BYTES
) -> tuple[Step, ...]:
    """Return the steps that wipe ``lvs``, each as its own record says, and remove them all; empty if there are none.

    ``lvs`` are as they will be when the first of these steps runs: with their records, active or inactive. LVs that are
    called ``del-…`` already keep that name.
    """
    steps: list[Step] = []
    going: list[LogicalVolume] = []
    for lv in lvs:
        if isinstance(lv.wiping, Wiping) and pending_removal_origin(lv.name) is None:
            name = pending_removal_name(lv.name, vg.lv_names.union(other.name for other in going))
            steps.append(LvRename(lv.name, name))
            lv = replace(lv, name=name)
        going.append(lv)
    names = tuple(lv.name for lv in going)
    return (*steps, *_wiped(going, segment_bytes), *((LvRemove(names),) if names else ()))


def _wiped(lvs: Iterable[LogicalVolume], segment_bytes: int) -> tuple[Step, ...]:
    rest = [(lv, lv.wiping) for lv in lvs if isinstance(lv.wiping, Wiping) and lv.wiping.done_bytes < lv.size_bytes]
    idle = tuple(lv.name for lv, _ in rest if not lv.active)
    active = tuple(lv.name for lv, _ in rest if lv.active)
    return (
        *(LvPermission(lv.name, Permission.WRITE) for lv, _ in rest if not lv.writable),
        *((LvActivate(idle),) if idle else ()),
        *((LvRefresh(active),) if active else ()),
        *(step for lv, wiping in rest for step in _segments(lv, wiping, segment_bytes)),
    )


def _segments(lv: LogicalVolume, wiping: Wiping, segment_bytes: int) -> Iterable[Step]:
    clear = _clearing(wiping.wipe)
    while wiping.done_bytes < lv.size_bytes:
        length_bytes = min(segment_bytes, lv.size_bytes - wiping.done_bytes)
        done = Wiping(wiping.wipe, wiping.done_bytes + length_bytes)
        yield clear(lv.name, wiping.done_bytes, length_bytes)
        yield LvTag((lv.name,), add=(done.tag,), drop=(wiping.tag,))
        wiping = done


def _clearing(wipe: Wipe) -> type[LvZeroRange | LvDiscardRange]:
    match wipe:
        case Wipe.ZERO | Wipe.NONE:  # a record of no wipe is never written
            return LvZeroRange
        case Wipe.DISCARD:
            return LvDiscardRange
        case _:
            assert_never(wipe)
