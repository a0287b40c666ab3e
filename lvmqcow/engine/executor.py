"""The executor carries out a request on a host. Every change of a volume goes through these stages:

1. take the locks of all volume names that the request concerns
2. take a picture, with the headers of active LVs
3. recover operations that were cut before, and take a new picture
4. plan the request; if only its header describes an inactive LV, activate it to read the header
5. refuse a plan that would disturb a program that uses the volume
6. run the plan, step by step

If a plan concerns more names than are locked, the executor drops all locks and starts again with all names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

from lvmqcow.core.fitness import State
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import StrayKind
from lvmqcow.core.names import Format, Layout, VolumeName
from lvmqcow.core.qcow2 import Header
from lvmqcow.core.volume import Volume
from lvmqcow.core.wiping import Wipe
from lvmqcow.engine.events import Events
from lvmqcow.engine.host import Host
from lvmqcow.engine.locks import Locks
from lvmqcow.engine.planners import Planners
from lvmqcow.engine.run_plan import run_plan
from lvmqcow.errors import (
    CommandFailed,
    Corrupt,
    InUse,
    LvmqcowError,
    NoSpace,
    OperationCut,
    RecoveryNeeded,
    UnfitMachine,
    VolumeGroupNotFound,
)
from lvmqcow.operations import Plan, Request
from lvmqcow.steps import LvActivate, LvDeactivate, LvRemove

__all__ = ["Executor", "active_images", "raise_together"]

_Done = TypeVar("_Done")


class Executor:
    """Carries out requests and recoveries on one host. One thread at a time may use it."""

    def __init__(
        self,
        host: Host,
        locks: Locks,
        events: Events,
        recover_first: bool,
        layout: Layout | None,
        wipe: Wipe,
        accept: frozenset[State],
        planners: Planners,
    ) -> None:
        """Take the arguments of `lvmqcow.Storage`."""
        self.host = host
        self._locks = locks
        self._events = events
        self._recover_first = recover_first
        self._layout = layout
        self._wipe = wipe
        self._accept = accept
        self._planners = planners

    def plan(self, request: Request) -> Plan:
        """Do what `lvmqcow.Storage.plan` says."""
        recovery, picture = self._look(*request.names)
        if recovery.steps:
            self._events.recovered(recovery)
            return recovery
        if not _unread(request, picture):
            return self._plan(request, picture)
        with self.locked(request.names):
            _, picture = self._look(*request.names)
            return self._plan(request, picture)

    def apply(self, request: Request) -> Plan:
        """Do what `lvmqcow.Storage.apply` says."""
        return self._holding(request.names, lambda held: self.apply_held(request, held))

    def apply_held(self, request: Request, held: frozenset[VolumeName]) -> Plan:
        """Apply a request while the caller holds the locks ``held``, which include those of the request."""
        picture = self._recovered(request, held)
        planned = self._plan(request, picture)
        unseen = _unseen(planned, request, picture)
        if unseen:
            planned = self._plan(request, picture.with_headers(self._activated_headers(unseen)))
        if not planned.names <= held:
            raise _MoreNames(planned.names)
        try:
            run_plan(self.host, planned, picture, self._events)
        except OperationCut:
            if all(isinstance(step, LvDeactivate) for step in planned.steps):
                # a program may have opened an LV meanwhile; LVM only says "in use", InUse names the program
                with suppress(CommandFailed, UnfitMachine, VolumeGroupNotFound):
                    self._require_unused(planned, self.observe())
            with suppress(CommandFailed, UnfitMachine):
                for step in planned.if_it_fails:
                    self.host.run(step)
            raise
        return planned

    def plan_recovery(self, name: VolumeName) -> Plan:
        """Do what `lvmqcow.Storage.plan_recovery` says."""
        return self._look(name)[0]

    def recover(self, name: VolumeName | None = None) -> tuple[Plan, ...]:
        """Do what `lvmqcow.Storage.recover` says."""
        return self._recover_all() if name is None else self._recover(name)

    def observe(self) -> VolumeGroup:
        """Return the picture of the volume group as it is now, without image headers."""
        return replace(self.host.observe(), given_layout=self._layout, accepted=self._accept, wipe=self._wipe)

    def seen(self, *names: VolumeName) -> VolumeGroup:
        """Return the picture as it is now, with the headers of active LVs.

        A header of one of the volumes ``names`` that cannot be read is an error. Headers of other volumes are read too,
        because a header may show a clone that no tag shows. Those volumes may be changing or damaged, so their
        unreadable headers are left out.

        Raises:
            CommandFailed: a header of one of these volumes cannot be read.
        """
        picture = self.observe()
        own = [volume for name in names if (volume := picture.find(name))]
        others = active_images(volume for volume in picture.volumes if volume not in own)
        return picture.with_headers({**self.readable(others), **self.host.headers(active_images(own))})

    def readable(self, lv_names: Iterable[str]) -> Mapping[str, Header]:
        """Return the headers of these active LVs, without those that cannot be read."""
        found: dict[str, Header] = {}
        for name in lv_names:
            with suppress(CommandFailed):
                found |= self.host.headers([name])
        return found

    @contextmanager
    def locked(self, names: Iterable[VolumeName]) -> Iterator[None]:
        """Hold the locks of all these names. Every process takes them in the same order, so none can deadlock."""
        with ExitStack() as held:
            for name in sorted(set(names)):
                held.enter_context(self._locks.hold(self.host.vg, name.text))
            yield

    @contextmanager
    def activated(self, lv_names: tuple[str, ...]) -> Iterator[None]:
        """Activate these inactive LVs for the block, then deactivate them. The caller holds the lock of their volume.

        Raises:
            UnfitMachine: this machine cannot activate LVs.
        """
        if lv_names:
            self.host.require_fit((LvActivate(lv_names),))
        try:
            if lv_names:
                self.host.run(LvActivate(lv_names))
            yield
        finally:
            if lv_names:
                self.host.run(LvDeactivate(lv_names))

    def _recovered(self, request: Request, held: frozenset[VolumeName]) -> VolumeGroup:
        """Recover what was cut before, and return the picture after that.

        A merge that waits for space does not block requests like activation (`Kind.while_postponed`): until the merge
        is finished, every image reads right.
        """
        names = request.names
        try:
            recovery, picture = self._look(*names)
            if not recovery.steps:
                return picture
            if not self._recover_first:
                raise RecoveryNeeded(recovery.target, recovery.operation)
            return self._recover_names(names, held)[1]
        except (NoSpace, OperationCut) as error:
            without = isinstance(error, NoSpace) or isinstance(error.cause, NoSpace)
            if not (without and request.kind.while_postponed):
                raise
            self._events.postponed(error)
            return self.observe()

    def _recover_names(
        self, names: Iterable[VolumeName], held: frozenset[VolumeName]
    ) -> tuple[tuple[Plan, ...], VolumeGroup]:
        """Recover these volumes; returns the plans that ran and the picture after them.

        One volume may need several plans: the first repairs devices, and only the picture after it shows the rest.
        """
        ran = list[Plan]()
        recovery, picture = self._look(*names)
        while recovery.steps:
            if recovery in ran:
                again = f"recovery made no progress: it would run the same plan again ({recovery.operation})"
                raise Corrupt(recovery.target, [again])
            self._run_recovery(recovery, held)
            ran.append(recovery)
            recovery, picture = self._look(*names)
        return tuple(ran), picture

    def _look(self, *names: VolumeName) -> tuple[Plan, VolumeGroup]:
        """Return the plan that recovers the first of these volumes that needs it, and the picture behind the plan."""
        picture = self.seen(*names)
        plans = [self._planners.plan_recovery(picture, name, self.host.measure) for name in names]
        return next((recovery for recovery in plans if recovery.steps), plans[0]), picture

    def _holding(self, names: Iterable[VolumeName], work: Callable[[frozenset[VolumeName]], _Done]) -> _Done:
        """Run ``work`` with these names locked. If a recovery concerns more names, run it again with all names locked.

        All locks are dropped in between. Else two processes could each wait for a lock that the other one holds.
        """
        held = frozenset(names)
        while True:
            try:
                with self.locked(held):
                    return work(held)
            except _MoreNames as more:
                held |= more.names

    def _plan(self, request: Request, picture: VolumeGroup) -> Plan:
        """Plan a request. The caller holds the volume's lock if an LV has to be activated for its header."""
        unread = _unread(request, picture)
        if unread:
            picture = picture.with_headers(self._activated_headers(unread))
        planned = self._planners.plan(picture, request, self.host)
        self._require_unused(planned, picture)
        return planned

    def _require_unused(self, planned: Plan, picture: VolumeGroup) -> None:
        """Refuse a plan that disturbs an LV that something uses. A guest would go on writing to a snapshot.

        Raises:
            InUse: with the users of each LV.
        """
        there = {lv.name for lv in picture.logical_volumes if lv.active}
        there |= {stray.lv_name for stray in picture.strays if stray.kind is StrayKind.DEVICE}
        names = sorted(there & planned.disturbed)
        holders = [f"{name} by {holder}" for name in names for holder in self.host.holders(name)]
        if holders:
            raise InUse(planned.target, holders)

    def _activated_headers(self, lv_names: tuple[str, ...]) -> Mapping[str, Header]:
        """Activate these LVs, read their headers, and deactivate them again."""
        with self.activated(lv_names):
            return self.host.headers(lv_names)

    def _recover(self, name: VolumeName) -> tuple[Plan, ...]:
        return self._holding([name], lambda held: self._recover_names([name], held)[0])

    def _recover_all(self) -> tuple[Plan, ...]:
        ran, errors = list[Plan](), list[LvmqcowError]()
        for name in self.observe().recoverable:
            try:
                ran += self._recover(name)
            except LvmqcowError as error:
                errors.append(error)
        raise_together(errors)
        return tuple(ran)

    def _run_recovery(self, recovery: Plan, held: frozenset[VolumeName]) -> None:
        """Run a recovery. Raises _MoreNames if not all of its names are locked."""
        if not recovery.names <= held:
            raise _MoreNames(recovery.names)
        picture = self.observe()
        self._require_unused(recovery, picture)
        self._events.recovered(recovery)
        run_plan(self.host, recovery, picture, self._events)


class _MoreNames(Exception):
    """A plan concerns these names, and not all of them are locked. Nothing was changed."""

    def __init__(self, names: frozenset[VolumeName]) -> None:
        self.names = names
        super().__init__(names)


def raise_together(errors: Sequence[LvmqcowError]) -> None:
    """Raise the first of these errors, with the others in its notes. Do nothing if there are none."""
    for other in errors[1:]:
        errors[0].add_note(str(other))
    if errors:
        raise errors[0]


def _unread(request: Request, picture: VolumeGroup) -> tuple[str, ...]:
    """Return the inactive LVs that the request needs to know and that only their header describes."""
    volume = picture.find(request.headers_of) if request.headers_of is not None else None
    if volume is None:
        return ()
    return tuple(layer.lv.name for layer in volume.layers if not layer.known and not layer.lv.active)


def _unseen(planned: Plan, request: Request, picture: VolumeGroup) -> tuple[str, ...]:
    """Return the inactive LVs whose headers must be read before the plan runs.

    If a step opens an image, qemu-img follows the headers, not our tags. If a step removes an LV, another layer may
    read through that LV although its tags do not say so.
    """
    volume = picture.find(planned.volume) if request.headers_of is not None else None
    looks = any(step.opens or step.opens_alone or isinstance(step, LvRemove) for step in planned.steps)
    if volume is None or not looks:
        return ()
    return tuple(layer.lv.name for layer in volume.layers if layer.lv.header is None and not layer.lv.active)


def active_images(volumes: Iterable[Volume]) -> list[str]:
    """Return the LVs of these qcow2 volumes and of their bases whose headers can be read now."""
    return [
        layer.lv.name
        for volume in volumes
        if volume.name.format is Format.QCOW2
        for layer in (*volume.layers, *volume.bases)
        if layer.lv.readable
    ]
