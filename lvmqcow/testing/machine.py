"""The state machine: random operations on a storage, against a model that cannot lose anything.

Each operation is one rule, because Hypothesis switches whole rules on and off. The model keeps the content of every
volume and every snapshot. After each step all of them are compared with the model, `check` must find nothing, and
nothing may be left over. The same class runs on the simulated and the real world::

    TestMine = machine(make_world).TestCase
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Final

import pytest
from hypothesis import event, target
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lvmqcow.core.names import Format, disk_name, parse_volume_name
from lvmqcow.core.sizing import whole_extents
from lvmqcow.core.wiping import Wipe
from lvmqcow.errors import (
    AlreadyExists,
    FormatMismatch,
    NewerSnapshots,
    NotPossible,
    SnapshotHasChildren,
    VolumeNotFound,
)
from lvmqcow.formats import SourceFormat
from lvmqcow.operations import Export, Import, Merge, Newer
from lvmqcow.testing.content import BLOCK_BYTES, Content
from lvmqcow.testing.model import (
    DiskModel,
    SnapshotModel,
    changing,
    clones,
    contents_of,
    loosen,
    refusal_of_clone,
    refusal_of_conversion,
    refusal_of_snapshot,
    rename_in_model,
    source_of,
    with_older_snapshots,
    with_snapshots,
    writable,
)
from lvmqcow.testing.strategies import growths, snapshot_names, volume_names, volume_sizes, writes
from lvmqcow.testing.worlds import World

__all__ = ["StorageMachine", "machine"]


_MOST_SNAPSHOTS: Final = 5


_LARGEST_BYTES: Final = 48 * 1024**2


_LAST_DISK: Final = 2  # of a machine: the volume group is small


_BACKUP: Final = "vzdump"


class StorageMachine(RuleBasedStateMachine):
    """Random operations on volumes and snapshots. Use `machine` to run it in a world."""

    make_world: Callable[[], World]
    ended: Callable[[int], None]

    def __init__(self) -> None:
        super().__init__()
        self.world = type(self).make_world()
        self.disks: dict[str, DiskModel] = {}
        self.deepest = 0
        self.steps = 0

    def teardown(self) -> None:
        type(self).ended(self.steps)
        target(float(self.deepest), label="snapshots of a volume")
        self.world.close()

    @initialize(name=volume_names, size_bytes=volume_sizes)
    def create_the_first(self, name: str, size_bytes: int) -> None:
        self._create(name, size_bytes)

    @rule(name=volume_names, size_bytes=volume_sizes)
    def create(self, name: str, size_bytes: int) -> None:
        if name in self.disks:
            with pytest.raises(AlreadyExists):
                self.world.storage.create(name, size_bytes)
        else:
            self._create(name, size_bytes)

    @precondition(lambda self: bool(writable(self.disks)))
    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        self._write(data, data.draw(st.sampled_from(writable(self.disks)), label="volume"))

    @precondition(lambda self: bool(writable(self.disks)))
    @rule(data=st.data(), merge=st.sampled_from(Merge))
    def backup(self, data: st.DataObject, merge: Merge) -> None:
        """A backup: take a snapshot, let the guest write, and delete the snapshot again."""
        name = data.draw(st.sampled_from(writable(self.disks)), label="volume")
        volume, disk = self.world.storage.volume(name), self.disks[name]
        if not refusal_of_snapshot(self.disks, disk, _BACKUP):
            volume.snapshot(_BACKUP)
            self._write(data, name)
            volume.delete_snapshot(_BACKUP, merge)

    @precondition(lambda self: bool(with_snapshots(self.disks)))
    @rule(data=st.data(), new=snapshot_names)
    def rename_snapshot(self, data: st.DataObject, new: str) -> None:
        name, disk = self._pick_with_snapshots(data)
        old = data.draw(st.sampled_from(list(disk.snapshots)), label="snapshot")
        if new in disk.snapshots:
            with pytest.raises(AlreadyExists):
                self.world.storage.volume(name).rename_snapshot(old, new)
            return
        event(f"rename of a snapshot that {len(clones(self.disks, name, old))} clones read through")
        self.world.storage.volume(name).rename_snapshot(old, new)
        rename_in_model(self.disks, name, old, new)

    @precondition(lambda self: bool(changing(self.disks)))
    @rule(data=st.data(), snapshot=snapshot_names)
    def snapshot(self, data: st.DataObject, snapshot: str) -> None:
        name, disk = self._pick_changing(data)
        volume = self.world.storage.volume(name)
        refusal = refusal_of_snapshot(self.disks, disk, snapshot)
        if refusal:
            with pytest.raises(refusal):
                volume.snapshot(snapshot)
            return
        if len(disk.snapshots) < _MOST_SNAPSHOTS:
            volume.snapshot(snapshot)
            disk.snapshots[snapshot] = SnapshotModel(disk.current, disk.under)
            disk.under = snapshot
            self.deepest = max(self.deepest, len(disk.snapshots))

    @precondition(lambda self: bool(with_snapshots(self.disks)))
    @rule(data=st.data())
    def rollback(self, data: st.DataObject) -> None:
        name, disk = self._pick_with_snapshots(data)
        newest = disk.line(disk.under)[-1]
        self.world.storage.volume(name).rollback(newest)
        disk.current = disk.snapshots[newest].content

    @precondition(lambda self: bool(with_older_snapshots(self.disks)))
    @rule(data=st.data())
    def rollback_to_an_older_one_is_refused(self, data: st.DataObject) -> None:
        name, disk, older = self._pick_an_older_snapshot(data)
        with pytest.raises(NewerSnapshots) as refused:
            self.world.storage.volume(name).rollback(older)
        assert list(refused.value.blockers) == disk.newer(older)

    @precondition(lambda self: bool(with_snapshots(self.disks)))
    @rule(data=st.data())
    def rollback_to_any_keeping_the_newer(self, data: st.DataObject) -> None:
        name, disk = self._pick_with_snapshots(data)
        snapshot = data.draw(st.sampled_from(list(disk.snapshots)), label="snapshot")
        event(f"rollback that leaves {len(disk.newer(snapshot))} snapshots as a branch")
        self.world.storage.volume(name).rollback(snapshot, Newer.KEEP)
        disk.current, disk.under = disk.snapshots[snapshot].content, snapshot

    @precondition(lambda self: bool(with_older_snapshots(self.disks)))
    @rule(data=st.data(), wipe=st.none() | st.sampled_from(Wipe))
    def rollback_to_an_older_one_discarding_the_newer(self, data: st.DataObject, wipe: Wipe | None) -> None:
        name, disk, older = self._pick_an_older_snapshot(data)
        newer, volume = disk.newer(older), self.world.storage.volume(name)
        if older not in disk.line(disk.under):
            with pytest.raises(NotPossible):
                volume.rollback(older, Newer.DISCARD)
        elif any(clones(self.disks, name, snapshot) for snapshot in newer) or any(
            reader and reader not in newer for snapshot in newer for reader in disk.readers(snapshot)
        ):
            with pytest.raises(SnapshotHasChildren):
                volume.rollback(older, Newer.DISCARD)
        else:
            volume.rollback(older, Newer.DISCARD, wipe)
            disk.current, disk.under = disk.snapshots[older].content, older
            for snapshot in newer:
                del disk.snapshots[snapshot]
            event(f"rollback that discards {len(newer)} snapshots")

    @precondition(lambda self: bool(with_snapshots(self.disks)))
    @rule(data=st.data(), merge=st.sampled_from(Merge), wipe=st.none() | st.sampled_from(Wipe))
    def delete_snapshot(self, data: st.DataObject, merge: Merge, wipe: Wipe | None) -> None:
        name, disk = self._pick_with_snapshots(data)
        snapshot = data.draw(st.sampled_from(list(disk.snapshots)), label="snapshot")
        if len(disk.readers(snapshot)) > 1 or clones(self.disks, name, snapshot):
            with pytest.raises(SnapshotHasChildren):
                self.world.storage.volume(name).delete_snapshot(snapshot, merge, wipe)
            return
        ran = self.world.storage.volume(name).delete_snapshot(snapshot, merge, wipe)
        used = {argv[1] for argv in ran.commands if argv[0] == "qemu-img"}
        event(f"delete by {' '.join(used & {'rebase', 'commit'}) or 'removing a tip'}")
        disk.forget(snapshot)

    @precondition(lambda self: self.disks)
    @rule(data=st.data())
    def template(self, data: st.DataObject) -> None:
        name, disk = self._pick(data)
        volume = self.world.storage.volume(name)
        if disk.image_format is Format.RAW:
            with pytest.raises(NotPossible):
                volume.template()
        else:
            assert bool(volume.template().steps) != disk.template
            disk.template = True

    @precondition(lambda self: any(disk.template for disk in self.disks.values()))
    @rule(data=st.data())
    def a_template_does_not_change(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(name for name, disk in self.disks.items() if disk.template)))
        volume = self.world.storage.volume(name)
        changes: list[Callable[[], object]] = [lambda: volume.snapshot("new"), lambda: volume.resize(_LARGEST_BYTES)]
        for snapshot in list(self.disks[name].snapshots)[:1]:
            changes += [partial(volume.rollback, snapshot), partial(volume.delete_snapshot, snapshot)]
        for change in changes:
            with pytest.raises(NotPossible):
                change()

    @precondition(lambda self: self.disks)
    @rule(data=st.data(), new=volume_names)
    def clone(self, data: st.DataObject, new: str) -> None:
        name, disk = self._pick(data)
        snapshot = data.draw(st.sampled_from([*disk.snapshots, None]), label="snapshot")
        volume = self.world.storage.volume(name)
        refusal = refusal_of_clone(self.disks, disk, snapshot, new)
        if refusal:
            with pytest.raises(refusal):
                volume.clone(new, snapshot)
            return
        volume.clone(new, snapshot)
        content = disk.snapshots[snapshot].content if snapshot else disk.current
        self.disks[new] = DiskModel(Format.QCOW2, content, base=(name, snapshot))
        event(f"clone of a {'snapshot' if snapshot else 'template'}{', a clone itself' if disk.base else ''}")

    @precondition(lambda self: self.disks)
    @rule(data=st.data())
    def flatten(self, data: st.DataObject) -> None:
        name, disk = self._pick(data)
        volume = self.world.storage.volume(name)
        if disk.base and (disk.template or clones(self.disks, name)):
            with pytest.raises(NotPossible):
                volume.flatten()
            return
        assert bool(volume.flatten().steps) == (disk.base is not None)
        event(f"flatten {'a clone' if disk.base else 'what is no clone'}")
        loosen(self.disks, disk)
        disk.base = None

    @precondition(lambda self: bool(changing(self.disks)))
    @rule(data=st.data(), more_bytes=growths)
    def resize(self, data: st.DataObject, more_bytes: int) -> None:
        name, disk = self._pick_changing(data)
        volume, old_bytes = self.world.storage.volume(name), disk.current.size_bytes
        asked_bytes = max(512, min(old_bytes + more_bytes, _LARGEST_BYTES))
        new_bytes = self._size(disk.image_format, asked_bytes)
        if new_bytes < old_bytes:
            with pytest.raises(NotPossible):
                volume.resize(asked_bytes)
            return
        ran = volume.resize(asked_bytes)
        assert bool(ran.steps) == (new_bytes > old_bytes)
        event(f"resize, {disk.image_format}{'' if ran.steps else ', to the size it has'}")
        disk.current = replace(disk.current, size_bytes=new_bytes)

    @precondition(lambda self: bool(changing(self.disks)))
    @rule(data=st.data(), more_bytes=growths)
    def grow(self, data: st.DataObject, more_bytes: int) -> None:
        name, disk = self._pick_changing(data)
        asked_bytes = disk.current.size_bytes + more_bytes
        if not disk.current.size_bytes <= asked_bytes <= _LARGEST_BYTES:
            return
        self.world.storage.volume(name).grow(more_bytes)
        disk.current = replace(disk.current, size_bytes=self._size(disk.image_format, asked_bytes))

    @precondition(lambda self: self.disks)
    @rule(data=st.data(), wipe=st.none() | st.sampled_from(Wipe))
    def remove(self, data: st.DataObject, wipe: Wipe | None) -> None:
        name, disk = self._pick(data)
        if clones(self.disks, name):
            with pytest.raises(NotPossible):
                self.world.storage.volume(name).remove(wipe)
            return
        self.world.storage.volume(name).remove(wipe)
        loosen(self.disks, disk)
        del self.disks[name]
        with pytest.raises(VolumeNotFound):
            self.world.storage.volume(name).info()

    @precondition(lambda self: self.disks)
    @rule(data=st.data(), new=volume_names)
    def rename(self, data: st.DataObject, new: str) -> None:
        name, disk = self._pick(data)
        volume = self.world.storage.volume(name)
        if clones(self.disks, name):
            with pytest.raises(NotPossible):
                volume.rename(new)
        elif parse_volume_name(new).format is not disk.image_format:
            with pytest.raises(FormatMismatch):
                volume.rename(new)
        elif new in self.disks:
            with pytest.raises(AlreadyExists):
                volume.rename(new)
        else:
            volume.rename(new)
            self.disks[new] = self.disks.pop(name)
            event(f"rename with {len(disk.snapshots)} snapshots")

    @precondition(lambda self: self.disks)
    @rule(data=st.data(), new=volume_names)
    def copy(self, data: st.DataObject, new: str) -> None:
        name, disk = self._pick(data)
        snapshot = data.draw(st.sampled_from([None, *disk.snapshots]), label="snapshot")
        volume = self.world.storage.volume(name)
        if new in self.disks:
            with pytest.raises(AlreadyExists):
                volume.copy(new, snapshot)
            return
        source = self.world.host.observe().lv(volume.path(snapshot).name)
        volume.copy(new, snapshot)
        # as its source was, which a clone may have activated
        active = source is not None and source.active
        self._copied(new, disk.snapshots[snapshot].content if snapshot else disk.current, active)
        event(f"copy of {'a snapshot' if snapshot else 'a volume'}, {disk.image_format}, as {new.rpartition('.')[2]}")

    @precondition(lambda self: self.disks)
    @rule(data=st.data(), new=volume_names)
    def convert(self, data: st.DataObject, new: str) -> None:
        name, disk = self._pick(data)
        refusal = refusal_of_conversion(self.disks, disk, new)
        if refusal:
            with pytest.raises(refusal):
                self.world.storage.volume(name).convert(new)
            return
        self.world.storage.volume(name).convert(new)
        loosen(self.disks, disk)
        del self.disks[name]
        self._copied(new, disk.current, disk.active)
        event(f"convert from {disk.image_format}")

    @precondition(lambda self: self.disks)
    @rule(data=st.data(), new=volume_names, file_format=st.sampled_from(Format))
    def export_and_import(self, data: st.DataObject, new: str, file_format: Format) -> None:
        name, disk = self._pick(data)
        snapshot = data.draw(st.sampled_from([None, *disk.snapshots]), label="snapshot")
        content = disk.snapshots[snapshot].content if snapshot else disk.current
        storage, path = self.world.storage, self.world.free_file()
        storage.apply(Export(parse_volume_name(name), snapshot, path, file_format))
        wanted = Import(parse_volume_name(new), content.size_bytes, path, SourceFormat(file_format))
        if new in self.disks:
            with pytest.raises(AlreadyExists):
                storage.apply(wanted)
            return
        storage.apply(wanted)
        self._copied(new, content, active=True)
        event(f"export of {'a snapshot' if snapshot else 'a volume'}, import as {new.rpartition('.')[2]}")

    @rule(vmid=st.sampled_from([100, 1000]), size_bytes=volume_sizes, image_format=st.sampled_from(Format))
    def create_under_a_free_name(self, vmid: int, size_bytes: int, image_format: Format) -> None:
        taken = {name.removesuffix(".qcow2") for name in self.disks}
        free = next(number for number in count() if f"vm-{vmid}-disk-{number}" not in taken)
        if free > _LAST_DISK:
            return
        made = self.world.storage.create_disk(vmid, size_bytes, image_format)
        assert made.name == disk_name(vmid, free, image_format).text
        self.disks[made.name] = DiskModel(image_format, Content(self._size(image_format, size_bytes)))

    @precondition(lambda self: self.disks)
    @rule(data=st.data())
    def activate(self, data: st.DataObject) -> None:
        name, disk = self._pick(data)
        self.world.storage.volume(name).activate()
        disk.active, disk.loose = True, False

    @precondition(lambda self: self.disks)
    @rule(data=st.data())
    def deactivate(self, data: st.DataObject) -> None:
        name, disk = self._pick(data)
        self.world.storage.volume(name).deactivate()
        disk.active = disk.loose = False

    @precondition(lambda self: self.disks)
    @rule()
    def recovery_of_healthy_volumes_does_nothing(self) -> None:
        assert self.world.storage.recover() == ()

    @invariant()
    def a_step_is_done(self) -> None:
        self.steps += 1

    @invariant()
    def every_volume_and_snapshot_holds_its_content(self) -> None:
        with self.world.readable():
            for name, disk in self.disks.items():
                for lv, content in contents_of(name, disk, self.world.layout).items():
                    difference = self.world.difference(lv, disk.image_format, content)
                    assert difference is None, difference
            assert self.world.storage.check() == ()

    @invariant()
    def the_listing_says_what_is_there(self) -> None:
        listed = {
            info.name: (info.format, info.virtual_size_bytes, info.snapshots, info.template, info.base)
            for info in self.world.storage.volumes()
        }
        expected = {
            name: (disk.image_format, disk.current.size_bytes, disk.listed(), disk.template, source_of(disk))
            for name, disk in self.disks.items()
        }
        assert listed == expected

    @invariant()
    def nothing_is_wrong_or_left_over(self) -> None:
        assert self.world.leftovers() == ()
        picture = self.world.host.observe()
        known = {
            lv: (name, disk) for name, disk in self.disks.items() for lv in contents_of(name, disk, self.world.layout)
        }
        assert picture.lv_names == known.keys()
        for lv in picture.logical_volumes:
            name, disk = known[lv.name]
            assert lv.writable == (not disk.template or lv.name != name), lv.name
            # an operation on a clone leaves what it reads through active
            assert lv.active == disk.active or (lv.active and (disk.loose or clones(self.disks, name))), lv.name
        assert [lv.name for lv in picture.logical_volumes if lv.intent_tags or lv.wiping] == []

    @invariant()
    def a_guest_can_write_all_of_its_disk(self) -> None:
        sizes = {lv.name: lv.size_bytes for lv in self.world.host.observe().logical_volumes}
        for name, disk in self.disks.items():
            size_bytes = disk.current.size_bytes
            needed_bytes = self.world.host.measure(size_bytes) if disk.image_format is Format.QCOW2 else size_bytes
            assert sizes.get(name, 0) >= needed_bytes, f"{name} has no room for {size_bytes} bytes"

    def _write(self, data: st.DataObject, name: str) -> None:
        disk = self.disks[name]
        if disk.base:  # an operation on the base's volume may have deactivated it
            self.world.storage.volume(name).activate()
        drawn = data.draw(writes(disk.current.size_bytes // BLOCK_BYTES), label="writes")
        self.world.write(name, disk.image_format, drawn)
        disk.current = disk.current.written(drawn)

    def _create(self, name: str, size_bytes: int) -> None:
        self.world.storage.create(name, size_bytes)
        image_format = parse_volume_name(name).format
        self.disks[name] = DiskModel(image_format, Content(self._size(image_format, size_bytes)))

    def _copied(self, name: str, content: Content, active: bool) -> None:
        image_format = parse_volume_name(name).format
        holds = replace(content, size_bytes=self._size(image_format, content.size_bytes))
        self.disks[name] = DiskModel(image_format, holds, active=active)

    def _size(self, image_format: Format, size_bytes: int) -> int:
        """Return the size that a guest sees of a volume for which this size was requested."""
        if image_format is Format.QCOW2:
            return size_bytes
        return whole_extents(size_bytes, self.world.host.observe().extent_size_bytes)

    def _pick_an_older_snapshot(self, data: st.DataObject) -> tuple[str, DiskModel, str]:
        older = with_older_snapshots(self.disks)
        name = data.draw(st.sampled_from(sorted(older)), label="volume")
        return name, self.disks[name], data.draw(st.sampled_from(older[name]), label="snapshot")

    def _pick(self, data: st.DataObject) -> tuple[str, DiskModel]:
        name = data.draw(st.sampled_from(sorted(self.disks)), label="volume")
        return name, self.disks[name]

    def _pick_changing(self, data: st.DataObject) -> tuple[str, DiskModel]:
        name = data.draw(st.sampled_from(changing(self.disks)), label="volume")
        return name, self.disks[name]

    def _pick_with_snapshots(self, data: st.DataObject) -> tuple[str, DiskModel]:
        name = data.draw(st.sampled_from(with_snapshots(self.disks)), label="volume")
        return name, self.disks[name]


def machine(world: Callable[[], World], ended: Callable[[int], None] = lambda steps: None) -> type[StorageMachine]:
    """Return the machine for a world.

    ``world`` makes a fresh world for each sequence; ``ended`` gets its number of steps.
    """
    return type("StorageMachine", (StorageMachine,), {"make_world": staticmethod(world), "ended": staticmethod(ended)})
