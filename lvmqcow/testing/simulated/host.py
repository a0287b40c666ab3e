"""A volume group in memory: `SimHost` models what each step does to LVs, tags, headers and data.

It is a host like `RealHost`: planners, recovery and the public API run on it unchanged, thousands of steps a second,
on any machine. It refuses what lvm2 and qemu-img refuse, and it is not kind: a new LV holds the bytes of whoever had
it before, and what was discarded is still there. Tests run the same plans on both hosts and compare
(``tests/real/test_agreement.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.holder import Holder
from lvmqcow.core.images import FileCheck, ImageCheck, MergeCost
from lvmqcow.core.lv import LogicalVolume, Stray, StrayKind
from lvmqcow.core.names import Format
from lvmqcow.core.qcow2 import OURS, Header, ImageOptions
from lvmqcow.core.sizing import extents, whole_extents
from lvmqcow.errors import CommandFailed
from lvmqcow.formats import SourceFormat
from lvmqcow.steps import (
    DeviceClear,
    DeviceRemove,
    DeviceStep,
    ImageCopy,
    ImageExport,
    ImageReceive,
    ImageSend,
    ImageStep,
    ImageWrite,
    LinkRemove,
    LvActivate,
    LvAutoactivation,
    LvCreate,
    LvDeactivate,
    LvDiscardRange,
    LvExtend,
    LvmStep,
    LvPermission,
    LvRefresh,
    LvRemove,
    LvRename,
    LvTag,
    LvZero,
    LvZeroRange,
    NodeRemove,
    Permission,
    QcowCommit,
    QcowCreate,
    QcowRebase,
    QcowRelink,
    QcowRepairLeaks,
    QcowResize,
    RangeStep,
    Step,
    StreamStep,
)
from lvmqcow.system.callbacks import Progress
from lvmqcow.testing.content import BLOCK_BYTES, Blocks, Content, GuestWrites, Write

__all__ = ["SimHost", "fully_allocated_bytes", "stream_path"]

_STALE: Final = 0xAA


@dataclass(frozen=True)
class _Raw:
    """Plain bytes: of a raw volume, or what an unformatted LV was left with."""

    blocks: Blocks = field(hash=False)
    rest: int = 0
    """The byte in every block that is not listed."""


@dataclass(frozen=True)
class _Qcow:
    """A qcow2 image: its header, and the blocks it has of its own."""

    virtual_size_bytes: int
    backing: str | None
    blocks: Blocks = field(default_factory=dict, hash=False)
    leaked_clusters: int = 0
    options: ImageOptions = OURS
    scattered_bytes: int = 0
    """How much more than the fully allocated image it takes: holes that no request fits into."""


@dataclass(frozen=True)
class _Lv:
    uuid: str
    size_bytes: int
    tags: frozenset[str]
    active: bool
    image: _Raw | _Qcow
    device_bytes: int
    """How large its device is while it is active: not as large as it is itself after an lvextend that was cut."""
    holders: tuple[Holder, ...] = ()
    writable: bool = True
    autoactivated: bool = False
    suspended: bool = False
    """Until LVM changes it once more: then whoever reads it would wait for ever."""
    preloaded_bytes: int | None = None
    """How large its device would be with the table that waits in it; that comes into force when LVM resumes it."""
    wrong_in_dev: bool = False
    """Its name in ``/dev`` is not what it should be."""
    discarded_bytes: int = 0
    """How much of it was discarded, from its start: what a device reads there is its own affair."""

    @property
    def wiped(self) -> bool:
        """Whether nothing of its content can be read any more, as far as that can be asked for."""
        if self.discarded_bytes == self.size_bytes or isinstance(self.image, _Qcow):
            return self.discarded_bytes == self.size_bytes
        listed = len(self.image.blocks) == self.size_bytes // BLOCK_BYTES
        return not any(self.image.blocks.values()) and (listed or not self.image.rest)

    def resumed(self) -> _Lv:
        """As after LVM suspended and resumed its device, with whatever table waits in it."""
        if self.preloaded_bytes is None:
            return replace(self, suspended=False)
        return replace(self, device_bytes=self.preloaded_bytes, preloaded_bytes=None, suspended=True)


class SimHost:
    """One volume group in memory."""

    def __init__(
        self,
        vg: str = "sim",
        size_bytes: int = 4 * 1024**3,
        extent_size_bytes: int = 4 * 1024**2,
        files: Mapping[str, Content] | None = None,
    ) -> None:
        """``files`` are the files that imports read, by path; a stream is the file of its `stream_path`."""
        self._vg = vg
        self._extent_size_bytes = extent_size_bytes
        self._extents = size_bytes // extent_size_bytes
        self._files = dict(files or {})
        self._lvs: dict[str, _Lv] = {}
        self._made = 0
        self._partial: frozenset[str] = frozenset()
        self._group = VolumeGroup(vg, "sim-vg", extent_size_bytes, 0, ())
        self._history: tuple[Step | GuestWrites, ...] = ()
        self._freed: tuple[str, ...] = ()
        self._failure: str | None = None
        self._strays: dict[str, StrayKind] = {}

    @property
    def freed_unwiped(self) -> tuple[str, ...]:
        """The LVs whose extents somebody else can get, and find their content there; by the names they had at last."""
        return self._freed

    @property
    def vg(self) -> str:
        return self._vg

    @property
    def key(self) -> Hashable:
        """All that is there. Two hosts of one volume group with the same key behave the same, whatever was done."""
        strays = frozenset(self._strays.items())
        return frozenset(self._lvs.items()), self._partial, self._freed, self._group, strays

    @property
    def history(self) -> tuple[Step | GuestWrites, ...]:
        """All that was done to it, in order. Done to an empty volume group, a real one too, it gives the same state."""
        return self._history

    def copy(self) -> SimHost:
        """The same state again, to go another way from here. LVs are immutable, so it costs little."""
        twin = SimHost(self._vg, self._extents * self._extent_size_bytes, self._extent_size_bytes, self._files)
        twin._lvs = dict(self._lvs)
        twin._made = self._made
        twin._partial = self._partial
        twin._group = self._group
        twin._freed = self._freed
        twin._history = self._history
        twin._strays = dict(self._strays)
        return twin

    def observe(self) -> VolumeGroup:
        used = sum(extents(lv.size_bytes, self._extent_size_bytes) for lv in self._lvs.values())
        lvs = (
            LogicalVolume(
                *(name, lv.uuid, lv.size_bytes, lv.tags, lv.active),
                partial=lv.uuid in self._partial,
                writable=lv.writable,
                autoactivated=lv.autoactivated,
                suspended=lv.active and lv.suspended,
                has_inactive_table=lv.active and lv.preloaded_bytes is not None,
                wrong_in_dev=lv.wrong_in_dev,
            )
            for name, lv in sorted(self._lvs.items())
        )
        kept_back = sum(each.free_extents for each in self._group.physical_volumes if not each.allocatable)
        return replace(
            self._group,
            free_extents=max(0, self._extents - used - kept_back),
            logical_volumes=tuple(lvs),
            missing_physical_volumes=1 if self._partial else 0,
            strays=tuple(Stray(name, kind) for name, kind in sorted(self._strays.items())),
        )

    def headers(self, lv_names: Iterable[str]) -> Mapping[str, Header]:
        images = {name: self._open(name, ("read", name)).image for name in lv_names}
        return {name: _header(image) for name, image in images.items() if isinstance(image, _Qcow)}

    def measure(self, virtual_size_bytes: int, options: ImageOptions = OURS) -> int:
        return fully_allocated_bytes(virtual_size_bytes, options)

    def merge_cost(self, child_lv: str) -> MergeCost:
        argv = ("merge cost", child_lv)
        self._view(child_lv, argv)
        child = self._qcow(child_lv, argv)
        below = self._qcow(child.backing, argv).blocks if child.backing else {}
        only_below = sum(block not in child.blocks for block in below)
        return MergeCost(pull_bytes=only_below * BLOCK_BYTES, push_bytes=len(child.blocks) * BLOCK_BYTES)

    def check(self, lv_name: str) -> ImageCheck:
        argv = ("check", lv_name)
        image = self._qcow(lv_name, argv)
        self._view(lv_name, argv)
        cluster_bytes = image.options.cluster_size_bytes
        clusters = {block * BLOCK_BYTES // cluster_bytes for block in image.blocks}
        allocated_bytes = len(clusters) * cluster_bytes
        data_bytes = whole_extents(image.virtual_size_bytes, cluster_bytes)
        metadata_bytes = fully_allocated_bytes(image.virtual_size_bytes, image.options) - data_bytes
        beyond_bytes = metadata_bytes + allocated_bytes - self._lvs[lv_name].device_bytes
        return ImageCheck(
            corruptions=max(0, extents(beyond_bytes, cluster_bytes)),
            leaked_clusters=image.leaked_clusters,
            allocated_bytes=allocated_bytes,
        )

    def check_file(self, path: str, source_format: SourceFormat) -> FileCheck:
        return FileCheck(self._files[path].size_bytes, corruptions=0)  # a simulated file is whole

    def holders(self, lv_name: str) -> tuple[Holder, ...]:
        return self._lvs[lv_name].holders if lv_name in self._lvs else ()

    def hold(self, lv_name: str, *holders: Holder) -> None:
        """From now on these use an LV, and LVM will not let go of it; without any, nothing does."""
        self._lvs[lv_name] = replace(self._open(lv_name, ("hold", lv_name)), holders=holders)

    def lay_out(self, lv_name: str, options: ImageOptions) -> None:
        """From now on an image has these options, as if another tool had made it; what it holds stays."""
        self._put(lv_name, replace(self._qcow(lv_name, ("lay out", lv_name)), options=options))

    def suspend(self, lv_name: str) -> None:
        """From now on whoever reads from an LV would wait for ever: as if an lvm had been killed that changed it."""
        self._lvs[lv_name] = replace(self._open(lv_name, ("suspend", lv_name)), suspended=True)

    def preload(self, lv_name: str, size_bytes: int) -> None:
        """From now on a table of that size waits in the device of an LV: an lvm was killed before its commit."""
        self._lvs[lv_name] = replace(self._open(lv_name, ("preload", lv_name)), preloaded_bytes=size_bytes)

    def misplace(self, lv_name: str) -> None:
        """From now on the name of an LV in ``/dev`` is wrong: missing if it is active, and there if it is not."""
        self._lvs[lv_name] = replace(self._find(lv_name, ("misplace", lv_name)), wrong_in_dev=True)

    def stray(self, lv_name: str, kind: StrayKind) -> None:
        """From now on something is in ``/dev`` under a name that no LV has."""
        self._strays[lv_name] = kind

    def reboot(self) -> None:
        """The machine starts again: nothing is active, and ``/dev`` is new."""
        for name, lv in self._lvs.items():
            self._lvs[name] = replace(lv, active=False, suspended=False, preloaded_bytes=None, wrong_in_dev=False)
        self._strays.clear()

    def fail_next(self, said: str) -> None:
        """The next step fails and has done nothing; ``said`` is what the command writes to stderr."""
        self._failure = said

    def scatter(self, lv_name: str, more_bytes: int) -> None:
        """From now on an image takes so much more than `measure` says, as if a guest had discarded and rewritten."""
        self._put(lv_name, replace(self._qcow(lv_name, ("scatter", lv_name)), scattered_bytes=more_bytes))

    def lose_physical_volume(self, *lv_names: str) -> None:
        """From now on a physical volume is missing, and these LVs had a part of themselves on it."""
        self._partial = frozenset(self._lvs[name].uuid for name in lv_names)

    def regroup(self, change: Callable[[VolumeGroup], VolumeGroup]) -> None:
        """From now on the volume group itself is as ``change`` makes it: exported, another host's, with a limit of LVs.

        What it says of logical volumes and of space goes for nothing: that is what is in it.
        """
        self._group = change(self._group)

    def exported(self, path: str) -> Content:
        """What an export left in a file."""
        return self._files[path]

    def close(self) -> None:
        pass

    def require_fit(self, steps: Sequence[Step]) -> None:
        pass

    def run(self, step: Step, progress: Progress | None = None) -> None:
        argv = step.argv(self._vg)
        if self._failure is not None:
            said, self._failure = self._failure, None
            raise CommandFailed(argv, 1, said)
        if isinstance(step, LvmStep):
            self._run_lvm(step, argv)
        elif isinstance(step, DeviceStep):
            self._run_device(step, argv)
        else:
            self._run_image(step, argv)
        self._history = (*self._history, step)

    def _run_lvm(self, step: LvmStep, argv: tuple[str, ...]) -> None:
        self._require_changeable(argv)
        match step:
            case LvCreate():
                self._create(step, argv)
            case LvRename():
                if step.to in self._lvs:
                    raise CommandFailed(argv, 5, f'Logical Volume "{step.to}" already exists')
                self._take_name(step.to, argv)
                self._lvs[step.to] = self._find(step.lv, argv).resumed()
                del self._lvs[step.lv]
            case LvRemove():
                for name in step.lvs:
                    self._freed += () if self._unused(name, argv).wiped else (name,)
                    del self._lvs[name]
            case LvExtend():
                self._extend(step, argv)
            case LvTag():
                for name in step.lvs:
                    lv = self._find(name, argv)
                    self._lvs[name] = replace(lv, tags=(lv.tags | set(step.add)) - set(step.drop))
            case LvPermission():
                lv, writable = self._find(step.lv, argv), step.permission is Permission.WRITE
                if lv.writable == writable:
                    raise CommandFailed(argv, 5, f'Logical volume "{step.lv}" is already {step.permission}.')
                self._lvs[step.lv] = replace(lv.resumed(), writable=writable)
            case LvActivate():
                for name in step.lvs:
                    lv = self._find(name, argv)
                    device_bytes = lv.device_bytes if lv.active else lv.size_bytes
                    self._lvs[name] = replace(lv, active=True, device_bytes=device_bytes)
            case LvDeactivate():
                for name in step.lvs:
                    lv = replace(self._unused(name, argv), active=False, suspended=False)
                    self._lvs[name] = replace(lv, preloaded_bytes=None, wrong_in_dev=lv.wrong_in_dev and not lv.active)
            case LvAutoactivation():
                for name in step.lvs:
                    self._lvs[name] = replace(self._find(name, argv), autoactivated=step.at_boot)
            case LvRefresh():
                for name in step.lvs:
                    lv = self._find(name, argv)
                    if lv.preloaded_bytes is not None:
                        self._lvs[name] = lv.resumed()
                    else:
                        wrong_in_dev = lv.wrong_in_dev and not lv.active
                        right = replace(lv, device_bytes=lv.size_bytes, suspended=False, wrong_in_dev=wrong_in_dev)
                        self._lvs[name] = right
            case _:
                assert_never(step)

    def _run_device(self, step: DeviceStep, argv: tuple[str, ...]) -> None:
        match step:
            case NodeRemove():
                for name in step.lvs:
                    if self._strays.get(name) is StrayKind.NODE:
                        self._strays[name] = StrayKind.LINK
            case DeviceClear():
                self._lvs[step.lv] = replace(self._find(step.lv, argv), preloaded_bytes=None)
            case DeviceRemove():
                if self._strays.get(step.lv) is not StrayKind.DEVICE:
                    raise CommandFailed(argv, 1, f"Device {step.lv} not found")
                self._strays[step.lv] = StrayKind.LINK
            case LinkRemove():
                for name in step.lvs:
                    if self._strays.get(name) is StrayKind.LINK:
                        del self._strays[name]
                    elif (idle := self._lvs.get(name)) and not idle.active:
                        self._lvs[name] = replace(idle, wrong_in_dev=False)
            case _:
                assert_never(step)

    def guest_write(self, lv_name: str, writes: Iterable[Write]) -> None:
        """Write as a guest does, through the open image."""
        lv, done = self._open(lv_name, ("guest write", lv_name)), tuple(writes)
        blocks = dict(lv.image.blocks)
        for write in done:
            blocks.update(write.blocks)
        self._put(lv_name, replace(lv.image, blocks=blocks))
        self._history = (*self._history, GuestWrites(lv_name, done))

    def read(self, lv_name: str) -> Content:
        """What a guest reads from an image, backing images included."""
        lv = self._open(lv_name, ("read", lv_name))
        if isinstance(lv.image, _Raw):
            rest = dict.fromkeys(range(lv.size_bytes // BLOCK_BYTES), lv.image.rest) if lv.image.rest else {}
            return Content(lv.size_bytes, {**rest, **lv.image.blocks})
        return Content(lv.image.virtual_size_bytes, self._view(lv_name, ("read", lv_name)))

    def _create(self, step: LvCreate, argv: tuple[str, ...]) -> None:
        if step.lv in self._lvs:
            raise CommandFailed(argv, 5, f'Logical Volume "{step.lv}" already exists in volume group "{self._vg}"')
        if self._group.max_logical_volumes and len(self._lvs) >= self._group.max_logical_volumes:
            said = f"Maximum number of logical volumes ({self._group.max_logical_volumes}) reached"
            raise CommandFailed(argv, 5, f"{said} in volume group {self._vg}")
        self._require_extents(step.size_bytes, argv)
        self._take_name(step.lv, argv)
        self._made += 1
        size_bytes = whole_extents(step.size_bytes, self._extent_size_bytes)
        wiped = _Raw({0: 0}, rest=_STALE)
        self._lvs[step.lv] = _Lv(f"sim-{self._made}", size_bytes, frozenset(step.tags), True, wiped, size_bytes)

    def _extend(self, step: LvExtend, argv: tuple[str, ...]) -> None:
        lv = self._find(step.lv, argv)
        if step.size_bytes <= lv.size_bytes:
            raise CommandFailed(argv, 5, "New size is not larger than existing size")
        self._require_extents(step.size_bytes - lv.size_bytes, argv)
        size_bytes = whole_extents(step.size_bytes, self._extent_size_bytes)
        image = lv.image
        if isinstance(image, _Raw):
            added = range(lv.size_bytes // BLOCK_BYTES, size_bytes // BLOCK_BYTES)
            image = replace(image, blocks={**image.blocks, **dict.fromkeys(added, _STALE)})
        grown = replace(lv, size_bytes=size_bytes, image=image, device_bytes=size_bytes)
        self._lvs[step.lv] = replace(grown, suspended=False, preloaded_bytes=None)

    def _take_name(self, lv_name: str, argv: tuple[str, ...]) -> None:
        """The new LV's name in ``/dev`` takes the place of a node or a link, and not of a device."""
        if self._strays.pop(lv_name, None) in (StrayKind.DEVICE, StrayKind.OTHER):
            raise CommandFailed(argv, 5, f"device-mapper: create ioctl on {lv_name} failed: Device or resource busy")

    def _run_image(self, step: LvZero | RangeStep | ImageStep | StreamStep, argv: tuple[str, ...]) -> None:
        match step:
            case LvZero():
                self._open(step.lv, argv)
                self._put(step.lv, _Raw({}))
            case LvZeroRange() | LvDiscardRange():
                self._clear_range(step, argv)
            case QcowCreate():
                self._open(step.lv, argv)
                self._put(step.lv, _Qcow(step.virtual_size_bytes, step.backing))
            case QcowCommit():
                self._commit(step, argv)
            case QcowRebase():
                self._rebase(step, argv)
            case QcowRelink():
                self._put(step.lv, replace(self._qcow(step.lv, argv), backing=step.backing))
            case QcowRepairLeaks():
                self._view(step.lv, argv)
                self._put(step.lv, replace(self._qcow(step.lv, argv), leaked_clusters=0))
            case QcowResize():
                self._view(step.lv, argv)
                qcow = self._qcow(step.lv, argv)
                if step.virtual_size_bytes < qcow.virtual_size_bytes:
                    raise CommandFailed(argv, 1, "Use the --shrink option to perform a shrink operation.")
                self._put(step.lv, replace(qcow, virtual_size_bytes=step.virtual_size_bytes))
            case ImageWrite():
                self._fill(step, self._files[step.source], argv)
            case ImageCopy():
                if isinstance(self._open(step.source_lv, argv).image, _Qcow) != (step.source_format is Format.QCOW2):
                    raise CommandFailed(argv, 1, f"{step.source_lv} is not {step.source_format}")
                self._fill(step, self.read(step.source_lv), argv)
            case ImageReceive():
                source = self._files[stream_path(step.stream)]
                if source.size_bytes != step.size_bytes:
                    raise CommandFailed(argv, 1, f"the stream has {source.size_bytes} bytes, not {step.size_bytes}")
                self._fill(step, source, argv)
            case ImageExport():
                self._files[step.path] = self.read(step.lv)
            case ImageSend():
                self._files[stream_path(step.stream)] = self.read(step.lv)
            case _:
                assert_never(step)

    def _fill(self, step: ImageWrite | ImageCopy | ImageReceive, source: Content, argv: tuple[str, ...]) -> None:
        """Zeros are not written: the target is believed to read as zeros."""
        lv = self._open(step.lv, argv)
        if isinstance(lv.image, _Qcow) != (step.format is Format.QCOW2):
            raise CommandFailed(argv, 1, f"{step.lv} is not {step.format}")
        if source.size_bytes > (lv.image.virtual_size_bytes if isinstance(lv.image, _Qcow) else lv.device_bytes):
            raise CommandFailed(argv, 1, "output file is smaller than input file")
        data = {block: byte for block, byte in source.blocks.items() if byte}
        self._put(step.lv, replace(lv.image, blocks={**lv.image.blocks, **data}))

    def _clear_range(self, step: RangeStep, argv: tuple[str, ...]) -> None:
        lv = self._open(step.lv, argv)
        end_bytes = step.offset_bytes + step.length_bytes
        if end_bytes > lv.device_bytes:
            raise CommandFailed(argv, 1, f"{end_bytes} is greater than device size {lv.device_bytes}")
        self._require_writable(step.lv)
        if isinstance(step, LvDiscardRange):
            if step.offset_bytes <= lv.discarded_bytes:
                self._lvs[step.lv] = replace(lv, discarded_bytes=max(lv.discarded_bytes, end_bytes))
            return
        if isinstance(lv.image, _Qcow) and step.offset_bytes:
            raise CommandFailed(argv, 1, f"{step.lv} has an image, and that not in one piece: no plan does that")
        if step.length_bytes == lv.size_bytes:
            self._put(step.lv, _Raw({}))
            return
        image = lv.image if isinstance(lv.image, _Raw) else _Raw({}, rest=_STALE)
        zeros = dict.fromkeys(range(step.offset_bytes // BLOCK_BYTES, end_bytes // BLOCK_BYTES), 0)
        self._put(step.lv, replace(image, blocks={**image.blocks, **zeros}))

    def _commit(self, step: QcowCommit, argv: tuple[str, ...]) -> None:
        child = self._qcow(step.lv, argv)
        if child.backing is None:
            raise CommandFailed(argv, 1, "Image does not have a backing file")
        base = self._qcow(child.backing, argv)
        self._view(step.lv, argv)
        size_bytes = max(base.virtual_size_bytes, child.virtual_size_bytes)
        larger = replace(base, virtual_size_bytes=size_bytes)
        self._put_what_fits(child.backing, larger, replace(larger, blocks={**base.blocks, **child.blocks}), argv)

    def _rebase(self, step: QcowRebase, argv: tuple[str, ...]) -> None:
        child = self._qcow(step.lv, argv)
        old = self._view(child.backing, argv) if child.backing else {}
        new = self._view(step.backing, argv) if step.backing else {}
        last = child.virtual_size_bytes // BLOCK_BYTES
        differing = {
            block: old.get(block, 0)
            for block in old.keys() | new.keys()
            if block < last and block not in child.blocks and old.get(block, 0) != new.get(block, 0)
        }
        rebased = replace(child, backing=step.backing, blocks={**child.blocks, **differing})
        self._put_what_fits(step.lv, child, rebased, argv)

    def _view(self, lv_name: str, argv: tuple[str, ...], above: tuple[str, ...] = ()) -> Blocks:
        """The blocks a guest reads through an image, which lies below those ``above``."""
        if lv_name in above:
            raise CommandFailed(argv, 1, f"Backing file '{lv_name}' creates an infinite loop")
        image = self._qcow(lv_name, argv)
        below = self._view(image.backing, argv, (*above, lv_name)) if image.backing else {}
        last = image.virtual_size_bytes // BLOCK_BYTES
        return {block: byte for block, byte in {**below, **image.blocks}.items() if block < last}

    def _require_changeable(self, argv: tuple[str, ...]) -> None:
        """As LVM does; a physical volume that is too small, or has old metadata, it only warns of."""
        group, volumes = self._group, self._group.physical_volumes
        refused = {
            f"Volume group {self._vg} is exported": group.exported,
            f"Cannot access VG {self._vg} with system ID {group.owner}.": group.owner is not None,
            f"Cannot access VG {self._vg} with lock type {group.lock_type}.": bool(group.lock_type),
            f"Volume group {self._vg} is read-only.": group.read_only,
            f"Cannot update volume group {self._vg} with duplicate PV devices.": any(pv.duplicates for pv in volumes),
            f"Failed to write VG {self._vg}.": any(pv.read_only for pv in volumes),
        }
        for said, so in refused.items():
            if so:
                raise CommandFailed(argv, 5, said)

    def _require_extents(self, size_bytes: int, argv: tuple[str, ...]) -> None:
        free = self.observe().free_extents
        needed = extents(size_bytes, self._extent_size_bytes)
        if needed > free:
            said = f'Volume group "{self._vg}" has insufficient free space ({free} extents): {needed} required.'
            raise CommandFailed(argv, 5, said)

    def _put_what_fits(self, lv_name: str, before: _Qcow, after: _Qcow, argv: tuple[str, ...]) -> None:
        """All, or where there is no space half of the blocks that are new to it: its header stays then.

        Stricter than qemu-img, which fails only once the device is full: a planner may not count on luck.
        """
        needed_bytes = fully_allocated_bytes(after.virtual_size_bytes, after.options) + after.scattered_bytes
        if self._lvs[lv_name].device_bytes >= needed_bytes:
            self._put(lv_name, after)
            return
        new = sorted(block for block, byte in after.blocks.items() if before.blocks.get(block) != byte)
        some = {block: after.blocks[block] for block in new[: len(new) // 2]}
        self._put(lv_name, replace(before, blocks={**before.blocks, **some}))
        raise CommandFailed(argv, 1, "Block job failed: No space left on device")

    def _find(self, lv_name: str, argv: tuple[str, ...]) -> _Lv:
        lv = self._lvs.get(lv_name)
        if lv is None:
            raise CommandFailed(argv, 5, f'Failed to find logical volume "{self._vg}/{lv_name}"')
        return lv

    def _unused(self, lv_name: str, argv: tuple[str, ...]) -> _Lv:
        lv = self._find(lv_name, argv)
        if lv.holders:
            raise CommandFailed(argv, 5, f"Logical volume {self._vg}/{lv_name} in use.")
        return lv

    def _open(self, lv_name: str, argv: tuple[str, ...]) -> _Lv:
        lv = self._lvs.get(lv_name)
        if lv is None or not lv.active:
            raise CommandFailed(argv, 1, f"Could not open '/dev/{self._vg}/{lv_name}': No such file or directory")
        if lv.suspended:
            raise CommandFailed(argv, 1, f"/dev/{self._vg}/{lv_name} is suspended: a real one would wait for ever")
        if lv.wrong_in_dev:
            raise CommandFailed(argv, 1, f"/dev/{self._vg}/{lv_name} is not there, or another LV's")
        return lv

    def _qcow(self, lv_name: str, argv: tuple[str, ...]) -> _Qcow:
        image = self._open(lv_name, argv).image
        if not isinstance(image, _Qcow):
            raise CommandFailed(argv, 1, "Image is not in qcow2 format")
        return image

    def _require_writable(self, lv_name: str) -> None:
        if not self._lvs[lv_name].writable:
            raise CommandFailed(("write", lv_name), 1, f"Could not open '/dev/{self._vg}/{lv_name}': Permission denied")

    def _put(self, lv_name: str, image: _Raw | _Qcow) -> None:
        self._require_writable(lv_name)
        self._lvs[lv_name] = replace(self._lvs[lv_name], image=image)


def stream_path(stream: int) -> str:
    """Under what path a simulated host has what comes from a file descriptor, or went to it."""
    return f"/dev/fd/{stream}"


def fully_allocated_bytes(virtual_size_bytes: int, options: ImageOptions = OURS) -> int:
    """What ``qemu-img measure`` says; a test holds it to that.

    Source: ``qcow2_calc_prealloc_size`` of QEMU: data, L1 and L2 tables, and the refcounts of all of that.
    """
    cluster_bytes = options.cluster_size_bytes
    data = whole_extents(virtual_size_bytes, cluster_bytes)
    clusters = data // cluster_bytes
    l2_tables = extents(clusters, cluster_bytes // (16 if options.extended_l2 else 8))
    l1_bytes = whole_extents(8 * l2_tables, cluster_bytes)
    meta = cluster_bytes + l2_tables * cluster_bytes + l1_bytes
    blocks, table_clusters = _refcounts((meta + data) // cluster_bytes, cluster_bytes)
    return data + meta + (blocks + table_clusters) * cluster_bytes


def _refcounts(clusters: int, cluster_bytes: int) -> tuple[int, int]:
    """Refcount blocks and table clusters that count ``clusters`` and themselves."""
    blocks = table = 0
    while True:
        needed = extents(clusters + blocks + table, cluster_bytes // 2)
        needed_table = extents(needed * 8, cluster_bytes)
        if (needed, needed_table) == (blocks, table):
            return blocks, table
        blocks, table = needed, needed_table


def _header(image: _Qcow) -> Header:
    return Header(
        version=3,
        virtual_size_bytes=image.virtual_size_bytes,
        cluster_size_bytes=image.options.cluster_size_bytes,
        backing=image.backing,
        extended_l2=image.options.extended_l2,
        dirty=False,
        corrupt=False,
        encrypted=False,
        external_data=False,
        internal_snapshots=0,
        unknown_features=0,
        backing_format="qcow2" if image.backing else None,
    )
