"""Recovery is a planner too: from what a cut left to the plan that finishes or undoes it.

It reads nothing but the picture: names, and the intents in LVM's own tags. So it does the same on another host, does
nothing on a healthy volume, and may itself be cut anywhere and run again. What a cut of an operation leaves, and how
recovery goes on, stands in the operation's own module. Here is what is common to all of them:

1. An lvm that was killed may leave a device, or a name in ``/dev``, that is not what its metadata says. What is read
   there cannot be trusted, so that is put right first, and all is looked at again
   (`lvmqcow.operations.shared.devices`).
2. At most one operation was cut: it is finished or undone, as its module says.
3. Every LV that waits for its removal, under a ``del-`` name and with our tags, is wiped where its record says so, and
   removed. An operation may have been cut while one before it was still wiping, so this comes with every other.

Every other state raises `Corrupt`, and nothing is changed: two operations at once, an intent where its operation would
not have put it, and above all an LV that is to be removed while something still reads through it, or while what
replaced it is not there. Such an LV could be the only copy.
"""

from __future__ import annotations

from collections.abc import Iterable

from lvmqcow.core.fitness import require_changeable
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume
from lvmqcow.core.names import VolumeName, pending_removal_origin
from lvmqcow.core.qcow2 import Measure
from lvmqcow.core.volume import Volume
from lvmqcow.core.wiping import Wiping
from lvmqcow.errors import Corrupt
from lvmqcow.operations import OPERATIONS, intents_of
from lvmqcow.operations.operation import OnLv, Recovery
from lvmqcow.operations.shared.devices import restore_devices
from lvmqcow.operations.shared.interrupted import parent_in_header
from lvmqcow.operations.shared.plan import HAPPENED, Plan
from lvmqcow.operations.shared.removal import removal_steps
from lvmqcow.steps import LvRemove, LvRename, Step

__all__ = ["plan_recovery", "unfinished"]


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
        return Plan("restore devices", vg.name, name, restore_devices(vg, name), HAPPENED)
    other = volume.rename_target or volume.convert_target
    devices = restore_devices(vg, volume.name, *((other,) if other else ()))
    if devices:
        return Plan("restore devices", vg.name, volume.name, devices, HAPPENED, other_name=other)
    recovery = _recovery(vg, volume, measure)
    waiting = volume.own_pending_removals if recovery.whole_volume else _removable(volume)
    steps = (*recovery.steps, *removal_steps(vg, (*recovery.removed, *waiting)))
    _require_unread(vg, volume, steps)
    return Plan(recovery.operation, vg.name, volume.name, steps, HAPPENED, other_name=other)


def unfinished(volume: Volume) -> bool:
    """Whether an operation on it was cut, or runs, that makes the volume unsafe to open.

    What waits for its removal does not count. Neither does a merge that waits for space: each image names what it
    still reads through.
    """
    cut = volume.new is not None or any(
        intent is None or not intent.safe_to_open(volume, lv) for lv in volume.members for _, intent in intents_of(lv)
    )
    return cut or bool(volume.devices_to_restore)


def _recovery(vg: VolumeGroup, volume: Volume, measure: Measure) -> Recovery:
    """The recovery of the one operation that was cut; of none, one without steps."""
    _require_known(volume)
    # not that of a ``del-`` LV: it came to that name once all but its removal was done, and may be of an older volume
    begun = {tag for lv in volume.members for tag in lv.intent_tags}
    begun |= {f"a snapshot ({volume.new.name})"} if volume.new else set()
    if len(begun) > 1:
        raise Corrupt(volume.target, [f"more than one operation was cut: {', '.join(sorted(begun))}"])
    for operation in OPERATIONS:
        recovery = operation.recover(vg, volume, measure)
        if recovery is not None:
            return recovery
    unexplained = [f"{lv.name} carries {tag}" for lv in volume.members for tag in lv.intent_tags]
    if unexplained:
        raise Corrupt(
            volume.target, [f"{text}, and this version of lvmqcow has no recovery for it" for text in unexplained]
        )
    return Recovery("finish removal", ())


def _require_known(volume: Volume) -> None:
    """Raises Corrupt for a record that this version cannot read, or would not have written there."""
    strange = [
        f"{lv.name} carries {tag}, which this version of lvmqcow does not write on it"
        for lv in volume.logical_volumes
        for tag, intent in intents_of(lv)
        if intent is None or not intent.belongs(volume, lv)
    ]
    strange += [
        f"{lv.name} carries {lv.wiping.tag}, which this version of lvmqcow does not write on it"
        for lv in volume.logical_volumes
        if lv.wiping is not None and not isinstance(lv.wiping, Wiping)
    ]
    if strange:
        raise Corrupt(volume.target, strange)


def _require_unread(vg: VolumeGroup, volume: Volume, steps: Iterable[Step]) -> None:
    """What another volume reads through does not go, unless something else has its name in the end."""
    left, removed = set(vg.lv_names), set[str]()
    for step in steps:
        if isinstance(step, LvRename):
            left = left - {step.lv} | {step.to}
        elif isinstance(step, LvRemove):
            left = left.difference(step.lvs)
            removed.update(pending_removal_origin(lv) or lv for lv in step.lvs)
    lost = vg.lv_names.union(removed) - left
    readers = [layer for other in vg.volumes if other.name != volume.name for layer in other.layers]
    wrong = [f"{layer.lv.name} reads through {layer.parent}" for layer in readers if layer.parent in lost]
    if wrong:
        raise Corrupt(volume.target, [f"{text}, which would go" for text in wrong])


def _removable(volume: Volume) -> tuple[LogicalVolume, ...]:
    """What waits for its removal and is ours; what another tool is about to wipe is left to it.

    Only once something has its name again, or is about to get it, and so was made of it; or where it says itself that
    it was given up and nothing reads through it but what goes as well.
    """
    found = [intent for lv in volume.members for intent in _intents(lv)]
    replaced = {intent.replaces for intent in found}
    staying = [
        layer for layer in volume.layers if not any(intent.removes_its_snapshot for intent in _intents(layer.lv))
    ]
    orphans = []
    for lv in volume.own_pending_removals:
        origin = pending_removal_origin(lv.name) or ""
        if origin not in replaced and volume.layer(origin) is None:
            read = any(origin in (layer.parent, parent_in_header(volume, layer)) for layer in staying)
            if read or not _content_unneeded(lv):
                orphans.append(lv.name)
    if orphans:
        raise Corrupt(volume.target, [f"{name} waits for removal, and nothing took its place" for name in orphans])
    return volume.own_pending_removals


def _intents(lv: LogicalVolume) -> list[OnLv]:
    return [intent for _, intent in intents_of(lv) if intent is not None]


def _content_unneeded(lv: LogicalVolume) -> bool:
    begun = isinstance(lv.wiping, Wiping) and lv.wiping.done_bytes > 0
    return begun or any(intent.content_unneeded for intent in _intents(lv))
