"""The power goes while an operation runs: it is recorded once, replayed to many states, and each is judged.

What holds in every state: what had been reported as done is there, what had not is there as before or as after it,
byte for byte; the neighbour is whole; nothing is unfinished, wrong or left over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import Format, VolumeName, snapshot_lv_name
from lvmqcow.engine.locks import NoLocks
from lvmqcow.errors import LvmqcowError
from lvmqcow.lvm.commands import Lvm, LvmProcesses, LvmShell
from lvmqcow.operations import Request
from lvmqcow.operations.recovery import plan_recovery
from lvmqcow.qemu.img import QemuImg
from lvmqcow.real_host import RealHost
from lvmqcow.steps import LvActivate, LvDeactivate
from lvmqcow.storage import Storage
from lvmqcow.testing.caching_host import CachingHost
from lvmqcow.testing.cases.expected import changed
from lvmqcow.testing.cases.real_operations import Held, Operation, beside
from lvmqcow.testing.cases.scenarios import MIB
from lvmqcow.testing.conformance.implementation import OURS, Implementation
from lvmqcow.testing.content import Content
from lvmqcow.testing.crash.block_log import State, contents, crash_states
from lvmqcow.testing.crash.power_loss import Recorder, Recording, attached, put, record
from lvmqcow.testing.worlds import RealWorld

__all__ = ["BEGUN", "DONE", "METADATA", "Case", "Outcome", "Running", "as_it_is_done", "recorded", "replayed"]

PV_BYTES = 32 * MIB
EXTENT = "1m"
STALE = 0xA5
"""What fills the disk before anything is on it: a block that was never written must not be taken for zeros."""
METADATA = range(MIB)
"""Where LVM keeps its metadata on a physical volume, in bytes; the first extent is behind it."""
BEGUN, DONE = "begun", "done"


@dataclass(frozen=True)
class Running:
    """An operation that is about to be recorded, and the ways to carry it out."""

    request: Request
    storage: Storage
    host: RealHost
    lvm: Lvm


@dataclass(frozen=True)
class Case:
    """An operation that was recorded, and what must be there before and after it."""

    vg: str
    volume: VolumeName
    recording: Recording
    before: Held
    after: Held


@dataclass(frozen=True)
class Outcome:
    """A state, and what is wrong with it after recovery: nothing, one hopes. Until the next, it is on ``device``."""

    state: State
    problems: tuple[str, ...]
    device: str
    judged_again: Callable[[], tuple[str, ...]] = field(repr=False)


def as_it_is_done(running: Running) -> None:
    """Through the public API."""
    running.storage.apply(running.request)


def recorded(
    operation: Operation, directory: Path, run: Callable[[Running], None] = as_it_is_done
) -> tuple[Case, Path]:
    """The operation as ``run`` does it, and the file of the disk it was done on."""
    vg, file = f"replay-{os.getpid()}", directory / "pv.img"
    file.write_bytes(bytes(METADATA.stop) + bytes([STALE]) * (PV_BYTES - METADATA.stop))
    with attached(file) as device:
        LvmProcesses((device,)).change(
            ("vgcreate", "--yes", "--setautoactivation", "n", "--physicalextentsize", EXTENT, vg, device)
        )
        with _host(vg, LvmShell((device,))) as host:
            world = RealWorld(host, directory)
            before = {**operation.start(world), **beside(world)}
            _deactivate(host)

    def work(recorder: Recorder) -> None:
        lvm = LvmShell((recorder.device,))
        with _host(vg, lvm) as host:
            host.run(LvActivate(tuple(sorted(host.observe().lv_names))))
            recorder.flush()
            recorder.mark(BEGUN)
            try:
                run(Running(operation.request, Storage(host, NoLocks()), host, lvm))
                recorder.mark(DONE)  # as whoever asked for it is told: nothing is flushed here
            finally:
                _deactivate(host)

    recording = record(file, work)
    return Case(vg, changed(operation.request), recording, before, operation.after(before)), file


def replayed(
    case: Case,
    file: Path,
    *,
    most: int,
    ordered: range = METADATA,
    seed: int = 0,
    implementation: Implementation = OURS,
) -> Generator[Outcome, None, None]:
    """Every state in turn: put on the disk, recovered, judged."""
    recording = case.recording
    states = crash_states(recording.before, recording.events, since=BEGUN, ordered=ordered, most=most, seed=seed)
    with attached(file) as device, _host(case.vg, LvmShell((device,))) as host:
        verdicts = _Verdicts(case, CachingHost(host, file.with_name("golden")), implementation)
        for state, content in contents(recording.before, recording.events, states):
            put(content, file, device)
            judge = partial(verdicts.of, done=state.reached(recording.events, DONE))
            yield Outcome(state, judge(), device, judge)


class _Verdicts:
    """What is wrong with a disk, once it was recovered."""

    def __init__(self, case: Case, host: CachingHost, implementation: Implementation) -> None:
        self._case = case
        self._host = host
        self._storage = implementation.storage(host)

    def of(self, *, done: bool) -> tuple[str, ...]:
        """Recover what is on the disk now, and judge it; ``done``: the operation had been reported as done."""
        try:
            self._storage.recover(self._case.volume.text)
            picture = self._host.observe()
        except LvmqcowError as error:
            return (f"not recoverable: {error}",)
        active = [lv.name for lv in picture.logical_volumes if lv.active]
        every = tuple(sorted(picture.lv_names))
        try:
            self._host.run(LvActivate(every))
            picture = picture.with_headers(self._host.headers(every))
            left = (f"left active: {name}" for name in active)
            return (*left, *self._unfinished(picture), *self._wrong(picture, done))
        except LvmqcowError as error:
            return (f"not readable: {error}",)
        finally:
            self._host.run(LvDeactivate(every))

    def _unfinished(self, picture: VolumeGroup) -> Iterator[str]:
        for volume in picture.volumes:
            rest = plan_recovery(picture, volume.name, self._host.measure)
            if rest.steps:
                yield f"not finished: {rest.operation} {volume.name}"
        yield from (f"checked: {finding.lv} {finding.text}" for finding in self._storage.check())

    def _wrong(self, picture: VolumeGroup, done: bool) -> Sequence[str]:
        """Where it differs from what it may be: from that of the allowed contents which is nearest to it."""
        case = self._case
        allowed = [case.after] if done else [case.before, case.after]
        fitting = [lvs for held in allowed if (lvs := _lvs(held, picture)).keys() == picture.lv_names]
        if not fitting:
            state = "after it was reported as done" if done else "which is neither as before nor as after"
            return (f"lost or left over: there are {', '.join(sorted(picture.lv_names))}, {state}",)
        return min((self._differences(lvs) for lvs in fitting), key=len)

    def _differences(self, lvs: Mapping[str, tuple[Format, Content]]) -> tuple[str, ...]:
        found = (self._host.difference(lv, image_format, content) for lv, (image_format, content) in lvs.items())
        return tuple(f"wrong content: {difference.strip()}" for difference in found if difference)


def _lvs(held: Held, picture: VolumeGroup) -> dict[str, tuple[Format, Content]]:
    """What each logical volume should hold, and as what."""
    return {
        snapshot_lv_name(name, snapshot, picture.layout) if snapshot else name.text: (name.format, content)
        for name, contents in held.items()
        for snapshot, content in contents.items()
    }


@contextmanager
def _host(vg: str, lvm: Lvm) -> Iterator[RealHost]:
    """A host with an ``lvm`` that looks at one device from the start: another may hold the same volume group."""
    host = RealHost(vg, lvm, QemuImg())
    try:
        yield host
    finally:
        host.close()


def _deactivate(host: RealHost | CachingHost) -> None:
    active = tuple(lv.name for lv in host.observe().logical_volumes if lv.active)
    if active:
        host.run(LvDeactivate(active))
