"""Carrying out a request on a host: whatever happens to a volume happens here, in this order.

1. take the locks of all names that the request is about
2. look: one picture, with the headers of what is active
3. recover what was cut before, and look again
4. plan; what is not active is activated for its header, where only that tells
5. refuse what a running guest would not survive
6. run the plan, step by step

A plan may turn out to be about more names than are locked. Then all locks are let go and all are taken, from 1.
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
from lvmqcow.operations import Plan, Request, plan
from lvmqcow.operations.recovery import plan_recovery
from lvmqcow.steps import LvActivate, LvDeactivate, LvRemove

__all__ = ["Executor", "active_images", "raise_together"]

_Done = TypeVar("_Done")


class Executor:
    """Requests and recoveries on one host. For one thread at a time."""

    def __init__(
        self,
        host: Host,
        locks: Locks,
        events: Events,
        recover_first: bool,
        layout: Layout | None,
        wipe: Wipe,
        accept: frozenset[State],
    ) -> None:
        """The arguments are those of `lvmqcow.Storage`."""
        self.host = host
        self._locks = locks
        self._events = events
        self._recover_first = recover_first
        self._layout = layout
        self._wipe = wipe
        self._accept = accept

    def plan(self, request: Request) -> Plan:
        """As `lvmqcow.Storage.plan`."""
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
        """As `lvmqcow.Storage.apply`."""
        return self._holding(request.names, lambda held: self.apply_held(request, held))

    def apply_held(self, request: Request, held: frozenset[VolumeName]) -> Plan:
        """`apply`, with all of its names locked, and maybe more."""
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
            if all(isinstance(step, LvDeactivate) for step in planned.steps):  # LVM does not say who opened one since
                with suppress(CommandFailed, UnfitMachine, VolumeGroupNotFound):  # then it was not that
                    self._require_unused(planned, self.observe())
            with suppress(CommandFailed, UnfitMachine):
                for step in planned.if_it_fails:
                    self.host.run(step)
            raise
        return planned

    def plan_recovery(self, name: VolumeName) -> Plan:
        """As `lvmqcow.Storage.plan_recovery`."""
        return self._look(name)[0]

    def recover(self, name: VolumeName | None = None) -> tuple[Plan, ...]:
        """As `lvmqcow.Storage.recover`."""
        return self._recover_all() if name is None else self._recover(name)

    def observe(self) -> VolumeGroup:
        """The volume group as it is now, without headers, in the layout that was given."""
        return replace(self.host.observe(), given_layout=self._layout, accepted=self._accept, wipe=self._wipe)

    def seen(self, *names: VolumeName) -> VolumeGroup:
        """The same, with the headers of what is active: all of these volumes, others as far as they can be read.

        One of the others may be a clone though no tag says so, and one may be changing just now, or be broken: it is
        for its own operations to complain.
        """
        picture = self.observe()
        own = [volume for name in names if (volume := picture.find(name))]
        beside = active_images(volume for volume in picture.volumes if volume not in own)
        return picture.with_headers({**self.readable(beside), **self.host.headers(active_images(own))})

    def readable(self, lv_names: Iterable[str]) -> Mapping[str, Header]:
        """The headers of those of these active LVs that can be read."""
        found: dict[str, Header] = {}
        for name in lv_names:
            with suppress(CommandFailed):
                found |= self.host.headers([name])
        return found

    @contextmanager
    def locked(self, names: Iterable[VolumeName]) -> Iterator[None]:
        """All of these locks, in the same order for everybody."""
        with ExitStack() as held:
            for name in sorted(set(names)):
                held.enter_context(self._locks.hold(self.host.vg, name.text))
            yield

    @contextmanager
    def activated(self, lv_names: tuple[str, ...]) -> Iterator[None]:
        """These inactive LVs are active within, and inactive again afterwards. Only under their volume's lock.

        Raises:
            UnfitMachine: no LV can be activated on this machine.
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
        """The picture, once what was cut before is finished or undone.

        What cannot be finished for want of space keeps nobody from his disk: what a guest reads is right meanwhile.
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
        """Recover each of them; returns the plans that ran. Devices are put right first, and all is looked at again."""
        ran = list[Plan]()
        recovery, picture = self._look(*names)
        while recovery.steps:
            if recovery in ran:
                raise Corrupt(recovery.target, [f"{recovery.operation} is done, and the same is to be done again"])
            self._run_recovery(recovery, held)
            ran.append(recovery)
            recovery, picture = self._look(*names)
        return tuple(ran), picture

    def _look(self, *names: VolumeName) -> tuple[Plan, VolumeGroup]:
        """The plan that recovers a volume (the first that needs it), and the picture, with headers of active layers."""
        picture = self.seen(*names)
        plans = [plan_recovery(picture, name, self.host.measure) for name in names]
        return next((recovery for recovery in plans if recovery.steps), plans[0]), picture

    def _holding(self, names: Iterable[VolumeName], work: Callable[[frozenset[VolumeName]], _Done]) -> _Done:
        """Do it with these names locked; and where a recovery is about more, with all of them.

        First the locks are let go: two that each hold what the other waits for would wait for ever.
        """
        held = frozenset(names)
        while True:
            try:
                with self.locked(held):
                    return work(held)
            except _MoreNames as more:
                held |= more.names

    def _plan(self, request: Request, picture: VolumeGroup) -> Plan:
        """Under the volume's lock, if there is anything to activate."""
        unread = _unread(request, picture)
        if unread:
            picture = picture.with_headers(self._activated_headers(unread))
        planned = plan(picture, request, self.host)
        self._require_unused(planned, picture)
        return planned

    def _require_unused(self, planned: Plan, picture: VolumeGroup) -> None:
        """Raises InUse for what must not happen below a running guest: it would go on writing to a snapshot."""
        there = {lv.name for lv in picture.logical_volumes if lv.active}
        there |= {stray.lv_name for stray in picture.strays if stray.kind is StrayKind.DEVICE}
        names = sorted(there & planned.disturbed)
        holders = [f"{name} by {holder}" for name in names for holder in self.host.holders(name)]
        if holders:
            raise InUse(planned.target, holders)

    def _activated_headers(self, lv_names: tuple[str, ...]) -> Mapping[str, Header]:
        """The headers of inactive LVs, which are inactive again afterwards."""
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
        """Run it, if all of its names are among those locked. Raises _MoreNames."""
        if not recovery.names <= held:
            raise _MoreNames(recovery.names)
        picture = self.observe()
        self._require_unused(recovery, picture)
        self._events.recovered(recovery)
        run_plan(self.host, recovery, picture, self._events)


class _MoreNames(Exception):
    """A plan is about these names, and not all of them are locked. Nothing was touched."""

    def __init__(self, names: frozenset[VolumeName]) -> None:
        self.names = names
        super().__init__(names)


def raise_together(errors: Sequence[LvmqcowError]) -> None:
    """Raise the first, if there is one, with the others in its notes."""
    for other in errors[1:]:
        errors[0].add_note(str(other))
    if errors:
        raise errors[0]


def _unread(request: Request, picture: VolumeGroup) -> tuple[str, ...]:
    """The LVs that only their header tells of, and that have to be activated for it to be read."""
    volume = picture.find(request.headers_of) if request.headers_of is not None else None
    if volume is None:
        return ()
    return tuple(layer.lv.name for layer in volume.layers if not layer.known and not layer.lv.active)


def _unseen(planned: Plan, request: Request, picture: VolumeGroup) -> tuple[str, ...]:
    """The LVs whose header is to be read before the plan opens any image: qemu-img follows it, not our tags.

    And before it removes one and keeps others, for these may read through it whatever their tags say.
    """
    volume = picture.find(planned.volume) if request.headers_of is not None else None
    looks = any(step.opens or isinstance(step, LvRemove) for step in planned.steps)
    if volume is None or not looks:
        return ()
    return tuple(layer.lv.name for layer in volume.layers if layer.lv.header is None and not layer.lv.active)


def active_images(volumes: Iterable[Volume]) -> list[str]:
    """The LVs of these volumes, and of those they read through, whose header can be read now."""
    return [
        layer.lv.name
        for volume in volumes
        if volume.name.format is Format.QCOW2
        for layer in (*volume.layers, *volume.bases)
        if layer.lv.readable
    ]
