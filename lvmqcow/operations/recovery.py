"""The recovery planner. From the picture after a cut it makes the plan that finishes or undoes the operation.

Recovery reads only the picture: names, and intents in LVM's tags. So it works the same on another host, does nothing on
a healthy volume, and may itself be cut anywhere and run again. The module of each operation says what a cut leaves and
how recovery goes on. This module has the part that is common to all:

1. A killed lvm may leave a device or a name in ``/dev`` that differs from LVM's metadata. Data read through such a
   device cannot be trusted. So the first plan repairs the devices, and the next one starts from a new picture
   (`lvmqcow.operations.shared.devices`).
2. At most one operation was cut. It is finished or undone as its module says.
3. Every LV that waits for its removal, under a ``del-`` name and with our tags, is wiped if its record says so, and
   removed. An operation may be cut while an earlier one is still wiping, so every recovery includes this.

Every other state raises `Corrupt`, and nothing is changed. Examples are two operations at once, and an intent on an LV
to which its operation does not write it. The most important example is an LV that waits for its removal while something
still reads through it, or while the LV that should have replaced it is missing. Such an LV could be the only copy.
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
    """Plan the recovery of a volume. If the volume is healthy or does not exist, the plan has no steps.

    Raises:
        Corrupt: no cut can have left this state. Nothing may be changed.
        NoSpace: an unfinished merge needs more room.
        Unchangeable: the volume group is in a state in which nothing may be changed.
    """
    require_changeable(vg)
    volume = vg.find(name)
    if volume is None:
        return Plan("restore devices", vg.name, name, restore_devices(vg, name), HAPPENED)
    others = _others(vg, volume)
    devices = restore_devices(vg, volume.name, *others)
    if devices:
        return Plan("restore devices", vg.name, volume.name, devices, HAPPENED, other_names=others)
    recovery = _recovery(vg, volume, measure)
    waiting = volume.own_pending_removals if recovery.whole_volume else _removable(volume)
    steps = (*recovery.steps, *removal_steps(vg, (*recovery.removed, *waiting)))
    _require_unread(vg, volume, steps)
    return Plan(recovery.operation, vg.name, volume.name, steps, HAPPENED, other_names=others)


def unfinished(volume: Volume) -> bool:
    """Return whether an operation was cut, or is running, that makes the volume unsafe to open.

    LVs that wait for their removal do not count. A merge that waits for space does not count either, because each image
    still names the right backing file.
    """
    cut = volume.new is not None or any(
        intent is None or not intent.safe_to_open(volume, lv) for lv in volume.members for _, intent in intents_of(lv)
    )
    return cut or bool(volume.devices_to_restore)


def _others(vg: VolumeGroup, volume: Volume) -> tuple[VolumeName, ...]:
    """The other names that a recovery of the volume is about."""
    shared = {intent.tag for lv in volume.members for intent in _intents(lv) if intent.shared}
    carriers = {each.name for each in vg.volumes for lv in each.members if not shared.isdisjoint(lv.intent_tags)}
    targets = {name for name in (volume.rename_target, volume.convert_target) if name}
    return tuple(sorted((carriers | targets) - {volume.name}))


def _recovery(vg: VolumeGroup, volume: Volume, measure: Measure) -> Recovery:
    """Return the recovery of the operation that was cut; without steps if none was."""
    _require_known(volume)
    # Intents on ``del-`` LVs do not count: only their removal is left to do, and they may be of an earlier volume.
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
            volume.target, [f"{text}, and this version of lvmqcow cannot recover that" for text in unexplained]
        )
    return Recovery("finish removal", ())


def _require_known(volume: Volume) -> None:
    """Refuse a record that this version cannot read, or does not write to such an LV. Raises Corrupt."""
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
    """Refuse steps that remove an LV that another volume reads through, unless another LV gets its name.

    Raises:
        Corrupt: with the layers that would lose their parent.
    """
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
        raise Corrupt(volume.target, [f"{text}, which would be removed" for text in wrong])


def _removable(volume: Volume) -> tuple[LogicalVolume, ...]:
    """Return the LVs that wait for their removal and that lvmqcow renamed. Those of another tool are left to it.

    An LV may be removed in two cases. Another LV has its name again, or is about to get it, and so replaces it. Or its
    intent or wipe record says that its content is not needed, and no layer that stays reads through it.

    Raises:
        Corrupt: neither holds for one of these LVs.
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
        raise Corrupt(volume.target, [f"{name} waits for its removal, but nothing took its place" for name in orphans])
    return volume.own_pending_removals


def _intents(lv: LogicalVolume) -> list[OnLv]:
    return [intent for _, intent in intents_of(lv) if intent is not None]


def _content_unneeded(lv: LogicalVolume) -> bool:
    begun = isinstance(lv.wiping, Wiping) and lv.wiping.done_bytes > 0
    return begun or any(intent.content_unneeded for intent in _intents(lv))
