"""The public API: a storage is one volume group, a volume is one virtual disk.

    with Storage.open("vg0") as storage:
        volume = storage.create("vm-100-disk-0.qcow2", size_bytes=10 * 1024**3)
        volume.snapshot("before-upgrade")

Every verb is a request: `Storage.apply` takes the volume's lock, lets recovery finish or undo what was cut before,
takes one picture, plans, and runs the plan. `Storage.plan` stops before the last: what it returns is what would run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from lvmqcow.checks import Finding, Severity, structure
from lvmqcow.errors import CommandFailed, Interrupted, LvmqcowError, OperationCut, RecoveryNeeded
from lvmqcow.host import Host, RealHost
from lvmqcow.imports import inspect
from lvmqcow.locks import FlockLocks, Locks
from lvmqcow.lvm import Lvm, LvmProcesses, LvmShell, Trace
from lvmqcow.model import Layer, VolumeGroup
from lvmqcow.model import Volume as VolumePicture
from lvmqcow.names import Format, VolumeName, check_vg_name, device_path, parse_volume_name
from lvmqcow.plans import Plan, plan
from lvmqcow.plans.delete import only_child
from lvmqcow.qemu_img import Progress, QemuImg
from lvmqcow.recovery import plan_recovery
from lvmqcow.requests import (
    Create,
    DeleteSnapshot,
    Merge,
    Remove,
    Request,
    Rollback,
    Snapshot,
)
from lvmqcow.sizing import whole_sectors

__all__ = ["Events", "LayerInfo", "Storage", "Volume", "VolumeInfo"]


@dataclass(frozen=True)
class Events:
    """What a caller may want to hear while an operation runs."""

    recovered: Callable[[Plan], None] = lambda plan: None
    """Before recovery finishes or undoes an operation that was cut."""
    progress: Progress = lambda percent: None
    """During long steps, in percent of the step."""


SILENT: Final = Events()


@dataclass(frozen=True)
class VolumeInfo:
    """A volume as `Storage.volumes` lists it. ``lv_size_bytes`` is that of all its LVs together."""

    name: str
    format: Format
    virtual_size_bytes: int
    lv_size_bytes: int
    snapshots: tuple[str, ...]


@dataclass(frozen=True)
class LayerInfo:
    """One layer of a volume; ``snapshot`` is None for the current one, ``parent`` is an LV name.

    ``allocated_bytes`` is what the image's clusters take; None when the LV is not active, or raw.
    """

    lv: str
    snapshot: str | None
    parent: str | None
    virtual_size_bytes: int
    lv_size_bytes: int
    allocated_bytes: int | None


class Storage:
    """One volume group that lvmqcow manages."""

    def __init__(self, host: Host, locks: Locks, events: Events = SILENT, recover_first: bool = True) -> None:
        """``recover_first=False``: refuse a volume with an unfinished operation, rather than recover it first."""
        self._host = host
        self._locks = locks
        self._events = events
        self._recover_first = recover_first

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
    ) -> Self:
        """A real volume group. ``lvm`` is ``shell`` (one lvm process for all) or ``process`` (one a command).

        Raises:
            UnfitMachine: not root, or lvm2 or qemu-img is missing.
            VolumeGroupNotFound: when it is first looked at.
        """
        check_vg_name(vg)
        runner: Lvm = LvmShell(trace=trace) if lvm == "shell" else LvmProcesses(trace=trace)
        host = RealHost(vg, runner, QemuImg(trace))
        return cls(host, locks or FlockLocks(), events, recover_first)

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
        picture = self._host.observe()
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

    def import_file(self, source: Path, name: str, source_format: Format | None = None) -> Volume:
        """Create a volume with the content of a raw or qcow2 file.

        Raises:
            Corrupt: the file reads through to others, or is nothing that may be opened.
            InvalidName, AlreadyExists, NoSpace.
        """
        request = inspect(source, parse_volume_name(name), source_format)
        self.apply(request)
        return Volume(self, request.volume)

    def plan(self, request: Request) -> Plan:
        """What `apply` would run first: the operation's plan, or, where one was cut, that of its recovery."""
        recovery, picture = self._look(request.volume)
        if recovery.steps:
            self._events.recovered(recovery)
            return recovery
        return self._plan(request, picture)

    def apply(self, request: Request) -> Plan:
        """Carry out a request; returns the plan that ran.

        Raises:
            LvmqcowError: a refusal (nothing was touched), or OperationCut (a step failed; recovery knows the state).
        """
        with self._locks.hold(self.vg, request.volume.text):
            recovery, picture = self._look(request.volume)
            if recovery.steps:
                if not self._recover_first:
                    raise RecoveryNeeded(recovery.target, recovery.operation)
                self._run_recovery(recovery)
                _, picture = self._look(request.volume)
            planned = self._plan(request, picture)
            self._run(planned)
            return planned

    def plan_recovery(self, name: str) -> Plan:
        """What `recover` would run; no steps on a healthy volume."""
        return self._look(parse_volume_name(name))[0]

    def recover(self, name: str | None = None) -> tuple[Plan, ...]:
        """Finish or undo what was cut, on one volume or on all; returns the plans that ran.

        Raises:
            LvmqcowError: one volume could not be recovered. The others were tried all the same; what went wrong
                with more of them is in the error's notes.
        """
        ran = self._recover_all() if name is None else [self._recover(parse_volume_name(name))]
        return tuple(recovery for recovery in ran if recovery.steps)

    def check(self, name: str | None = None) -> tuple[Finding, ...]:
        """Everything that is wrong with one volume or with all, images included (of active LVs).

        Raises:
            VolumeNotFound.
        """
        picture = self._host.observe()
        volumes = picture.volumes if name is None else (picture.volume(parse_volume_name(name)),)
        picture = picture.with_headers(self._host.headers(_active(volumes)))
        return tuple(finding for volume in volumes for finding in self._check(picture.volume(volume.name)))

    def picture(self) -> VolumeGroup:
        """The volume group as it is now, headers of active LVs included."""
        picture = self._host.observe()
        return picture.with_headers(self._host.headers(_active(picture.volumes)))

    def layers(self, name: VolumeName) -> tuple[LayerInfo, ...]:
        """The layers of a volume, current first, then newest to oldest."""
        picture = self._host.observe()
        picture = picture.with_headers(self._host.headers(_active([picture.volume(name)])))
        volume = picture.volume(name)
        return tuple(self._layer_info(volume, layer) for layer in volume.chain)

    def _look(self, name: VolumeName) -> tuple[Plan, VolumeGroup]:
        """The plan that recovers a volume, and the picture with the headers of its active layers."""
        picture = self._host.observe()
        own = [volume for volume in picture.volumes if volume.name == name]
        picture = picture.with_headers(self._host.headers(_active(own)))
        return plan_recovery(picture, name, self._host.measure), picture

    def _plan(self, request: Request, picture: VolumeGroup) -> Plan:
        if isinstance(request, DeleteSnapshot) and request.merge is Merge.AUTO:
            request = replace(request, merge=self._cheaper(request, picture))
        return plan(picture, request, self._host.measure)

    def _cheaper(self, request: DeleteSnapshot, picture: VolumeGroup) -> Merge:
        """Asked of the images where they are active; otherwise the seed's rule has to do."""
        child = only_child(picture, request)
        if not all(layer.lv.active for layer in picture.volume(request.volume).layers):
            return Merge.SEED
        cost = self._host.merge_cost(child.lv.name)
        return Merge.PULL if cost.pull_bytes <= cost.push_bytes else Merge.PUSH

    def _recover(self, name: VolumeName) -> Plan:
        with self._locks.hold(self.vg, name.text):
            recovery, _ = self._look(name)
            if recovery.steps:
                self._run_recovery(recovery)
            return recovery

    def _recover_all(self) -> list[Plan]:
        ran, errors = [], []
        for volume in self._host.observe().volumes:
            try:
                ran.append(self._recover(volume.name))
            except LvmqcowError as error:
                errors.append(error)
        if errors:
            for other in errors[1:]:
                errors[0].add_note(str(other))
            raise errors[0]
        return ran

    def _run_recovery(self, recovery: Plan) -> None:
        self._events.recovered(recovery)
        self._run(recovery)

    def _run(self, planned: Plan) -> None:
        for done, step in enumerate(planned.steps):
            try:
                self._host.run(step, self._events.progress)
            except CommandFailed as error:
                raise _cut(planned, done, error) from error
            except KeyboardInterrupt as error:
                raise _cut(planned, done, Interrupted(step.argv(self.vg)[0])) from error

    def _check(self, volume: VolumePicture) -> list[Finding]:
        found = list(structure(volume))
        sound = all(finding.severity is Severity.LEAKED for finding in found)
        if volume.name.format is Format.QCOW2 and sound:  # else qemu-img would follow a chain that is not one
            for layer in volume.layers:
                if _readable(volume, layer):
                    found += self._check_image(layer)
        return found

    def _check_image(self, layer: Layer) -> list[Finding]:
        path = device_path(self.vg, layer.lv.name)
        result = self._host.check(layer.lv.name)
        if not result.sound:
            text = f"qemu-img check finds {result.corruptions} corruptions"
            return [Finding(layer.lv.name, Severity.DAMAGED, text, f"qemu-img check -f qcow2 {path}")]
        if result.leaked_clusters:
            text = f"{result.leaked_clusters} clusters are leaked"
            return [Finding(layer.lv.name, Severity.LEAKED, text, f"qemu-img check -f qcow2 -r leaks {path}")]
        return []

    def _layer_info(self, volume: VolumePicture, layer: Layer) -> LayerInfo:
        image = volume.name.format is Format.QCOW2 and _readable(volume, layer)
        return LayerInfo(
            lv=layer.lv.name,
            snapshot=layer.snapshot,
            parent=layer.parent,
            virtual_size_bytes=layer.virtual_size_bytes or layer.lv.size_bytes,
            lv_size_bytes=layer.lv.size_bytes,
            allocated_bytes=self._host.check(layer.lv.name).allocated_bytes if image else None,
        )


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
        """Its layers, current first, then newest to oldest. Raises VolumeNotFound or Corrupt."""
        return self._storage.layers(self._name)

    def path(self, snapshot: str | None = None) -> Path:
        """The device to give to QEMU. Raises VolumeNotFound or SnapshotNotFound."""
        volume = self._storage.picture().volume(self._name)
        layer = volume.snapshot(snapshot) if snapshot else volume.current
        return Path(device_path(self._storage.vg, layer.lv.name))

    def snapshot(self, snapshot: str) -> Plan:
        """Freeze the content under a name. Raises InvalidName, AlreadyExists, NoSpace, NotPossible (raw)."""
        return self._storage.apply(Snapshot(self._name, snapshot))

    def rollback(self, snapshot: str) -> Plan:
        """Return to the newest snapshot. Raises SnapshotNotFound, NewerSnapshots."""
        return self._storage.apply(Rollback(self._name, snapshot))

    def delete_snapshot(self, snapshot: str, merge: Merge = Merge.AUTO) -> Plan:
        """Forget a snapshot. Raises SnapshotNotFound, SnapshotHasChildren, NoSpace."""
        return self._storage.apply(DeleteSnapshot(self._name, snapshot, merge))

    def remove(self) -> Plan:
        """Remove the volume with all its snapshots. Raises VolumeNotFound."""
        return self._storage.apply(Remove(self._name))

    def check(self) -> tuple[Finding, ...]:
        """Everything that is wrong with it."""
        return self._storage.check(self.name)

    def recover(self) -> tuple[Plan, ...]:
        """Finish or undo what was cut."""
        return self._storage.recover(self.name)


def _cut(planned: Plan, done: int, error: LvmqcowError) -> OperationCut:
    return OperationCut(planned.operation, planned.target, done, len(planned.steps), error, planned.outcome(done))


def _volume_info(volume: VolumePicture) -> VolumeInfo:
    current = volume.layer(volume.name.text) or volume.layers[0]
    return VolumeInfo(
        name=volume.name.text,
        format=volume.name.format,
        virtual_size_bytes=current.virtual_size_bytes or current.lv.size_bytes,
        lv_size_bytes=sum(lv.size_bytes for lv in volume.logical_volumes),
        snapshots=volume.snapshots,
    )


def _readable(volume: VolumePicture, layer: Layer) -> bool:
    """Whether an image can be opened, with all it reads through."""
    return all(below.lv.active for below in volume.below(layer))


def _active(volumes: tuple[VolumePicture, ...] | list[VolumePicture]) -> list[str]:
    return [
        layer.lv.name
        for volume in volumes
        if volume.name.format is Format.QCOW2
        for layer in volume.layers
        if layer.lv.active
    ]


def _unknown_active(volumes: tuple[VolumePicture, ...]) -> list[str]:
    known = {layer.lv.name for volume in volumes for layer in volume.layers if layer.known}
    return [name for name in _active(volumes) if name not in known]
