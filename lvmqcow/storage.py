"""The public API. A storage is one volume group; a volume is one virtual disk.

    with Storage.open("vg0") as storage:
        volume = storage.create("vm-100-disk-0.qcow2", size_bytes=10 * 1024**3)
        volume.snapshot("before-upgrade")

Every verb makes a request. `Storage.apply` takes the lock of the volume, recovers operations that were cut before,
takes a picture, plans the request, and runs the plan. `Storage.plan` returns the plan without running it.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from lvmqcow.checks.run_checks import check, check_activating
from lvmqcow.checks.structure import Finding
from lvmqcow.core.fitness import ACCEPTABLE, State
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
from lvmqcow.engine.planners import PLANNERS, Planners
from lvmqcow.errors import Locked, NotPossible
from lvmqcow.formats import SourceFormat
from lvmqcow.info import GroupInfo, LayerInfo, VolumeInfo, group_info, layer_infos, volume_info
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
_MOST_BUSY: Final = 64  # create_disk raises Locked when other processes hold the locks of more names than this


class Storage:
    """One volume group that lvmqcow manages. Use it from one thread only; open another one for each thread."""

    def __init__(
        self,
        host: Host,
        locks: Locks,
        events: Events = SILENT,
        recover_first: bool = True,
        layout: Layout | None = None,
        wipe: Wipe = Wipe.NONE,
        accept: frozenset[State] = frozenset(),
        planners: Planners = PLANNERS,
    ) -> None:
        """Use a host and locks of your own. `open` uses LVM, QEMU and file locks.

        ``recover_first=False``: refuse a volume with an unfinished operation (RecoveryNeeded) instead of recovering it.
        ``layout`` names the LV of a volume's first snapshot; None: as the snapshots in the volume group are named. A
        volume keeps the layout of the snapshots that it has. ``wipe`` says how LVs are wiped before their removal if
        the request does not say. ``accept`` are the states of `accepting`. ``planners`` are for test harnesses.
        """
        self._host = host
        self._executor = Executor(host, locks, events, recover_first, layout, wipe, accept, planners)
        self._accepting = partial(Storage, host, locks, events, recover_first, layout, wipe, planners=planners)

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
        """Open a volume group of this machine.

        ``lvm`` is ``shell`` (one lvm process for all commands) or ``process`` (one process for each command).
        ``wipe_bytes_per_second`` limits how fast LVs are wiped; None is no limit. `__init__` explains the others.

        A missing volume group is only found by the first method that looks at it (VolumeGroupNotFound).

        Raises:
            InvalidName: ``vg`` cannot be the name of a volume group.
            UnfitMachine: the caller is not root, or lvm2 or qemu-img is missing.
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
        """End the processes that the storage started."""
        self._host.close()

    @property
    def vg(self) -> str:
        return self._host.vg

    def accepting(self, *states: State) -> Storage:
        """Return a storage that also changes a volume group in these states (`lvmqcow.core.fitness`).

        Use it for one call: ``storage.accepting(State.OLD_METADATA).create(…)``. This storage still accepts no state.

        Raises:
            NotPossible: one of the states refuses every change, with or without consent.
        """
        refused = sorted(set(states) - ACCEPTABLE)
        if refused:
            reason = f"nothing can be changed in the state {', '.join(refused)}, and no consent helps"
            raise NotPossible(self.vg, reason, f"states that can be accepted: {', '.join(sorted(ACCEPTABLE))}")
        return self._accepting(accept=frozenset(states))

    def volumes(self) -> tuple[VolumeInfo, ...]:
        """Return all volumes, sorted by name. This takes one LVM report and activates nothing."""
        return self.listing()[1]

    def listing(self) -> tuple[GroupInfo, tuple[VolumeInfo, ...]]:
        """Return the volume group and all its volumes, sorted by name. This takes one LVM report, activates nothing."""
        picture = self._executor.observe()
        picture = picture.with_headers(self._executor.readable(_unknown_active(picture.volumes)))
        return group_info(picture), tuple(volume_info(volume) for volume in picture.volumes if volume.layers)

    def volume(self, name: str) -> Volume:
        """Return a handle on one volume, which need not exist. Raises InvalidName."""
        return Volume(self._executor, parse_volume_name(name))

    def create(self, name: str, size_bytes: int, format: Format | None = None) -> Volume:
        """Create a volume of ``size_bytes`` that reads as zeros. The suffix of the name is the format.

        ``format`` need not be given; if it is given, it must agree with the name.

        Raises:
            InvalidName, FormatMismatch, InvalidSize, AlreadyExists, NoSpace.
        """
        volume = parse_volume_name(name, format)
        self.apply(Create(volume, whole_sectors(size_bytes)))
        return Volume(self._executor, volume)

    def create_disk(self, vmid: int, size_bytes: int, format: Format = Format.QCOW2) -> Volume:
        """Create a volume under the lowest free disk name of a machine. Other processes may do the same at the time.

        Raises:
            InvalidName, InvalidSize, NoSpace.
        """
        return Volume(self._executor, self.allocate(vmid, size_bytes, format).volume)

    def allocate(self, vmid: int, size_bytes: int, format: Format = Format.QCOW2) -> Plan:
        """Create a volume as `create_disk` does; returns the plan that ran, which names the volume.

        The names in both formats are locked, so no number is used twice. A number whose lock another process holds is
        skipped. After the lock is taken, a new picture shows whether the number is still free.
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
        """Return the name that `create_disk` would try now. Raises InvalidName."""
        return disk_name(vmid, free_disk_number(vmid, self._taken()), format)

    def import_file(self, source: Path, name: str, source_format: SourceFormat | None = None) -> Volume:
        """Create a volume with the content of a file.

        Without ``source_format``, a file whose name ends in ``.qcow2`` is a qcow2 image, and a file that looks like no
        known format is raw.

        Raises:
            SourceMismatch: the content is not of the format that was declared or that the name says; or the content
                looks like a known format, and no format was declared.
            Corrupt: the image refers to other files, or is damaged.
            SourceNotFound, InvalidName, InvalidSize, AlreadyExists, NoSpace, NotPossible.
        """
        request = inspect(source, parse_volume_name(name), source_format)
        self.apply(request)
        return Volume(self._executor, request.volume)

    def import_stream(self, stream: int, name: str, size_bytes: int) -> Volume:
        """Create a volume with the content of a stream of ``size_bytes`` raw bytes; ``stream`` is a file descriptor.

        Raises:
            OperationCut: the stream is shorter or longer than ``size_bytes``, or a step failed.
            InvalidName, InvalidSize, AlreadyExists, NoSpace.
        """
        volume = parse_volume_name(name)
        self.apply(ImportStream(volume, size_bytes, stream))
        return Volume(self._executor, volume)

    def plan(self, request: Request) -> Plan:
        """Return the plan that `apply` would run first: a recovery if an operation was cut, else the request's plan.

        Raises:
            LvmqcowError: the request is refused. Locked is only raised if a header has to be read from an inactive LV.
        """
        return self._executor.plan(request)

    def apply(self, request: Request) -> Plan:
        """Carry out a request; returns the plan that ran.

        Raises:
            OperationCut: a step failed. Recovery finishes or undoes the operation.
            LvmqcowError: the request was refused, and nothing was changed.
        """
        return self._executor.apply(request)

    def plan_recovery(self, name: str) -> Plan:
        """Return the plan that `recover` would run first. On a healthy volume the plan has no steps."""
        return self._executor.plan_recovery(parse_volume_name(name))

    def recover(self, name: str | None = None) -> tuple[Plan, ...]:
        """Finish or undo operations that were cut, on one volume or on all; returns the plans that ran.

        Raises:
            LvmqcowError: a volume could not be recovered. The other volumes were recovered all the same. If several
                volumes failed, the notes of the error have the other errors.
        """
        return self._executor.recover(parse_volume_name(name) if name is not None else None)

    def check(self, name: str | None = None) -> tuple[Finding, ...]:
        """Check one volume or the whole volume group; returns the findings. This activates and changes nothing.

        Each volume with inactive LVs gives a finding (``unchecked``), and so does each LV of no volume (``unmanaged``).

        Raises:
            VolumeNotFound.
        """
        return check(self._executor, name)

    def check_activating(self, name: str | None = None) -> tuple[Finding, ...]:
        """Check as `check` does, and activate each volume under its lock while it is checked.

        Raises:
            VolumeNotFound.
        """
        return check_activating(self._executor, name)

    def picture(self, *names: VolumeName) -> VolumeGroup:
        """Take a picture of the volume group, with the headers of active LVs.

        Headers of other volumes than ``names`` are left out if they cannot be read.

        Raises:
            CommandFailed: a header of one of the volumes ``names`` cannot be read.
        """
        return self._executor.seen(*names)

    def layers(self, name: VolumeName) -> tuple[LayerInfo, ...]:
        """Return the layers of a volume: the current one, the snapshots below it from newest to oldest, then branches.

        Raises:
            VolumeNotFound, Corrupt.
        """
        return layer_infos(self._executor, name)

    def _taken(self) -> frozenset[str]:
        """Return all LV names and tags in the volume group: any of them may mention a disk name."""
        lvs = self._executor.observe().logical_volumes
        return frozenset(text for lv in lvs for text in (lv.name, *lv.tags))


def _unknown_active(volumes: tuple[VolumePicture, ...]) -> list[str]:
    known = {layer.lv.name for volume in volumes for layer in volume.layers if layer.known}
    return [name for name in active_images(volumes) if name not in known]
