"""The public API: a storage is one volume group, a volume is one virtual disk.

    with Storage.open("vg0") as storage:
        volume = storage.create("vm-100-disk-0.qcow2", size_bytes=10 * 1024**3)
        volume.snapshot("before-upgrade")

Every verb is a request: `Storage.apply` takes the volume's lock, lets recovery finish or undo what was cut before,
takes one picture, plans, and runs the plan. `Storage.plan` stops before the last: what it returns is what would run.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from lvmqcow.checks.images import examine
from lvmqcow.checks.structure import Finding, Severity, group_findings
from lvmqcow.core.fitness import ACCEPTABLE, State, activatable
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import Format, Layout, VolumeName, check_vg_name, disk_name, free_disk_number, parse_volume_name
from lvmqcow.core.sizing import whole_sectors
from lvmqcow.core.volume import Volume as VolumePicture
from lvmqcow.core.wiping import Wipe
from lvmqcow.engine.events import Events
from lvmqcow.engine.executor import Executor, active_images
from lvmqcow.engine.host import Host
from lvmqcow.engine.imports import inspect
from lvmqcow.engine.locks import Locks
from lvmqcow.errors import CommandFailed, Locked, NotPossible, VolumeNotFound
from lvmqcow.formats import SourceFormat
from lvmqcow.info import GroupInfo, LayerInfo, VolumeInfo, group_info, layer_info, volume_info
from lvmqcow.lvm.commands import Lvm, LvmProcesses, LvmShell
from lvmqcow.operations import Create, ImportStream, Plan, Request
from lvmqcow.qemu.img import QemuImg
from lvmqcow.qemu.nbd import QemuNbd
from lvmqcow.real_host import RealHost
from lvmqcow.system.callbacks import Trace
from lvmqcow.system.flock import FlockLocks
from lvmqcow.volume import Volume

__all__ = ["Storage"]


SILENT: Final = Events()
_MOST_BUSY: Final = 64  # names that others hold, before we say so: they may hold all there could be


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
        accept: frozenset[State] = frozenset(),
    ) -> None:
        """``recover_first=False``: refuse a volume with an unfinished operation, rather than recover it first.

        ``layout`` is what the first snapshot of a volume is called; None: as others are that are there. A volume keeps
        the layout of the snapshots it has.

        ``wipe`` is what happens to LVs that go, where the request does not say.

        ``accept`` is as in `accepting`.
        """
        self._host = host
        self._executor = Executor(host, locks, events, recover_first, layout, wipe, accept)
        self._accepting = partial(Storage, host, locks, events, recover_first, layout, wipe)

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
        runner: Lvm = kind(trace=trace, waiting=events.waiting, warned=events.warned)
        host = RealHost(vg, runner, QemuImg(trace), QemuNbd(trace), wipe_bytes_per_second)
        return cls(host, locks if locks is not None else FlockLocks(), events, recover_first, layout, wipe)

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

    def accepting(self, *states: State) -> Storage:
        """The same storage, that changes the volume group also in these states (`lvmqcow.core.fitness` has them).

        It is for one call: ``storage.accepting(State.OLD_METADATA).create(…)``. The storage itself accepts nothing.

        Raises:
            NotPossible: no consent helps in one of these states.
        """
        refused = sorted(set(states) - ACCEPTABLE)
        if refused:
            reason = f"it cannot be changed in the state {', '.join(refused)}, accepted or not"
            raise NotPossible(self.vg, reason, f"what can be accepted: {', '.join(sorted(ACCEPTABLE))}")
        return self._accepting(frozenset(states))

    def volumes(self) -> tuple[VolumeInfo, ...]:
        """All volumes, by name; one report, nothing is activated."""
        return self.listing()[1]

    def listing(self) -> tuple[GroupInfo, tuple[VolumeInfo, ...]]:
        """The volume group, and all of its volumes, by name; one report, nothing is activated."""
        picture = self._executor.observe()
        picture = picture.with_headers(self._executor.readable(_unknown_active(picture.volumes)))
        return group_info(picture), tuple(volume_info(volume) for volume in picture.volumes if volume.layers)

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
                    held.enter_context(self._executor.locked(both))
                except Locked:
                    busy.add(both[0].text)
                    if len(busy) > _MOST_BUSY:
                        raise
                    continue
                if number == free_disk_number(vmid, self._taken() | busy):
                    name = disk_name(vmid, number, format)
                    return self._executor.apply_held(Create(name, size_bytes), frozenset(both))

    def free_name(self, vmid: int, format: Format = Format.QCOW2) -> VolumeName:
        """The name that `create_disk` would try now. Raises InvalidName."""
        return disk_name(vmid, free_disk_number(vmid, self._taken()), format)

    def import_file(self, source: Path, name: str, source_format: SourceFormat | None = None) -> Volume:
        """Create a volume with the content of a file.

        Without ``source_format`` it is a qcow2 image if its name ends in ``.qcow2``, and raw bytes if it begins like
        nothing else that is known.

        Raises:
            SourceMismatch: it is not what was said, or than its name says; or it has to be said what it is.
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
        return self._executor.plan(request)

    def apply(self, request: Request) -> Plan:
        """Carry out a request; returns the plan that ran.

        Raises:
            LvmqcowError: a refusal (nothing was touched), or OperationCut (a step failed; recovery knows the state).
        """
        return self._executor.apply(request)

    def plan_recovery(self, name: str) -> Plan:
        """What `recover` would run first; no steps on a healthy volume."""
        return self._executor.plan_recovery(parse_volume_name(name))

    def recover(self, name: str | None = None) -> tuple[Plan, ...]:
        """Finish or undo what was cut, on one volume or on all; returns the plans that ran.

        Raises:
            LvmqcowError: one volume could not be recovered. The others were tried all the same; what went wrong
                with more of them is in the error's notes.
        """
        return self._executor.recover(parse_volume_name(name) if name is not None else None)

    def check(self, name: str | None = None) -> tuple[Finding, ...]:
        """Everything that is wrong with one volume or with the whole volume group; nothing is activated for it.

        What was not active, so not looked at, is a finding (``unchecked``); so is every LV of others (``unmanaged``).

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

    def picture(self, *names: VolumeName) -> VolumeGroup:
        """The volume group as it is now, with the headers of active LVs: of others than these as far as possible.

        Raises:
            CommandFailed: a header of one of these cannot be read.
        """
        return self._executor.seen(*names)

    def layers(self, name: VolumeName) -> tuple[LayerInfo, ...]:
        """The layers of a volume, current first, then newest to oldest; then those of its other branches."""
        volume = self.picture(name).volume(name)
        return tuple(layer_info(self._host, volume, layer) for layer in (*volume.chain, *volume.branches))

    def _taken(self) -> frozenset[str]:
        """Every text in the volume group that could name a volume: LV names and tags."""
        lvs = self._executor.observe().logical_volumes
        return frozenset(text for lv in lvs for text in (lv.name, *lv.tags))

    def _wanted(self, name: str | None) -> tuple[tuple[Finding, ...], tuple[VolumeName, ...]]:
        """What a check of the one volume, or of all, is to look at; and what there is to say of the rest."""
        picture = self._executor.observe()
        if name is None:
            return group_findings(picture), tuple(volume.name for volume in picture.volumes)
        wanted = parse_volume_name(name)
        one = picture.find(wanted)
        if one is None and not picture.strays_of(wanted):
            raise VolumeNotFound(self.vg, name)
        found = one.name if one else wanted
        return group_findings(picture, found), (found,)

    def _check_activating(self, name: VolumeName) -> tuple[Finding, ...]:
        idle: tuple[str, ...] = ()
        try:
            with self._executor.locked([name]):
                picture = self._executor.observe()
                volume = picture.find(name)
                if volume and volume.name.format is Format.QCOW2:
                    idle = tuple(layer.lv.name for layer in volume.layers if not layer.lv.active)
                if not activatable(picture):
                    idle = ()
                with self._executor.activated(idle):
                    return examine(self._host, [name])
        except (Locked, CommandFailed) as error:
            advice = f"then: lvmqcow check --activate {self.vg}/{name}"
            return (Finding(name.text, Severity.UNCHECKED, f"it could not be looked at: {error}", advice),)


def _unknown_active(volumes: tuple[VolumePicture, ...]) -> list[str]:
    known = {layer.lv.name for volume in volumes for layer in volume.layers if layer.known}
    return [name for name in active_images(volumes) if name not in known]
