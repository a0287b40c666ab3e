"""Every state that a cut of a plan can leave on a simulated host.

A cut falls between two steps, or inside one: lvm2 works through the LVs of one command one by one, in an order of its
own, and qemu-img may have copied a part, or written the header before the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import assert_never

from lvmqcow.core.lv import StrayKind
from lvmqcow.core.names import Format
from lvmqcow.operations import Plan
from lvmqcow.steps import (
    DeviceClear,
    DeviceRemove,
    ImageCopy,
    ImageExport,
    ImageReceive,
    ImageSend,
    ImageWrite,
    LinkRemove,
    LvActivate,
    LvAutoactivation,
    LvCreate,
    LvDeactivate,
    LvDiscardRange,
    LvExtend,
    LvPermission,
    LvRefresh,
    LvRemove,
    LvRename,
    LvTag,
    LvZero,
    LvZeroRange,
    NodeRemove,
    QcowCommit,
    QcowCreate,
    QcowRebase,
    QcowRelink,
    QcowRepairLeaks,
    QcowResize,
    Step,
)
from lvmqcow.testing.cases.scenarios import run
from lvmqcow.testing.content import BLOCK_BYTES, runs
from lvmqcow.testing.simulated.host import SimHost


@dataclass(frozen=True)
class Cut:
    """A plan of which ``done`` steps are done, and what that left. ``inside`` says that the next one was begun."""

    plan: Plan
    done: int
    inside: bool
    host: SimHost

    def __str__(self) -> str:
        begun = f", {type(self.plan.steps[self.done]).__name__} begun" if self.inside else ""
        return f"{self.plan.operation} cut after {self.done} of {len(self.plan.steps)} steps{begun}"


def cuts(host: SimHost, plan: Plan) -> Iterator[Cut]:
    """Every cut of ``plan`` run on ``host``, the one before its first step and the one after its last among them.

    ``host`` stays as it is, and every cut has a host of its own, to be changed at will.
    """
    running = host.copy()
    for done, step in enumerate(plan.steps):
        yield Cut(plan, done, False, running.copy())
        for half in begun(running, step):
            yield Cut(plan, done, True, half)
        for left in _before_commit(running, step):
            yield Cut(plan, done, True, left)
        for left in _after_commit(running, step):
            yield Cut(plan, done + 1, False, left)
        running.run(step)
    yield Cut(plan, len(plan.steps), False, running)


def begun(host: SimHost, step: Step) -> Iterator[SimHost]:
    """What a step that was cut inside may leave, where that is neither nothing nor all."""
    match step:
        case (
            LvTag()
            | LvRemove()
            | LvActivate()
            | LvDeactivate()
            | LvRefresh()
            | LvAutoactivation()
            | NodeRemove()
            | LinkRemove()
        ):
            for part in step.parts:
                yield run(host, part)
        case QcowCreate():
            yield run(host, LvZero(step.lv))  # no header: the first cluster is gone
            yield run(host, QcowCreate(step.lv, 0))  # QEMU writes a small image without backing first
            if step.backing:
                yield run(host, QcowCreate(step.lv, step.virtual_size_bytes))  # then its size, and that name last
        case LvZero():
            yield run(host, LvZeroRange(step.lv, 0, BLOCK_BYTES))
        case LvZeroRange() | LvDiscardRange() if step.length_bytes > BLOCK_BYTES:
            blocks = step.length_bytes // BLOCK_BYTES
            yield run(host, replace(step, length_bytes=blocks // 2 * BLOCK_BYTES))
        case QcowResize():
            yield _leaked(host, step.lv)  # the new size is one sector; before it, a larger table may be allocated
        case ImageWrite() | ImageCopy() | ImageReceive():
            yield _half_filled(host, step)
            if step.format is Format.QCOW2:
                yield _leaked(host, step.lv)  # its tables come last
        case QcowCommit():
            backing = host.headers([step.lv])[step.lv].backing
            assert backing is not None
            headers = host.headers([step.lv, backing])
            if headers[backing].virtual_size_bytes < headers[step.lv].virtual_size_bytes:
                host = run(host, QcowResize(backing, headers[step.lv].virtual_size_bytes))  # that comes first
                yield host.copy()
            merged = _half_written(host, backing, step.lv)
            yield merged.copy()
            yield _leaked(merged, backing)  # allocated, and not linked yet
        case QcowRebase():
            copied = _half_written(host, step.lv, step.lv)
            yield copied.copy()
            yield _leaked(copied, step.lv)
            yield _header_first(copied, step)
            yield _header_first(host, step)
            yield from _torn(copied, step.lv, step.backing)
        case LvCreate() | LvRename() | LvExtend() | LvPermission() | LvZeroRange() | LvDiscardRange():
            pass  # one metadata commit, or one block
        case QcowRelink():
            yield from _torn(host, step.lv, step.backing)
        case QcowRepairLeaks():
            pass  # a leak more or less
        case DeviceClear() | DeviceRemove():
            pass  # one call
        case ImageExport() | ImageSend():
            pass  # nothing of the volume group changes
        case _:
            assert_never(step)


def _half_written(host: SimHost, to: str, content_of: str) -> SimHost:
    """Half of what one image reads is written into another (or into itself, as a copy of what it read through)."""
    twin = host.copy()
    blocks = host.read(content_of).blocks
    some = sorted(blocks)[: (len(blocks) + 1) // 2]
    twin.guest_write(to, runs({block: blocks[block] for block in some}))
    return twin


def _half_filled(host: SimHost, step: ImageWrite | ImageCopy | ImageReceive) -> SimHost:
    """Half of what was to be copied into a new image is there."""
    twin = run(host, step)
    image = twin.state.lvs[step.lv].image
    some = sorted(image.blocks)[: (len(image.blocks) + 1) // 2]
    twin.state.put(step.lv, replace(image, blocks={block: image.blocks[block] for block in some}))
    return twin


def _before_commit(host: SimHost, step: Step) -> Iterator[SimHost]:
    """What an lvm leaves that is killed before it commits its metadata: only devices are changed."""
    if isinstance(step, LvExtend | LvPermission) and host.state.lvs[step.lv].active:
        lv = host.state.lvs[step.lv]
        loaded = host.copy()
        loaded.preload(step.lv, step.size_bytes if isinstance(step, LvExtend) else lv.size_bytes)
        yield loaded.copy()
        yield _suspended(loaded, step.lv)
    if isinstance(step, LvRename) and host.state.lvs[step.lv].active:
        yield _suspended(host, step.lv)


def _after_commit(host: SimHost, step: Step) -> Iterator[SimHost]:
    """What an lvm leaves that is killed after that: devices that are not as they should be yet, or names in /dev."""
    match step:
        case LvCreate():
            yield _suspended(run(host, step), step.lv)
            yield _wrong_in_dev(run(host, step), step.lv)
        case LvExtend() | LvPermission() | LvRename() if host.state.lvs[step.lv].active:
            yield _not_resumed(host, step)
            if isinstance(step, LvRename):
                for kind in (StrayKind.NODE, StrayKind.LINK):
                    renamed = _wrong_in_dev(run(host, step), step.to)
                    renamed.stray(step.lv, kind)
                    yield renamed
                    renamed = _wrong_in_dev(_not_resumed(host, step), step.to)
                    renamed.stray(step.lv, kind)
                    yield renamed
        case LvActivate() if idle := [lv for lv in step.lvs if not host.state.lvs[lv].active]:
            yield _suspended(run(host, step), idle[0])
            yield _wrong_in_dev(run(host, step), idle[0])
        case LvRefresh() if host.state.lvs[step.lvs[0]].active:
            yield _suspended(run(host, step), step.lvs[0])
        case LvDeactivate() if going := [lv for lv in step.lvs if host.state.lvs[lv].active]:
            yield _wrong_in_dev(run(host, step), going[0])
        case LvRemove() if going := [lv for lv in step.lvs if host.state.lvs[lv].active]:
            for kind in (StrayKind.NODE, StrayKind.LINK):
                removed = run(host, step)
                for lv in going:
                    removed.stray(lv, kind)
                yield removed


def _wrong_in_dev(host: SimHost, lv: str) -> SimHost:
    """Its name in /dev is not as it should be."""
    host.misplace(lv)
    return host


def _suspended(host: SimHost, lv: str) -> SimHost:
    """Its device is suspended, and LVM's metadata as before."""
    twin = host.copy()
    twin.suspend(lv)
    return twin


def _not_resumed(host: SimHost, step: LvExtend | LvRename | LvPermission) -> SimHost:
    """LVM's metadata is as it should be, so the step is done, and the device suspended in its old size."""
    lv = step.to if isinstance(step, LvRename) else step.lv
    twin = _suspended(run(host, step), lv)
    twin.state.lvs[lv] = replace(twin.state.lvs[lv], device_bytes=host.state.lvs[step.lv].device_bytes)
    return twin


def _leaked(host: SimHost, lv: str) -> SimHost:
    """A cluster is allocated that nothing refers to."""
    twin = host.copy()
    twin.state.put(lv, replace(twin.state.qcow(lv, ("leak", lv)), leaked_clusters=1))
    return twin


def _header_first(host: SimHost, step: QcowRebase) -> SimHost:
    """The header names the new backing image, and the data that was to be copied is not there."""
    twin = host.copy()
    twin.state.put(step.lv, replace(twin.state.qcow(step.lv, ("rebase", step.lv)), backing=step.backing))
    return twin


def _torn(host: SimHost, lv: str, backing: str | None) -> Iterator[SimHost]:
    """The first sector of the header is written, with the length of the new backing name, and not the name itself."""
    image = host.state.qcow(lv, ("tear", lv))
    if backing and image.backing and len(backing) != len(image.backing):
        twin = host.copy()
        twin.state.put(lv, replace(image, backing=image.backing.ljust(len(backing), "\0")[: len(backing)]))
        yield twin
