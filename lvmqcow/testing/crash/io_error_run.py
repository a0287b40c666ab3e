"""An operation on a disk that fails during one of its steps: once for every place that the step writes to or reads.

What must come of it: the operation says that it was cut there, and once the disk is whole again recovery makes of it
what the plan says; or the step needed nothing of that place, and all is as it should be, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import Format
from lvmqcow.engine.events import Events
from lvmqcow.engine.host import Host
from lvmqcow.errors import OperationCut
from lvmqcow.operations import Export, ExportStream, Plan, Request, StreamFormat
from lvmqcow.steps import DeviceStep, ImageCopy, LvDiscardRange, LvmStep, LvZero, LvZeroRange, QcowCreate, Step
from lvmqcow.storage import Storage
from lvmqcow.testing.cases.expected import changed
from lvmqcow.testing.cases.scenarios import contents, planned
from lvmqcow.testing.cases.starts import Starts
from lvmqcow.testing.conformance.implementation import OURS, Implementation
from lvmqcow.testing.crash.checkpoints import CHUNK_BYTES
from lvmqcow.testing.crash.crash_points import CrashPoint
from lvmqcow.testing.crash.io_errors import BEGINS_AT_BYTES, Disk, Fault
from lvmqcow.testing.crash.oracle import Judge
from lvmqcow.testing.simulated.host import SimHost
from lvmqcow.testing.worlds import compared

__all__ = ["Faulted", "Outcome", "Trial"]


class Outcome(StrEnum):
    """What came of a fault. There is no third."""

    RAISED = "raised"
    NOT_HIT = "not hit"


@dataclass(frozen=True)
class Trial:
    """A fault while the step after ``done`` runs; ``place`` None is all of the disk."""

    done: int
    step: Step
    fault: Fault
    place: range | None
    written: bool
    """Whether the step changes what is there: then it cannot succeed."""

    def __str__(self) -> str:
        where = f" at {self.place.start // CHUNK_BYTES}" if self.place else ""
        return f"{type(self.step).__name__} (step {self.done + 1}), EIO on {self.fault}{where}"


class Faulted:
    """One operation, and the start that it is put back to for every fault."""

    def __init__(
        self,
        real: Starts,
        disk: Disk,
        start: Callable[[], SimHost],
        request: Request,
        host: Host | None = None,
        implementation: Implementation = OURS,
    ) -> None:
        """``host`` is one of the same volume group that may do its work badly."""
        self._implementation = implementation
        self._real = real
        self._disk = disk
        self._request = request
        self._host = host if host is not None else real.world.host
        self._sent = disk.file.with_name("sent")
        simulated = start()
        self._judge = Judge(real, simulated, request)
        self._plan = planned(simulated, request)
        self._judged_before = set[Hashable]()
        self._holds = contents(simulated, request.volume)
        real.build(simulated.history)
        self._start = real.checkpoints.take()

    def trials(self) -> Iterator[Trial]:
        """Every fault at every place, as it shows where all is well."""
        checkpoints, world = self._real.checkpoints, self._real.world
        looks = []

        def look(step: Step | None = None) -> None:
            looks.append((checkpoints.take().chunks, world.storage.picture(), checkpoints.places()))

        plan = self._apply(look)
        look()
        for done, step in enumerate(plan.steps):
            (before, picture, places), (after, *_) = looks[done : done + 2]
            written = sorted(at for at in before.keys() | after.keys() if before.get(at) != after.get(at))
            read = sorted({at for lv in read_by(step, picture) for at in places[lv] if at in before})
            yield from (Trial(done, step, fault, None, bool(written)) for fault in Fault)
            yield from (Trial(done, step, Fault.WRITE, _place(at), True) for at in written)
            yield from (Trial(done, step, Fault.READ, _place(at), False) for at in read)

    def outcome(self, trial: Trial) -> Outcome:
        """Raises AssertionError: a success that was none, or a state that recovery does not bring back."""
        with self._disk.whole_again():
            came = self.came_of(self._breaking(trial))
        if isinstance(came, OperationCut):
            assert came.done == trial.done, f"{trial}: {came}"
            self.require_recovery(str(trial), came.done)
            return Outcome.RAISED
        assert not trial.written, f"{trial}: it says that it succeeded"
        self.require_done(str(trial), came)
        return Outcome.NOT_HIT

    def outcomes_in_recovery(self, done: int) -> Iterator[Outcome]:
        """The operation is cut after so many steps, and the disk fails under each step of the recovery from that."""
        with self._disk.whole_again():
            cut = self.came_of(self._breaking(Trial(done, self._plan.steps[done], Fault.READ, None, False)))
        assert isinstance(cut, OperationCut)
        here, world, name = self._real.checkpoints.take(), self._real.world, changed(self._request).text
        for number, step in enumerate(world.storage.plan_recovery(name).steps):
            self._real.checkpoints.put_back(here)
            trial = Trial(number, step, list(Fault)[number % 2], None, False)
            outcome = Outcome.NOT_HIT
            with self._disk.whole_again():
                try:
                    self._storage(self._breaking(trial)).recover(name)
                except OperationCut:
                    outcome = Outcome.RAISED
            self.require_recovery(f"{cut.operation} cut after {done} steps; in recovery {trial}", done)
            yield outcome

    def came_of(self, begun: Callable[[Step], None]) -> OperationCut | Plan:
        """The operation, from its start; ``begun`` is told of every step before it begins."""
        self._real.checkpoints.put_back(self._start)
        try:
            return self._apply(begun)
        except OperationCut as cut:
            return cut

    def require_recovery(self, path: str, done: int, *, or_one_more: bool = False) -> None:
        """One recovery makes of it what the plan says of a cut after so many steps.

        ``or_one_more``: who was stopped may have done that step, and had no time to say so.
        """
        self._real.world.storage.recover(changed(self._request).text)
        left = self._real.world.leftovers()  # here, and not only where a state is judged: each is judged once
        assert left == (), f"{path}: {left}"
        if or_one_more and done + 1 == self._plan.commit_point:
            try:
                self._judged(path, done)
            except AssertionError:
                self._judged(path, done + 1)
        else:
            self._judged(path, done)

    def require_done(self, path: str, plan: Plan) -> None:
        """All is as it should be after the operation."""
        self._judged(path, len(plan.steps))
        match self._asked:
            case Export() as asked:
                self._require_exported(path, Path(asked.path), asked.format, asked.snapshot)
            case ExportStream() as asked:
                head_bytes = 8 if asked.format is StreamFormat.RAW_SIZE else 0
                stream = self._sent.read_bytes()
                assert len(stream) == head_bytes + self._holds[asked.snapshot].size_bytes, path
                self._sent.write_bytes(stream[head_bytes:])
                self._require_exported(path, self._sent, Format.RAW, asked.snapshot)
            case _:
                pass

    def _require_exported(self, path: str, file: Path, file_format: Format, snapshot: str | None) -> None:
        golden = self._sent.with_name("golden")
        difference = compared(str(file), file_format, self._holds[snapshot], golden)
        assert difference is None, f"{path}: {difference}"

    def _apply(self, begun: Callable[[Step], None]) -> Plan:
        self._asked = self._real.request(self._request)
        storage = self._storage(begun)
        if isinstance(self._asked, ExportStream):
            with self._sent.open("wb") as out:
                return storage.apply(replace(self._asked, stream=out.fileno()))
        return storage.apply(self._asked)

    def _storage(self, begun: Callable[[Step], None]) -> Storage:
        return self._implementation.storage(self._host, events=Events(begun=begun))

    def _breaking(self, trial: Trial) -> Callable[[Step], None]:
        """Told of every step before it begins, it makes the disk fail for that one."""
        begun = 0

        def before(step: Step) -> None:
            nonlocal begun
            if begun == trial.done:
                self._disk.fail(trial.fault, trial.place)
            elif begun == trial.done + 1:
                self._disk.mend()
            begun += 1

        return before

    def _judged(self, path: str, done: int) -> None:
        """The same state, with the same to be expected of it, is judged once."""
        found = self._real.checkpoints.take()
        verdict = (found.without_power().key, done < self._plan.commit_point)
        if verdict not in self._judged_before:
            self._judge(CrashPoint(done, path), found.digests)
            self._judged_before.add(verdict)


def read_by(step: Step, picture: VolumeGroup) -> set[str]:
    """The LVs that a step may read: images, and what these read through."""
    if isinstance(step, LvZero | LvZeroRange | LvDiscardRange | QcowCreate):
        return set()
    if isinstance(step, ImageCopy):
        images = {step.source_lv, step.lv}
    else:
        images = set() if isinstance(step, LvmStep | DeviceStep) else {step.lv}
    layers = [(volume, layer) for volume in picture.volumes for layer in volume.layers if layer.lv.name in images]
    return images | {below.lv.name for volume, layer in layers for below in volume.reads(layer)}


def _place(offset_bytes: int) -> range:
    """A chunk of a checkpoint, on the disk."""
    return range(offset_bytes - BEGINS_AT_BYTES, offset_bytes - BEGINS_AT_BYTES + CHUNK_BYTES)
