"""Recovery is a planner too: from what a cut left to the plan that finishes or undoes it.

All it reads is the picture: names, and the intents in LVM's own tags. So it does the same on another host, does
nothing on a healthy volume, and may itself be cut anywhere and run again:

==================  ============================================  =================================================
operation           what the picture shows                        recovery
==================  ============================================  =================================================
create, import      the intent ``create``                         undo: remove it
snapshot            ``new-V`` and V                               undo: remove ``new-V``
snapshot            ``new-V`` and no V                            finish: rename it to V
rollback            ``rollback/S`` on V, V too small for S        undo: nothing has happened; drop the intent
rollback            ``rollback/S`` on V, V large enough           finish: format V again
rollback, discard   ``discard/S`` on V                            as ``rollback``, then remove what V read above S
delete, discard     ``discard/S`` on snapshots only               finish: remove them
delete, pull        ``pull/C`` on S, C indexed as S's child       finish: link C back to S, which makes it whole; pull
delete, pull        ``pull/C`` on S, C indexed otherwise          finish: remove S
delete, push        ``push/S/C`` on S, C there                    finish: free what is leaked in S, commit again
delete, push        ``push/S/C`` on S, C doomed                   finish: rename S to C
delete, push        ``push/S/C`` on C                             finish: drop the intent, remove ``del-C``
template            V a template that can be written to           finish: make it read-only
clone               the intent ``create``                         undo: remove it
flatten             ``flatten/P`` on L                            finish: link L back to P, which makes it whole; rebase
resize              ``resize/OLD/NEW`` on V, V too small for it   undo: nothing has happened; drop the intent
resize              ``resize/OLD/NEW`` on V, V large enough       finish: grow the image (raw: zero what is new) again
rename              ``rename/O/N`` on some layers with O's tags   undo: nothing was renamed yet; drop the intents
rename              ``rename/O/N`` on every layer with O's tags   finish: rename, rewrite and tag what has the intent
convert             ``convert/N`` on O                            undo: remove N, which has ``create``; drop the intent
convert             ``convert/N`` on ``del-O``                    finish: drop N's ``create``, remove ``del-O``
remove              ``remove`` on all that are not ``del-``       finish: let them go
remove              ``remove`` on some of them                    undo: nothing was removed yet; drop the intents
any                 a ``del-`` LV with our tags                   finish: wipe what is left to wipe, remove it
any                 a device or a name in ``/dev`` that is        put it right, then look again
                    not what LVM says, of an LV that it has,
                    had, or reads through
==================  ============================================  =================================================

The ``del-`` row comes with every other: an operation may have been cut while one before it was still wiping. To let an
LV go is to wipe it first, where it has the record that says so.

An lvm that is killed may leave a device, or a name in ``/dev``, that is not what its metadata says. What is read there
cannot be trusted, so all else is looked at only afterwards (`lvmqcow.operations.shared.devices`).

What is none of this is left as it is, by name (`Corrupt`): two operations at once, an intent where its operation would
not have put it, and above all whatever is to be removed while something still reads through it, or while what it was
replaced by is not there. Such an LV could be the only copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Never

from lvmqcow.core.fitness import require_changeable
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.intents import (
    INTENT_PREFIX,
    Converting,
    Creating,
    Discarding,
    Flattening,
    Intent,
    Pulling,
    Pushing,
    Removing,
    Renaming,
    Resizing,
    RollingBack,
    Unknown,
)
from lvmqcow.core.lv import LogicalVolume
from lvmqcow.core.names import Format, VolumeName, as_volume_name, doomed_origin, renamed_lv_name
from lvmqcow.core.volume import Layer, Volume
from lvmqcow.core.wiping import WIPE_PREFIX, Wiping
from lvmqcow.errors import Corrupt
from lvmqcow.operations.create import existing
from lvmqcow.operations.delete import drop_pushed, pull, push, push_renames
from lvmqcow.operations.flatten import cut_loose
from lvmqcow.operations.rename import go_on
from lvmqcow.operations.resize import finish_resize, lv_bytes
from lvmqcow.operations.rollback import blockers, format_again
from lvmqcow.operations.rollback import lv_bytes as rolled_back_bytes
from lvmqcow.operations.shared.common import activated, deactivated, refreshed
from lvmqcow.operations.shared.devices import restore_devices
from lvmqcow.operations.shared.plan import Measure, Plan
from lvmqcow.operations.shared.removal import gone
from lvmqcow.operations.template import frozen
from lvmqcow.steps import LvRemove, LvRename, LvTag, QcowRelink, QcowRepairLeaks, Step

__all__ = ["plan_recovery"]


def plan_recovery(vg: VolumeGroup, name: VolumeName, measure: Measure) -> Plan:
    """What brings a volume back. On a healthy volume, or where there is none, the plan has no steps.

    Raises:
        Corrupt: the picture is none that a cut can leave; nothing is to be touched.
        NoSpace: an unfinished merge needs room.
        Unchangeable: the volume group as a whole takes no changes.
    """
    require_changeable(vg)
    volume = vg.find(name)
    if volume is None:
        return Plan("restore devices", vg.name, name, restore_devices(vg, name))
    beside = volume.becoming or volume.converting
    devices = restore_devices(vg, volume.name, *((beside,) if beside else ()))
    if devices:
        return Plan("restore devices", vg.name, volume.name, devices, beside=beside)
    operation, steps = _recover(vg, volume, measure)
    _require_unread(vg, volume, steps)
    return Plan(operation, vg.name, volume.name, steps, beside=beside)


def _recover(vg: VolumeGroup, volume: Volume, measure: Measure) -> tuple[str, tuple[Step, ...]]:
    strange = [
        f"{lv.name} carries {each.tag}, which this version of lvmqcow does not write on it"
        for lv in volume.logical_volumes
        for each in (*lv.intents, *((lv.wiping,) if lv.wiping else ()))
        if not (isinstance(each, Wiping) or _belongs(volume, lv, each))
    ]
    if strange:
        raise Corrupt(volume.target, strange)
    # not that of a ``del-`` LV: it came to that name once all but its removal was done, and may be of an older volume
    begun = {intent.tag for lv in volume.kept for intent in lv.intents}
    begun |= {f"a snapshot ({volume.new.name})"} if volume.new else set()
    if len(begun) > 1:
        raise Corrupt(volume.target, [f"more than one operation was cut: {', '.join(sorted(begun))}"])
    given_up = [lv for lv in volume.kept if isinstance(lv.intent, Removing)]
    if given_up and len(given_up) == len(volume.kept):
        return "finish remove", gone(vg, (*volume.kept, *volume.leaving))
    operation, steps = _undo_remove(given_up) if given_up else _unfinished(vg, volume, measure)
    return operation, (*steps, *gone(vg, _leaving(volume)))


def _belongs(volume: Volume, lv: LogicalVolume, intent: Intent) -> bool:
    """Whether an operation of this version can have left that intent on that LV.

    A ``del-`` LV may carry any that its removal does not depend on: see `_leaving`.
    """
    layer, doomed = volume.layer(lv.name), doomed_origin(lv.name) is not None
    changing = layer is not None and not any(each.lv.template for each in volume.layers)
    current = changing and lv.name == volume.name.text
    snapshot = changing and not current
    unread = layer is not None and not volume.children(layer) and not volume.clones_of(layer)
    match intent:
        case Creating() | Removing():
            return layer is not None or doomed
        case Flattening():
            return changing or doomed
        case RollingBack() | Resizing():
            return (current and unread) or doomed
        case Discarding():
            return (current and unread) or snapshot or doomed
        case Pulling():
            return (snapshot and intent.child != lv.name) or doomed
        case Pushing():
            merged = lv.name == intent.child and volume.layer(intent.snapshot) is None
            return (snapshot and lv.name == intent.snapshot != intent.child) or (layer is not None and merged) or doomed
        case Renaming():
            new = volume.becoming
            return layer is not None and new is not None and intent == Renaming(volume.name.text, new.text)
        case Converting():
            new = as_volume_name(intent.new)
            return (current or doomed) and new not in (None, volume.name)
        case Unknown():
            return False
        case _:
            return _no_recovery(volume, lv, intent)


def _no_recovery(volume: Volume, lv: LogicalVolume, intent: Never) -> Never:
    """As `typing.assert_never` for a type checker; at run time it refuses the volume.

    Raises:
        Corrupt: always.
    """
    tags = ", ".join(sorted(tag for tag in lv.tags if tag.startswith(INTENT_PREFIX)))
    raise Corrupt(volume.target, [f"{lv.name} carries {tags}, and this version of lvmqcow has no recovery for it"])


def _require_unread(vg: VolumeGroup, volume: Volume, steps: Iterable[Step]) -> None:
    """What another volume reads through does not go, unless something else has its name in the end."""
    left, doomed = set(vg.lv_names), set[str]()
    for step in steps:
        if isinstance(step, LvRename):
            left = left - {step.lv} | {step.to}
        elif isinstance(step, LvRemove):
            left = left.difference(step.lvs)
            doomed.update(doomed_origin(lv) or lv for lv in step.lvs)
    lost = vg.lv_names.union(doomed) - left
    readers = [layer for other in vg.volumes if other.name != volume.name for layer in other.layers]
    wrong = [f"{layer.lv.name} reads through {layer.parent}" for layer in readers if layer.parent in lost]
    if wrong:
        raise Corrupt(volume.target, [f"{text}, which would go" for text in wrong])


def _unfinished(vg: VolumeGroup, volume: Volume, measure: Measure) -> tuple[str, tuple[Step, ...]]:
    if volume.becoming is not None:
        return _rename(volume, volume.becoming)
    if volume.converting is not None:
        return _conversion(vg, volume, volume.converting)
    if volume.new is not None:
        return _snapshot(volume, volume.new)
    for layer in volume.layers:
        intent = layer.lv.intent
        match intent:
            case None:
                continue
            case Creating():
                return _create(volume, layer)
            case RollingBack():
                return _rollback(vg, volume, layer, intent, measure)
            case Discarding():
                return _discard(vg, volume, intent, measure)
            case Resizing():
                return _resize(volume, layer, intent, measure)
            case Flattening():
                return _flatten(vg, volume, layer, intent, measure)
            case Pulling():
                return _pull(vg, volume, layer, intent, measure)
            case Pushing():
                return _push(vg, volume, layer, intent, measure)
            case Removing() | Renaming() | Converting() | Unknown():  # each was looked at, or refused, before
                raise Corrupt(volume.target, [f"{layer.lv.name} carries {intent.tag}, which nothing explains"])
            case _:
                _no_recovery(volume, layer.lv, intent)
    writable = frozen([layer for layer in volume.layers if layer.lv.template])
    return ("finish template", writable) if writable else ("finish removal", ())


def _create(volume: Volume, layer: Layer) -> tuple[str, tuple[Step, ...]]:
    own_parent = layer.parent is not None and not volume.is_base(layer.parent)
    if len(volume.layers) > 1 or volume.clones or own_parent or layer.lv.name != volume.name.text:
        raise Corrupt(volume.target, [f"{layer.lv.name} is said to be new and empty, and is part of a chain"])
    return "undo create", (LvRemove((layer.lv.name,)),)


def _undo_remove(given_up: list[LogicalVolume]) -> tuple[str, tuple[Step, ...]]:
    return "undo remove", (LvTag(tuple(lv.name for lv in given_up), drop=(Removing().tag, *_records(given_up))),)


def _records(lvs: Iterable[LogicalVolume]) -> tuple[str, ...]:
    """The records of a wipe that these carry."""
    return tuple(sorted({tag for lv in lvs for tag in lv.tags if tag.startswith(WIPE_PREFIX)}))


def _rename(volume: Volume, new: VolumeName) -> tuple[str, tuple[Step, ...]]:
    without = [layer.lv for layer in volume.layers if not isinstance(layer.lv.intent, Renaming)]
    if len(without) == len(volume.layers):
        raise Corrupt(volume.target, [f"an LV of another volume says that it is being renamed to {new}"])
    if not any(volume.name.volume_tag in lv.tags for lv in without):
        return "finish rename", go_on(volume, new)
    names = tuple(layer.lv.name for layer in volume.layers if layer.lv not in without)
    renamed = [
        layer.lv.name for layer in volume.layers if renamed_lv_name(layer.lv.name, new, volume.name) != layer.lv.name
    ]
    if renamed:
        raise Corrupt(volume.target, [f"a rename to {new} was begun on {name}, and not on all" for name in renamed])
    return "undo rename", (LvTag(names, drop=(Renaming(volume.name.text, new.text).tag,)),)


def _conversion(vg: VolumeGroup, volume: Volume, new: VolumeName) -> tuple[str, tuple[Step, ...]]:
    intent = Converting(new.text)
    made = next((each for each in vg.volumes if each.name == new), None)
    layer = made.layer(new.text) if made else None
    half = layer if layer and isinstance(layer.lv.intent, Creating) else None
    current = volume.layer(volume.name.text)
    if current is not None and current.lv.intent == intent:
        undone = _create(made, half)[1] if made and half else ()
        return "undo convert", (*undone, LvTag((volume.name.text,), drop=(intent.tag, *_records([current.lv]))))
    if layer is None:
        old = ", ".join(lv.name for lv in volume.doomed if lv.intent == intent)
        raise Corrupt(volume.target, [f"it was converted to {new}, which is not there: all that is left is {old}"])
    return "finish convert", (existing(new),) if half else ()


def _snapshot(volume: Volume, new: LogicalVolume) -> tuple[str, tuple[Step, ...]]:
    parent = new.recorded_parent
    if volume.layer(volume.name.text) is not None:
        if parent is None or volume.layer(parent) is not None:
            raise Corrupt(volume.target, [f"{new.name} is not what a cut snapshot leaves beside {volume.name}"])
        return "undo snapshot", (LvRemove((new.name,)),)
    if parent is None or volume.layer(parent) is None:
        raise Corrupt(volume.target, [f"{new.name} is to be the current LV, but its parent {parent} is not there"])
    return "finish snapshot", (LvRename(new.name, volume.name.text),)


def _discard(vg: VolumeGroup, volume: Volume, intent: Discarding, measure: Measure) -> tuple[str, tuple[Step, ...]]:
    current = volume.layer(volume.name.text)
    if current is not None and current.lv.intent == intent:
        return _rollback(vg, volume, current, intent, measure)
    given_up = [layer for layer in volume.layers if layer.lv.intent == intent]
    left = [layer for layer in volume.layers if layer not in given_up]
    needed = {name for layer in left for name in (layer.parent, _named(volume, layer))}
    going = {layer.lv.name for layer in given_up}
    for layer in given_up:
        if layer.lv.name in needed or volume.clones_of(layer):
            raise Corrupt(volume.target, [f"{layer.lv.name} may not be removed: others read through it"])
        parent = layer.parent or ""
        if parent not in (intent.backing, *going) and volume.layer(parent) is not None:
            raise Corrupt(volume.target, [f"{layer.lv.name} carries {intent.tag}, and reads through {parent}"])
    return "finish removal", gone(vg, [layer.lv for layer in given_up])


def _rollback(
    vg: VolumeGroup, volume: Volume, current: Layer, intent: RollingBack | Discarding, measure: Measure
) -> tuple[str, tuple[Step, ...]]:
    target = volume.layer(intent.backing)
    if target is None or target.snapshot is None or target.virtual_size_bytes is None:
        raise Corrupt(volume.target, [f"a rollback to {intent.backing} was cut, and there is no such snapshot"])
    wanted_bytes = rolled_back_bytes(current, target, measure)
    if current.lv.size_bytes < wanted_bytes:
        return "undo rollback", (LvTag((current.lv.name,), drop=(intent.tag, *_records([current.lv]))),)
    left = blockers(volume, target) if isinstance(intent, Discarding) else ()
    if left and target not in volume.below(current):
        reason = f"{current.lv.name} carries {intent.tag}, and does not read through {target.lv.name}"
        raise Corrupt(volume.target, [reason])
    for layer in left:
        _require_unread_by_others(volume, layer, (current, *left))
    again: tuple[Step, ...] = (
        *activated([current]),
        *(refreshed([current]) if wanted_bytes else ()),
        *format_again(vg, current, target, intent, left),
    )
    return "finish rollback", (*again, *deactivated([current]))


def _resize(volume: Volume, current: Layer, intent: Resizing, measure: Measure) -> tuple[str, tuple[Step, ...]]:
    if current.lv.size_bytes < lv_bytes(volume, current, intent, measure):
        return "undo resize", (LvTag((current.lv.name,), drop=(intent.tag,)),)
    if intent.new_bytes == intent.old_bytes:
        return "finish resize", (*refreshed([current]), *finish_resize(volume, current, intent))
    read = volume.reads(current)
    # a resize that was killed may have allocated a table for more clusters, and not linked it
    repair = (QcowRepairLeaks(current.lv.name),) if volume.name.format is Format.QCOW2 else ()
    again = (*repair, *finish_resize(volume, current, intent))
    return "finish resize", (
        *(*activated(read), *refreshed([current]), *again),
        *deactivated(volume.below(current)),
    )


def _flatten(
    vg: VolumeGroup, volume: Volume, lowest: Layer, intent: Flattening, measure: Measure
) -> tuple[str, tuple[Step, ...]]:
    if lowest.parent != intent.base or not volume.is_base(intent.base) or lowest.virtual_size_bytes is None:
        raise Corrupt(volume.target, [f"{lowest.lv.name} was being cut loose from {intent.base}, which is not there"])
    again: tuple[Step, ...] = (
        *refreshed([lowest]),
        QcowRelink(lowest.lv.name, intent.base),
        QcowRepairLeaks(lowest.lv.name),
        *cut_loose(vg, lowest, intent, measure),
    )
    return "finish flatten", (*activated(volume.reads(lowest)), *again, *deactivated([lowest]))


def _pull(
    vg: VolumeGroup, volume: Volume, snapshot: Layer, intent: Pulling, measure: Measure
) -> tuple[str, tuple[Step, ...]]:
    child = volume.layer(intent.child)
    if child is None:
        raise Corrupt(volume.target, [f"{snapshot.lv.name} was being pulled into {intent.child}, which is not there"])
    if child.parent != snapshot.lv.name:
        named = _named(volume, child)
        if volume.children(snapshot) or not (child.parent == named == snapshot.parent):
            reads = f"{child.lv.name} reads through {named}, and its tags say {child.parent}"
            raise Corrupt(volume.target, [f"{snapshot.lv.name} may not be removed yet: {reads}"])
        return "finish delete-snapshot", gone(vg, [snapshot.lv])
    _require_unread_by_others(volume, snapshot, (child,))
    below = volume.below(child)
    again: tuple[Step, ...] = (
        *refreshed([child]),
        QcowRelink(child.lv.name, snapshot.lv.name),
        QcowRepairLeaks(child.lv.name),
    )
    rest = deactivated(layer for layer in below if layer is not snapshot)
    return "finish delete-snapshot", (
        *activated(volume.reads(child)),
        *again,
        *pull(vg, snapshot, child, measure),
        *rest,
    )


def _push(
    vg: VolumeGroup, volume: Volume, snapshot: Layer, intent: Pushing, measure: Measure
) -> tuple[str, tuple[Step, ...]]:
    operation = "finish delete-snapshot"
    child = volume.layer(intent.child)
    if snapshot.lv.name == intent.snapshot and child is not None:
        if child.parent != snapshot.lv.name or _named(volume, child) != snapshot.lv.name:
            raise Corrupt(volume.target, [f"{child.lv.name} was being pushed into {intent.snapshot}, not its parent"])
        _require_unread_by_others(volume, snapshot, (child,))
        below = volume.below(child)
        rest = deactivated(layer for layer in below if layer is not snapshot)
        # a commit that was killed may have allocated clusters, and not linked them
        again = (*refreshed([snapshot]), QcowRepairLeaks(snapshot.lv.name), *push(vg, snapshot, child, measure))
        return operation, (*activated(volume.reads(child)), *again, *rest)
    merged = next((lv for lv in volume.leaving if doomed_origin(lv.name) == intent.child), None)
    if merged is None or merged.recorded_size_bytes is None:
        raise Corrupt(volume.target, [f"{intent.child} was being pushed into {snapshot.lv.name}, and is not there"])
    if snapshot.lv.name == intent.snapshot:
        return operation, push_renames(snapshot, intent, merged.recorded_size_bytes)
    return operation, (drop_pushed(snapshot, intent, merged.recorded_size_bytes),)


def _require_unread_by_others(volume: Volume, snapshot: Layer, readers: tuple[Layer, ...]) -> None:
    """Raises Corrupt: a layer of the volume that is none of ``readers`` reads through the snapshot."""
    others = [layer for layer in volume.layers if layer not in readers]
    wrong = [layer.lv.name for layer in others if snapshot.lv.name in (layer.parent, _named(volume, layer))]
    if wrong:
        raise Corrupt(volume.target, [f"{name} reads through {snapshot.lv.name}, which would go" for name in wrong])


def _named(volume: Volume, layer: Layer) -> str | None:
    """The parent that a layer's header names; where it was not read, its tags."""
    return layer.lv.header.parent_lv(volume.vg) if layer.lv.header else layer.parent


def _leaving(volume: Volume) -> tuple[LogicalVolume, ...]:
    """What waits for its removal and is ours; what another tool is about to wipe is left to it.

    Only once something has its name again, or is about to get it, and so was made of it; or where it says itself that
    it was given up and nothing reads through it but what goes as well.
    """
    replaced = {lv.intent.child for lv in volume.kept if isinstance(lv.intent, Pushing)}
    staying = [layer for layer in volume.layers if not isinstance(layer.lv.intent, Discarding)]
    orphans = []
    for lv in volume.leaving:
        origin = doomed_origin(lv.name) or ""
        if origin not in replaced and volume.layer(origin) is None:
            read = any(origin in (layer.parent, _named(volume, layer)) for layer in staying)
            if read or not _given_up(lv):
                orphans.append(lv.name)
    if orphans:
        raise Corrupt(volume.target, [f"{name} waits for removal, and nothing took its place" for name in orphans])
    return volume.leaving


def _given_up(lv: LogicalVolume) -> bool:
    begun = isinstance(lv.wiping, Wiping) and lv.wiping.done_bytes > 0
    return begun or isinstance(lv.intent, Removing | Pulling | Converting | Discarding)
