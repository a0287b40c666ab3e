"""Simulated volumes that the tests start from, and what there is to compare of them.

Everything is made through the public API and by the steps themselves, so a state here is one that can occur.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.intents import INTENT_PREFIX
from lvmqcow.core.lv import index_tags
from lvmqcow.core.names import Format, Layout, VolumeName, parse_volume_name, snapshot_lv_name
from lvmqcow.core.qcow2 import ImageOptions
from lvmqcow.core.sizing import whole_extents
from lvmqcow.engine.locks import NoLocks
from lvmqcow.errors import CommandFailed, LvmqcowError
from lvmqcow.operations import Newer, Plan, Request
from lvmqcow.steps import (
    LvActivate,
    LvAutoactivation,
    LvCreate,
    LvDeactivate,
    LvRemove,
    LvRename,
    LvTag,
    QcowCreate,
    QcowRelink,
    Step,
)
from lvmqcow.storage import Storage
from lvmqcow.testing.conformance.violation import Violation, require
from lvmqcow.testing.content import Content, Write
from lvmqcow.testing.simulated.host import SimHost
from lvmqcow.testing.simulated.state import stream_path

MIB = 1024**2
DISK = parse_volume_name("vm-100-disk-0.qcow2")
RAW = parse_volume_name("vm-100-disk-2")
NEIGHBOUR = parse_volume_name("vm-100-disk-1.qcow2")
QCOW2_FILE, RAW_FILE = "/srv/disk.qcow2", "/srv/disk.raw"
STREAM = 7
FILES = {
    path: Content(4 * MIB, {0: 7, 33: 9, **dict.fromkeys(range(64, 1024, 64), 11)})
    for path in (QCOW2_FILE, RAW_FILE, stream_path(STREAM))
}
PVE_BASE = ImageOptions(64 * 1024, extended_l2=False)
"""What Proxmox VE and the seed patch make of a volume that reads through no other."""


def storage(host: SimHost, layout: Layout | None = None) -> Storage:
    """Return the public API on a simulated volume group."""
    return Storage(host, NoLocks(), layout=layout)


def chain(depth: int, host: SimHost | None = None, name: VolumeName = DISK) -> SimHost:
    """A volume of 4 MiB with snapshots s1 … s<depth>, every layer with data of its own, written zeros among it.

    In every layer: a block that only it wrote, one that all overwrite, and one that only the layer below had.
    """
    names = [f"s{number}" for number in range(1, depth + 1)]
    return tree(dict(zip(names, [None, *names], strict=False)), names[-1] if names else None, host, name)


def tree(
    parents: Mapping[str, str | None], under: str | None, host: SimHost | None = None, name: VolumeName = DISK
) -> SimHost:
    """A volume with snapshots made in the order given, each over its parent, and the current layer over ``under``.

    What the layers hold is as in a `chain`.
    """
    host = host if host is not None else SimHost(files=FILES)
    storage(host).create(name.text, 4 * MIB)
    return _filled(host, name, parents, under)


def _filled(host: SimHost, name: VolumeName, parents: Mapping[str, str | None], under: str | None) -> SimHost:
    volume, over = storage(host).volume(name.text), None
    for number, (snapshot, parent) in enumerate([*parents.items(), (None, under)]):
        if parent and parent != over:
            volume.rollback(parent, Newer.KEEP)
        host.guest_write(name.text, [Write(0, 1, number + 1), Write(40 + number, 1, 0x60 + number)])
        if number:
            host.guest_write(name.text, [Write(40 + number - 1, 1, 0)])
        if snapshot:
            volume.snapshot(snapshot)
            over = snapshot
    return host


def branched(place: tuple[int, int]) -> SimHost:
    """A chain of (depth) snapshots, and a branch b1, b2 off that with the number (at)."""
    depth, at = place
    names = [f"s{number}" for number in range(1, depth + 1)]
    parents = list(zip(names, [None, *names], strict=False))
    return tree(dict([*parents[:at], ("b1", names[at - 1]), ("b2", "b1"), *parents[at:]]), names[-1])


def clone_of_a_snapshot(depth: int) -> SimHost:
    """The disk is a clone of its neighbour's s1, with as many snapshots of its own; from two on s1 has a branch b."""
    return _clone(chain(1, None, NEIGHBOUR), "s1", depth)


def clone_of_a_template(depth: int) -> SimHost:
    """As `clone_of_a_snapshot`, of the neighbour itself, which is a template."""
    return _clone(neighbour_template(), None, depth)


def neighbour_template() -> SimHost:
    """The neighbour, a chain of one snapshot, is a template; there is no disk."""
    host = chain(1, None, NEIGHBOUR)
    storage(host).volume(NEIGHBOUR.text).template()
    return host


def _clone(host: SimHost, snapshot: str | None, depth: int) -> SimHost:
    storage(host).volume(NEIGHBOUR.text).clone(DISK.text, snapshot)
    names = [f"s{number}" for number in range(1, depth + 1)]
    parents = dict(zip(names, [None, *names], strict=False)) | ({"b": "s1"} if depth > 1 else {})
    return _filled(host, DISK, parents, names[-1] if names else None)


def with_a_clone(depth: int) -> SimHost:
    """A chain with a clone of s1 beside it."""
    host = chain(depth)
    storage(host).volume(DISK.text).clone(NEIGHBOUR.text, "s1")
    return _filled(host, NEIGHBOUR, {"s1": None}, "s1")


def template(depth: int) -> SimHost:
    """A chain that is a template."""
    host = chain(depth)
    storage(host).volume(DISK.text).template()
    return host


def uneven() -> SimHost:
    """A disk of 4 MiB with a branch ``big``, of 64 MiB, that its current LV has no room for."""
    host = chain(1)
    volume = storage(host).volume(DISK.text)
    volume.resize(64 * MIB)
    host.guest_write(DISK.text, [Write(0, 1, 0x77), Write(5000, 1, 0x78)])
    volume.snapshot("big")
    volume.rollback("s1", Newer.KEEP)
    volume.snapshot("s2")
    host.guest_write(DISK.text, [Write(0, 1, 0x79)])
    return host


def grown(depth: int) -> SimHost:
    """A chain whose current layer was resized to 64 MiB after the newest snapshot; what is new is written to."""
    host = chain(depth)
    newest = snapshot_lv_name(DISK, f"s{depth}", Layout.RFC)
    size_bytes = whole_extents(host.measure(64 * MIB), host.observe().extent_size_bytes)
    host.run(LvRemove((DISK.text,)))
    host.run(LvCreate(DISK.text, size_bytes, (*DISK.tags, *index_tags(64 * MIB, newest))))
    host.run(QcowCreate(DISK.text, 64 * MIB, newest))
    host.guest_write(DISK.text, [Write(0, 1, 0x77), Write(41, 1, 0), Write(5000, 1, 0x78)])
    return host


def tight() -> SimHost:
    """A chain of one snapshot in LVs of the disk's own size, without room for metadata: what the seed's sums give."""
    s1 = snapshot_lv_name(DISK, "s1", Layout.RFC)
    host = SimHost()
    for number, (lv, parent) in enumerate([(s1, None), (DISK.text, s1)]):
        host.run(LvCreate(lv, 4 * MIB, (*DISK.tags, *index_tags(4 * MIB, parent))))
        host.run(QcowCreate(lv, 4 * MIB, parent))
        host.guest_write(lv, [Write(0, 1, number + 1), Write(40 + number, 1, number + 1)])
    return host


def beside(host: SimHost, snapshot: str, parent: str) -> SimHost:
    """The same, with one more snapshot of the volume, made by hand, that reads through ``parent``."""
    lv, tags = snapshot_lv_name(DISK, snapshot, Layout.RFC), (*DISK.tags, *index_tags(4 * MIB, parent))
    return run(host, LvCreate(lv, 8 * MIB, tags), QcowCreate(lv, 4 * MIB, parent))


def raw_volume(host: SimHost | None = None) -> SimHost:
    """A raw volume of 4 MiB."""
    host = host if host is not None else SimHost(files=FILES)
    storage(host).create(RAW.text, 4 * MIB)
    host.guest_write(RAW.text, [Write(1, 2, 5)])
    return host


def run(host: SimHost, *steps: Step) -> SimHost:
    """The same, after some steps."""
    twin = host.copy()
    for step in steps:
        twin.run(step)
    return twin


def inactive(host: SimHost) -> SimHost:
    """The same, nothing active."""
    return run(host, LvDeactivate(tuple(sorted(host.observe().lv_names))))


def rebooted(host: SimHost) -> SimHost:
    """The same, after the machine died: nothing is active, and ``/dev`` is new."""
    twin = host.copy()
    twin.reboot()
    return twin


def at_boot(host: SimHost) -> SimHost:
    """The same, and every boot activates the disk."""
    lvs = (layer.lv.name for layer in host.observe().volume(DISK).layers)
    return run(host, LvAutoactivation(tuple(sorted(lvs)), True))


def half_active(host: SimHost) -> SimHost:
    """The same, the disk's current LV not active, the layers below it active."""
    return run(host, LvDeactivate((DISK.text,)))


def neighbour_inactive(host: SimHost) -> SimHost:
    """The same, the neighbour not active."""
    return run(host, LvDeactivate(tuple(name for name in sorted(host.observe().lv_names) if NEIGHBOUR.text in name)))


def active(host: SimHost) -> SimHost:
    """The same, everything active: so that it can be read."""
    return run(host, LvActivate(tuple(sorted(host.observe().lv_names))))


def foreign(host: SimHost) -> SimHost:
    """The same as the seed patch would have written it: without a tag of ours."""
    lvs = host.observe().logical_volumes
    return run(host, *(LvTag((lv.name,), drop=lv.index_tags) for lv in lvs if lv.index_tags))


def pve9(host: SimHost) -> SimHost:
    """The same as Proxmox VE 9 would have written it: its names, its options of a base, and without a tag of ours."""
    host = active(host)
    picture = storage(host).picture()
    steps: list[Step] = []
    for volume in picture.volumes:
        if volume.name.format is Format.QCOW2:
            host.lay_out(volume.chain[-1].lv.name, PVE_BASE)
        names = {
            layer.lv.name: snapshot_lv_name(volume.name, layer.snapshot, Layout.PVE9)
            for layer in volume.layers
            if layer.snapshot
        }
        steps += [LvRename(lv, to) for lv, to in names.items()]
        steps += [
            QcowRelink(names.get(layer.lv.name, layer.lv.name), names[layer.parent])
            for layer in volume.layers
            if layer.parent
        ]
    return foreign(run(host, *steps))


VARIANTS = {
    "active": lambda host: host,
    "inactive": inactive,
    "written by the seed patch": foreign,
    "written by Proxmox VE 9": pve9,
}
"""How a chain may be met."""


def contents(host: SimHost, name: VolumeName = DISK) -> dict[str | None, Content]:
    """What every snapshot of a volume holds, and under None its current layer. Empty when there is no volume."""
    readable = active(host)
    volumes = [volume for volume in readable.observe().volumes if volume.name == name]
    return {layer.snapshot: readable.read(layer.lv.name) for volume in volumes for layer in volume.layers}


def others(host: SimHost, *names: VolumeName) -> dict[VolumeName, dict[str | None, Content]]:
    """What every other volume holds."""
    return {each.name: contents(host, each.name) for each in host.observe().volumes if each.name not in names}


def sizes_and_tags(picture: VolumeGroup, *, index: bool) -> Mapping[str, tuple[int, bool, frozenset[str]]]:
    """Every LV with its size, permission and tags, with or without the tags of the index."""
    return {
        lv.name: (lv.size_bytes, lv.writable, lv.tags if index else lv.tags - frozenset(lv.index_tags))
        for lv in picture.logical_volumes
    }


def parents(picture: VolumeGroup) -> Mapping[str, str | None]:
    """What every layer reads through: of a picture with the headers of all."""
    return {layer.lv.name: layer.parent for volume in picture.volumes for layer in volume.layers}


@dataclass(frozen=True)
class State:
    """All that can be told of a simulated volume group."""

    picture: VolumeGroup
    images: Mapping[str, Content | str]


def state(host: SimHost) -> State:
    """Return all that can be told of a volume group."""
    readable = active(host)
    return State(host.observe(), {name: _read(readable, name) for name in sorted(host.observe().lv_names)})


def planned(host: SimHost, request: Request) -> Plan:
    """What the planner makes of the picture, headers included."""
    return storage(host.copy()).plan(request)


def commands(made: Plan) -> list[str]:
    """The plan as a person would type it."""
    return [shlex.join(argv) for argv in made.commands]


def intents(host: SimHost) -> list[str]:
    """The intents that are set anywhere."""
    return [tag for lv in host.observe().logical_volumes for tag in lv.tags if tag.startswith(INTENT_PREFIX)]


def refused(host: SimHost, request: Request) -> LvmqcowError:
    """The error with which a request is refused; nothing was touched."""
    before = state(host)
    try:
        storage(host).apply(request)
    except LvmqcowError as error:
        require(state(host) == before, f"{request} was refused, and changed something", before, state(host))
        return error
    raise Violation(f"{request} must be refused", "an error", "success")


def source(image_format: Format) -> str:
    """A file that every simulated host here can import."""
    return QCOW2_FILE if image_format is Format.QCOW2 else RAW_FILE


def _read(host: SimHost, lv: str) -> Content | str:
    try:
        return host.read(lv)
    except CommandFailed as unreadable:
        return unreadable.stderr
