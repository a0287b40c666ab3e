"""The public API: a storage is one volume group, a volume is one virtual disk.

    with Storage.open("vg0") as storage:
        volume = storage.create("vm-100-disk-0.qcow2", size_bytes=10 * 1024**3)
        volume.snapshot("before-upgrade")

Every verb is a request: `Storage.apply` takes the volume's lock, lets recovery finish or undo what was cut before,
takes one picture, plans, and runs the plan. `Storage.plan` stops before the last: what it returns is what would run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeVar

from lvmqcow.checks import Finding, Severity, beside
from lvmqcow.errors import (
    CommandFailed,
    Corrupt,
    InUse,
    Locked,
    LvmqcowError,
    NoSpace,
    OperationCut,
    RecoveryNeeded,
    VolumeGroupNotFound,
    VolumeNotFound,
)
from lvmqcow.exports import whole_file
from lvmqcow.health import examine
from lvmqcow.host import Host, RealHost
from lvmqcow.imports import inspect, require_whole
from lvmqcow.locks import FlockLocks, Locks
from lvmqcow.lvm import Lvm, LvmProcesses, LvmShell, Trace
from lvmqcow.model import Layer, VolumeGroup
from lvmqcow.model import Volume as VolumePicture
from lvmqcow.names import (
    Format,
    Layout,
    VolumeName,
    check_vg_name,
    device_path,
    disk_name,
    free_disk_number,
    in_other_format,
    parse_volume_name,
)
from lvmqcow.plans import Plan, plan
from lvmqcow.plans.delete import only_child
from lvmqcow.qcow2 import Header
from lvmqcow.qemu_img import QemuImg
from lvmqcow.qemu_nbd import QemuNbd
from lvmqcow.recovery import plan_recovery
from lvmqcow.requests import (
    Activate,
    Clone,
    Convert,
    Copy,
    Create,
    Deactivate,
    DeleteSnapshot,
    Export,
    ExportStream,
    Flatten,
    Grow,
    Import,
    ImportStream,
    Merge,
    Newer,
    Remove,
    Rename,
    Request,
    Resize,
    Rollback,
    Snapshot,
    StreamFormat,
    Template,
    Wipe,
)
from lvmqcow.runner import Events, run_plan
from lvmqcow.sizing import whole_sectors
from lvmqcow.steps import LvActivate, LvDeactivate, LvRemove, opened

__all__ = ["LayerInfo", "Storage", "Volume", "VolumeInfo", "raise_together"]


SILENT: Final = Events()
_MOST_BUSY: Final = 64  # names that others hold, before we say so: they may hold all there could be
_Done = TypeVar("_Done")


@dataclass(frozen=True)
class VolumeInfo:
    """A volume as `Storage.volumes` lists it. ``lv_size_bytes`` is that of all its LVs together.

    ``virtual_size_bytes`` is None where only the image's header tells, and the LV is not active: never a guess.
    """

    name: str
    format: Format
    virtual_size_bytes: int | None
    lv_size_bytes: int
    snapshots: tuple[str, ...]
    template: bool = False
    base: str | None = None
    """What a clone reads through: ``VOLUME@SNAPSHOT``, or a template's ``VOLUME``."""


@dataclass(frozen=True)
class LayerInfo:
    """One layer of a volume; ``snapshot`` is None for the current one, ``parent`` is an LV name.

    ``allocated_bytes`` is what the image's clusters take; None when the LV is not active, or raw.
    ``virtual_size_bytes`` is as in `VolumeInfo`, and where that is None, so is ``parent``.
    """

    lv: str
    snapshot: str | None
    parent: str | None
    virtual_size_bytes: int | None
    lv_size_bytes: int
    allocated_bytes: int | None
    clones: tuple[str, ...] = ()
    """The volumes that read through it, directly."""


class Storage:
    """One volume group that lvmqcow manages. For one thread at a time: open another for each."""

    def __init__(
        self,
        host: Host,
        locks: Locks,
        events: Events = SILENT,
        recover_first: bool = True,
        layout: Layout | None = None,
        wipe: Wipe = Wipe.NONE,
    ) -> None:
        """``recover_first=False``: refuse a volume with an unfinished operation, rather than recover it first.

        ``layout`` is what the first snapshot of a volume is called; None: as others are that are there. A volume keeps
        the layout of the snapshots it has.

        ``wipe`` is what happens to LVs that go, where the request does not say.
        """
        self._host = host
        self._locks = locks
        self._events = events
        self._recover_first = recover_first
        self._layout = layout
        self._wipe = wipe

    @classmethod
    def open(
        cls,
        vg: str,
        *,
        lvm: Literal["shell", "process"] = "shell",
        locks: Locks | None = None,
        events: Events = SILENT,
        trace: Trace | None = None,
        recover_first: bool = True,
        layout: Layout | None = None,
        wipe: Wipe = Wipe.NONE,
        wipe_bytes_per_second: int | None = None,
    ) -> Self:
        """A real volume group. ``lvm`` is ``shell`` (one lvm process for all) or ``process`` (one a command).

        ``wipe`` is what happens to LVs that go, where the request does not say; ``wipe_bytes_per_second`` how fast, at
        most.

        Raises:
            UnfitMachine: not root, or lvm2 or qemu-img is missing.
            VolumeGroupNotFound: when it is first looked at.
        """
        check_vg_name(vg)
        kind = LvmShell if lvm == "shell" else LvmProcesses
        runner: Lvm = kind(trace=trace, waiting=events.waiting)
        host = RealHost(vg, runner, QemuImg(trace), QemuNbd(trace), wipe_bytes_per_second)
        return cls(host, locks or FlockLocks(), events, recover_first, layout, wipe)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes it started."""
        self._host.close()

    @property
    def vg(self) -> str:
        return self._host.vg

    def volumes(self) -> tuple[VolumeInfo, ...]:
        """All volumes, by name; one report, nothing is activated."""
        picture = self._observe()
        picture = picture.with_headers(self._host.headers(_unknown_active(picture.volumes)))
        return tuple(_volume_info(volume) for volume in picture.volumes if volume.layers)

    def volume(self, name: str) -> Volume:
        """A handle on one volume, which need not exist. Raises InvalidName."""
        return Volume(self, parse_volume_name(name))

    def create(self, name: str, size_bytes: int, format: Format | None = None) -> Volume:
        """Create a volume that reads as zeros. The name's suffix is its format; ``format`` must agree.

        Raises:
            InvalidName, FormatMismatch, InvalidSize, AlreadyExists, NoSpace.
        """
        volume = parse_volume_name(name, format)
        self.apply(Create(volume, whole_sectors(size_bytes)))
        return Volume(self, volume)

    def create_disk(self, vmid: int, size_bytes: int, format: Format = Format.QCOW2) -> Volume:
        """Create a volume under the lowest free name of a machine's; safe against others that do the same.

        Raises:
            InvalidName, InvalidSize, NoSpace.
        """
        return Volume(self, self.allocate(vmid, size_bytes, format).volume)

    def allocate(self, vmid: int, size_bytes: int, format: Format = Format.QCOW2) -> Plan:
        """As `create_disk`; returns the plan that ran, which names the volume.

        The names of both formats are locked, so that no number is given twice. A number that another process holds is
        passed over; one that it took is seen, once the lock is ours.
        """
        size_bytes, busy = whole_sectors(size_bytes), set[str]()
        while True:
            number = free_disk_number(vmid, self._taken() | busy)
            both = [disk_name(vmid, number, each) for each in Format]
            with ExitStack() as held:
                try:
                    held.enter_context(self._locked(both))
                except Locked:
                    busy.add(both[0].text)
                    if len(busy) > _MOST_BUSY:
                        raise
                    continue
                if number == free_disk_number(vmid, self._taken() | busy):
                    name = disk_name(vmid, number, format)
                    return self._apply(Create(name, size_bytes), frozenset(both))

    def free_name(self, vmid: int, format: Format = Format.QCOW2) -> VolumeName:
        """The name that `create_disk` would try now. Raises InvalidName."""
        return disk_name(vmid, free_disk_number(vmid, self._taken()), format)

    def import_file(self, source: Path, name: str, source_format: Format | None = None) -> Volume:
        """Create a volume with the content of a raw or qcow2 file.

        Raises:
            Corrupt: the file reads through to others, or is nothing that may be opened.
            InvalidName, AlreadyExists, NoSpace.
        """
        request = inspect(source, parse_volume_name(name), source_format)
        self.apply(request)
        return Volume(self, request.volume)

    def import_stream(self, stream: int, name: str, size_bytes: int) -> Volume:
        """Create a volume with the content of a stream of so many raw bytes; ``stream`` is a file descriptor.

        Raises:
            OperationCut: the stream is shorter or longer than that, among other things.
            InvalidName, InvalidSize, AlreadyExists, NoSpace.
        """
        volume = parse_volume_name(name)
        self.apply(ImportStream(volume, size_bytes, stream))
        return Volume(self, volume)

    def plan(self, request: Request) -> Plan:
        """What `apply` would run first: the operation's plan, or, where one was cut, that of its recovery.

        Raises:
            LvmqcowError: a refusal; Locked only where headers can be read no other way than by activating the volume.
        """
        recovery, picture = self._look(*_names(request))
        if recovery.steps:
            self._events.recovered(recovery)
            return recovery
        if not _unread(request, picture):
            return self._plan(request, picture)
        with self._locked(_names(request)):
            _, picture = self._look(*_names(request))
            return self._plan(request, picture)

    def apply(self, request: Request) -> Plan:
        """Carry out a request; returns the plan that ran.

        Raises:
            LvmqcowError: a refusal (nothing was touched), or OperationCut (a step failed; recovery knows the state).
        """
        return self._holding(_names(request), lambda held: self._apply(request, held))

    def plan_recovery(self, name: str) -> Plan:
        """What `recover` would run; no steps on a healthy volume."""
        return self._look(parse_volume_name(name))[0]

    def recover(self, name: str | None = None) -> tuple[Plan, ...]:
        """Finish or undo what was cut, on one volume or on all; returns the plans that ran.

        Raises:
            LvmqcowError: one volume could not be recovered. The others were tried all the same; what went wrong
                with more of them is in the error's notes.
        """
        return self._recover_all() if name is None else self._recover(parse_volume_name(name))

    def check(self, name: str | None = None) -> tuple[Finding, ...]:
        """Everything that is wrong with one volume or with the whole volume group; nothing is activated for it.

        What was not active, so not looked at, is among the findings (``unseen``); so are LVs of others (``foreign``).

        Raises:
            VolumeNotFound.
        """
        around, wanted = self._wanted(name)
        return (*around, *examine(self._host, wanted))

    def check_activating(self, name: str | None = None) -> tuple[Finding, ...]:
        """As `check`, one volume after the other, each active for as long as it takes, under its lock.

        Raises:
            VolumeNotFound.
        """
        around, wanted = self._wanted(name)
        return (*around, *(finding for each in wanted for finding in self._check_activating(each)))

    def picture(self) -> VolumeGroup:
        """The volume group as it is now, headers of active LVs included."""
        picture = self._observe()
        return picture.with_headers(self._host.headers(_active(picture.volumes)))

    def layers(self, name: VolumeName) -> tuple[LayerInfo, ...]:
        """The layers of a volume, current first, then newest to oldest; then those of its other branches."""
        picture = self._observe()
        picture = picture.with_headers(self._host.headers(_active([picture.volume(name)])))
        volume = picture.volume(name)
        return tuple(self._layer_info(volume, layer) for layer in (*volume.chain, *volume.branches))

    def _apply(self, request: Request, held: frozenset[VolumeName]) -> Plan:
        """`apply`, with all of its names locked, and maybe more."""
        picture = self._recovered(request, held)
        planned = self._plan(request, picture)
        unseen = _unseen(planned, request, picture)
        if unseen:
            planned = self._plan(request, picture.with_headers(self._activated_headers(unseen)))
        try:
            run_plan(self._host, planned, self._events)
        except OperationCut:
            if isinstance(request, Deactivate):  # LVM does not say who opened it since we asked
                with suppress(CommandFailed, VolumeGroupNotFound):  # then it was not that
                    self._require_unused(planned, self._observe())
            if isinstance(request, Export | ExportStream):  # all that it changed is what is active
                with suppress(CommandFailed):
                    for step in planned.steps:
                        if isinstance(step, LvDeactivate):
                            self._host.run(step)
            raise
        return planned

    def _recovered(self, request: Request, held: frozenset[VolumeName]) -> VolumeGroup:
        """The picture, once what was cut before is finished or undone.

        What cannot be finished for want of space keeps nobody from his disk: what a guest reads is right meanwhile.
        """
        names = _names(request)
        try:
            recovery, picture = self._look(*names)
            if not recovery.steps:
                return picture
            if not self._recover_first:
                raise RecoveryNeeded(recovery.target, recovery.operation)
            return self._recover_names(names, held)[1]
        except (NoSpace, OperationCut) as error:
            without = isinstance(error, NoSpace) or isinstance(error.cause, NoSpace)
            if not (without and isinstance(request, Activate | Deactivate)):
                raise
            self._events.postponed(error)
            return self._observe()

    def _recover_names(
        self, names: Iterable[VolumeName], held: frozenset[VolumeName]
    ) -> tuple[tuple[Plan, ...], VolumeGroup]:
        """Recover each of them; returns the plans that ran. What is suspended is resumed first, and then looked at."""
        ran = list[Plan]()
        recovery, picture = self._look(*names)
        while recovery.steps:
            if recovery in ran:
                raise Corrupt(recovery.target, [f"{recovery.operation} is done, and the same is to be done again"])
            self._run_recovery(recovery, held)
            ran.append(recovery)
            recovery, picture = self._look(*names)
        return tuple(ran), picture

    def _observe(self) -> VolumeGroup:
        return replace(self._host.observe(), given_layout=self._layout)

    def _taken(self) -> frozenset[str]:
        """Every text in the volume group that could name a volume: LV names and tags."""
        lvs = self._observe().logical_volumes
        return frozenset(text for lv in lvs for text in (lv.name, *lv.tags))

    def _look(self, *names: VolumeName) -> tuple[Plan, VolumeGroup]:
        """The plan that recovers a volume (the first that needs it), and the picture, with headers of active layers."""
        picture = self._observe()
        own = [volume for name in names if (volume := picture.find(name))]
        picture = picture.with_headers({**self._seen_beside(picture, own), **self._host.headers(_active(own))})
        plans = [plan_recovery(picture, name, self._host.measure) for name in names]
        return next((recovery for recovery in plans if recovery.steps), plans[0]), picture

    def _seen_beside(self, picture: VolumeGroup, own: Sequence[VolumePicture]) -> Mapping[str, Header]:
        """The headers of other volumes, as far as they can be read: one may be a clone though no tag says so."""
        found: dict[str, Header] = {}
        for name in _active([volume for volume in picture.volumes if volume not in own]):
            with suppress(CommandFailed):  # it is for its own operations to complain
                found |= self._host.headers([name])
        return found

    def _holding(self, names: Iterable[VolumeName], work: Callable[[frozenset[VolumeName]], _Done]) -> _Done:
        """Do it with these names locked; and where a recovery is about more, with all of them.

        First the locks are let go: two that each hold what the other waits for would wait for ever.
        """
        held = frozenset(names)
        while True:
            try:
                with self._locked(held):
                    return work(held)
            except _MoreNames as more:
                held |= more.names

    @contextmanager
    def _locked(self, names: Iterable[VolumeName]) -> Iterator[None]:
        """All of these locks, in the same order for everybody."""
        with ExitStack() as held:
            for name in sorted(set(names)):
                held.enter_context(self._locks.hold(self.vg, name.text))
            yield

    def _plan(self, request: Request, picture: VolumeGroup) -> Plan:
        """Under the volume's lock, if there is anything to activate."""
        if isinstance(request, Import):
            require_whole(request, self._host.check_file)
        unread = _unread(request, picture)
        if unread:
            picture = picture.with_headers(self._activated_headers(unread))
        if isinstance(request, DeleteSnapshot) and request.merge is Merge.AUTO:
            request = replace(request, merge=self._cheaper(request, picture))
        if isinstance(request, Convert | DeleteSnapshot | Remove | Rollback) and request.wipe is None:
            request = replace(request, wipe=self._wipe)
        planned = plan(picture, request, self._host.measure)
        self._require_unused(planned, picture)
        return planned

    def _require_unused(self, planned: Plan, picture: VolumeGroup) -> None:
        """Raises InUse for what must not happen below a running guest: it would go on writing to a snapshot."""
        active = sorted(lv.name for lv in picture.logical_volumes if lv.active and lv.name in planned.disturbed)
        holders = [f"{name} by {holder}" for name in active for holder in self._host.holders(name)]
        if holders:
            raise InUse(planned.target, holders)

    def _activated_headers(self, lv_names: tuple[str, ...]) -> Mapping[str, Header]:
        """The headers of inactive LVs, which are inactive again afterwards."""
        with self._activated(lv_names):
            return self._host.headers(lv_names)

    @contextmanager
    def _activated(self, lv_names: tuple[str, ...]) -> Iterator[None]:
        """These inactive LVs are active within, and inactive again afterwards."""
        try:
            if lv_names:
                self._host.run(LvActivate(lv_names))
            yield
        finally:
            if lv_names:
                self._host.run(LvDeactivate(lv_names))

    def _cheaper(self, request: DeleteSnapshot, picture: VolumeGroup) -> Merge:
        """Asked of the images where they are active; otherwise the seed's rule has to do."""
        child = only_child(picture, request)
        volume = picture.volume(request.volume)
        if child is None or not all(layer.lv.active for layer in (*volume.line(child), *volume.bases)):
            return Merge.SEED
        cost = self._host.merge_cost(child.lv.name)
        return Merge.PULL if cost.pull_bytes <= cost.push_bytes else Merge.PUSH

    def _recover(self, name: VolumeName) -> tuple[Plan, ...]:
        return self._holding([name], lambda held: self._recover_names([name], held)[0])

    def _recover_all(self) -> tuple[Plan, ...]:
        ran, errors = list[Plan](), list[LvmqcowError]()
        for volume in self._observe().volumes:
            try:
                ran += self._recover(volume.name)
            except LvmqcowError as error:
                errors.append(error)
        raise_together(errors)
        return tuple(ran)

    def _run_recovery(self, recovery: Plan, held: frozenset[VolumeName]) -> None:
        """Run it, if all of its names are among those locked. Raises _MoreNames."""
        if not recovery.names <= held:
            raise _MoreNames(recovery.names)
        self._require_unused(recovery, self._observe())
        self._events.recovered(recovery)
        run_plan(self._host, recovery, self._events)

    def _wanted(self, name: str | None) -> tuple[tuple[Finding, ...], tuple[VolumeName, ...]]:
        """What a check of the one volume, or of all, is to look at; and what there is to say of the rest."""
        picture = self._host.observe()
        if name is None:
            return beside(picture), tuple(volume.name for volume in picture.volumes)
        one = picture.find(parse_volume_name(name))
        if one is None:
            raise VolumeNotFound(self.vg, name)
        return beside(picture, one.name), (one.name,)

    def _check_activating(self, name: VolumeName) -> tuple[Finding, ...]:
        idle: tuple[str, ...] = ()
        try:
            with self._locked([name]):
                volume = self._host.observe().find(name)
                if volume and volume.name.format is Format.QCOW2:
                    idle = tuple(layer.lv.name for layer in volume.layers if not layer.lv.active)
                with self._activated(idle):
                    return examine(self._host, [name])
        except (Locked, CommandFailed) as error:
            advice = f"then: lvmqcow check --activate {self.vg}/{name}"
            return (Finding(name.text, Severity.UNSEEN, f"it could not be looked at: {error}", advice),)

    def _layer_info(self, volume: VolumePicture, layer: Layer) -> LayerInfo:
        image = volume.name.format is Format.QCOW2 and _readable(volume, layer)
        return LayerInfo(
            lv=layer.lv.name,
            snapshot=layer.snapshot,
            parent=layer.parent,
            virtual_size_bytes=layer.virtual_size_bytes,
            lv_size_bytes=layer.lv.size_bytes,
            allocated_bytes=self._host.check(layer.lv.name).allocated_bytes if image else None,
            clones=tuple(sorted({clone.volume.text for clone in volume.clones if clone.parent == layer.lv.name})),
        )


class _MoreNames(Exception):
    """A recovery is about these names, and not all of them are locked. Nothing was touched."""

    def __init__(self, names: frozenset[VolumeName]) -> None:
        self.names = names
        super().__init__(names)


class Volume:
    """A handle on one volume of a storage."""

    def __init__(self, storage: Storage, name: VolumeName) -> None:
        self._storage = storage
        self._name = name

    @property
    def name(self) -> str:
        return self._name.text

    def info(self) -> VolumeInfo:
        """Name, format, sizes and snapshots. Raises VolumeNotFound."""
        picture = self._storage.picture()
        return _volume_info(picture.volume(self._name))

    def layers(self) -> tuple[LayerInfo, ...]:
        """Its layers, current first, then newest to oldest, then other branches. Raises VolumeNotFound or Corrupt."""
        return self._storage.layers(self._name)

    def path(self, snapshot: str | None = None) -> Path:
        """The device to give to QEMU.

        Raises:
            RecoveryNeeded: an operation was cut; a guest could read what is half done, and recovery undo what it wrote.
            VolumeNotFound, SnapshotNotFound.
        """
        volume = self._storage.picture().volume(self._name)
        if volume.unfinished:
            raise RecoveryNeeded(volume.target, self._storage.plan_recovery(self.name).operation)
        layer = volume.snapshot(snapshot) if snapshot else volume.current
        return Path(device_path(self._storage.vg, layer.lv.name))

    def snapshot(self, snapshot: str) -> Plan:
        """Freeze the content under a name. Raises InvalidName, AlreadyExists, NoSpace, NotPossible (raw)."""
        return self._storage.apply(Snapshot(self._name, snapshot))

    def rollback(self, snapshot: str, newer: Newer = Newer.REFUSE, wipe: Wipe | None = None) -> Plan:
        """Return to a snapshot; ``newer`` says what becomes of those that are left behind.

        ``wipe``, of those that are discarded, is as the storage does where it is None.

        Raises:
            NewerSnapshots: with them, where nothing was said.
            SnapshotHasChildren: one that is to be discarded has a branch.
            SnapshotNotFound, NotPossible, NoSpace.
        """
        return self._storage.apply(Rollback(self._name, snapshot, newer, wipe))

    def delete_snapshot(self, snapshot: str, merge: Merge = Merge.AUTO, wipe: Wipe | None = None) -> Plan:
        """Forget a snapshot. ``wipe`` None is as the storage does.

        Raises:
            SnapshotNotFound, SnapshotHasChildren, NoSpace.
        """
        return self._storage.apply(DeleteSnapshot(self._name, snapshot, merge, wipe))

    def template(self) -> Plan:
        """Freeze it for good, so that it can be cloned. Raises InUse, NotPossible (raw)."""
        return self._storage.apply(Template(self._name))

    def clone(self, new: str, snapshot: str | None = None) -> Volume:
        """A new volume that reads through this one, a template, or through a snapshot of it; returns the new volume.

        Raises:
            NotPossible: it is raw, or no template and no snapshot is named.
            SnapshotNotFound, InvalidName, FormatMismatch, AlreadyExists, NoSpace.
        """
        name = parse_volume_name(new)
        self._storage.apply(Clone(name, self._name, snapshot))
        return Volume(self._storage, name)

    def flatten(self) -> Plan:
        """Make a clone a volume of its own. No clone: nothing to do, the plan is empty. Raises NoSpace, InUse."""
        return self._storage.apply(Flatten(self._name))

    def resize(self, size_bytes: int) -> Plan:
        """Grow it, LV and image; what is new reads as zeros.

        To the size it has, the plan is empty; unless the LV is too small for the image, which it then is no more.

        Raises:
            NotPossible: it is larger already.
            InvalidSize, NoSpace.
        """
        return self._storage.apply(Resize(self._name, size_bytes))

    def grow(self, more_bytes: int) -> Plan:
        """Make it larger by so much; asked again, it grows again.

        Raises:
            InvalidSize, NoSpace.
        """
        return self._storage.apply(Grow(self._name, more_bytes))

    def rename(self, new: str) -> Volume:
        """Give it, with all its snapshots, another name of the same format; returns the volume of that name.

        Raises:
            InvalidName, FormatMismatch, AlreadyExists, InUse.
        """
        name = parse_volume_name(new)
        self._storage.apply(Rename(self._name, name))
        return Volume(self._storage, name)

    def copy(self, new: str, snapshot: str | None = None) -> Volume:
        """Copy it, or what it held at a snapshot, into a new volume of the format that the new name says.

        Raises:
            InvalidName, SnapshotNotFound, AlreadyExists, NoSpace, InUse.
        """
        name = parse_volume_name(new)
        self._storage.apply(Copy(self._name, snapshot, name))
        return Volume(self._storage, name)

    def export_file(
        self, path: Path, format: Format = Format.RAW, snapshot: str | None = None, replace: bool = False
    ) -> Plan:
        """Write what it holds, or held at a snapshot, to a new file, which is whole or not there.

        ``replace``: the file may be there already.

        Raises:
            AlreadyExists, SnapshotNotFound, InUse.
        """
        with whole_file(path, replace) as partial:
            return self._storage.apply(Export(self._name, snapshot, str(partial), format))

    def export_stream(self, stream: int, format: StreamFormat = StreamFormat.RAW, snapshot: str | None = None) -> Plan:
        """Send what it holds, or held at a snapshot, down a stream; ``stream`` is a file descriptor.

        Raises:
            OperationCut: whoever reads the stream stopped, among other things.
            SnapshotNotFound, InUse.
        """
        return self._storage.apply(ExportStream(self._name, snapshot, stream, format))

    def convert(self, new: str | None = None, wipe: Wipe | None = None) -> Volume:
        """Give it the other format, and the name that says so; returns the volume of that name.

        ``wipe``, of what it was before, is as the storage does where it is None.

        Raises:
            NotPossible: it has snapshots.
            InvalidName, FormatMismatch, AlreadyExists, NoSpace, InUse.
        """
        name = parse_volume_name(new) if new else in_other_format(self._name)
        self._storage.apply(Convert(self._name, name, wipe))
        return Volume(self._storage, name)

    def activate(self) -> Plan:
        """Make its devices, and those of its snapshots, there and up to date on this host alone."""
        return self._storage.apply(Activate(self._name))

    def deactivate(self) -> Plan:
        """Take them away. Raises InUse, with what holds them."""
        return self._storage.apply(Deactivate(self._name))

    def remove(self, wipe: Wipe | None = None) -> Plan:
        """Remove the volume with all its snapshots. ``wipe`` None is as the storage does. Raises VolumeNotFound."""
        return self._storage.apply(Remove(self._name, wipe))

    def check(self) -> tuple[Finding, ...]:
        """Everything that is wrong with it, as far as it is active."""
        return self._storage.check(self.name)

    def check_activating(self) -> tuple[Finding, ...]:
        """Everything that is wrong with it: what is not active is activated for as long as it takes."""
        return self._storage.check_activating(self.name)

    def recover(self) -> tuple[Plan, ...]:
        """Finish or undo what was cut."""
        return self._storage.recover(self.name)


def raise_together(errors: Sequence[LvmqcowError]) -> None:
    """Raise the first, if there is one, with the others in its notes."""
    for other in errors[1:]:
        errors[0].add_note(str(other))
    if errors:
        raise errors[0]


def _names(request: Request) -> tuple[VolumeName, ...]:
    """Every volume name that a request is about."""
    match request:
        case Rename() | Copy() | Convert():
            return (request.volume, request.new)
        case Clone():
            return (request.volume, request.source)
        case _:
            return (request.volume,)


def _unread(request: Request, picture: VolumeGroup) -> tuple[str, ...]:
    """The LVs that only their header tells of, and that have to be activated for it to be read."""
    volume = picture.find(request.source if isinstance(request, Clone) else request.volume)
    if volume is None or isinstance(request, Create | Import | ImportStream | Remove | Activate | Deactivate):
        return ()
    return tuple(layer.lv.name for layer in volume.layers if not layer.known and not layer.lv.active)


def _unseen(planned: Plan, request: Request, picture: VolumeGroup) -> tuple[str, ...]:
    """The LVs whose header is to be read before the plan opens any image: qemu-img follows it, not our tags.

    And before it removes one and keeps others, for these may read through it whatever their tags say.
    """
    volume = picture.find(planned.volume)
    removes = any(isinstance(step, LvRemove) for step in planned.steps) and not isinstance(request, Remove)
    if volume is None or not (removes or any(opened(step) for step in planned.steps)):
        return ()
    return tuple(layer.lv.name for layer in volume.layers if layer.lv.header is None and not layer.lv.active)


def _volume_info(volume: VolumePicture) -> VolumeInfo:
    current = volume.layer(volume.name.text) or volume.layers[0]
    return VolumeInfo(
        name=volume.name.text,
        format=volume.name.format,
        virtual_size_bytes=current.virtual_size_bytes,
        lv_size_bytes=sum(lv.size_bytes for lv in volume.logical_volumes),
        snapshots=volume.snapshots,
        template=current.lv.template,
        base=volume.bases[0].source if volume.bases else None,
    )


def _readable(volume: VolumePicture, layer: Layer) -> bool:
    """Whether an image can be opened, with all it reads through."""
    return all(read.lv.readable for read in volume.reads(layer))


def _active(volumes: tuple[VolumePicture, ...] | list[VolumePicture]) -> list[str]:
    return [
        layer.lv.name
        for volume in volumes
        if volume.name.format is Format.QCOW2
        for layer in (*volume.layers, *volume.bases)
        if layer.lv.readable
    ]


def _unknown_active(volumes: tuple[VolumePicture, ...]) -> list[str]:
    known = {layer.lv.name for volume in volumes for layer in volume.layers if layer.known}
    return [name for name in _active(volumes) if name not in known]
