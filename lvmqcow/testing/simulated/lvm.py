"""What the steps of LVM and of dmsetup do to a simulated volume group."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from lvmqcow.core.lv import StrayKind
from lvmqcow.core.sizing import whole_extents
from lvmqcow.errors import CommandFailed
from lvmqcow.steps import (
    DeviceClear,
    DeviceRemove,
    DeviceStep,
    LinkRemove,
    LvActivate,
    LvAutoactivation,
    LvCreate,
    LvDeactivate,
    LvExtend,
    LvmStep,
    LvPermission,
    LvRefresh,
    LvRemove,
    LvRename,
    LvTag,
    NodeRemove,
    Permission,
)
from lvmqcow.testing.content import BLOCK_BYTES
from lvmqcow.testing.simulated.state import STALE, Lv, Raw, State

__all__ = ["run_device", "run_lvm"]


def run_lvm(state: State, step: LvmStep, argv: tuple[str, ...]) -> None:
    """Run a step. Raises CommandFailed, as the tool does."""
    state.require_changeable(argv)
    match step:
        case LvCreate():
            _create(state, step, argv)
        case LvRename():
            if step.to in state.lvs:
                raise CommandFailed(argv, 5, f'Logical Volume "{step.to}" already exists')
            state.take_name(step.to, argv)
            state.lvs[step.to] = state.find(step.lv, argv).resumed()
            del state.lvs[step.lv]
        case LvRemove():
            for name in step.lvs:
                state.freed += () if state.unused(name, argv).wiped else (name,)
                del state.lvs[name]
        case LvExtend():
            _extend(state, step, argv)
        case LvTag():
            for name in step.lvs:
                lv = state.find(name, argv)
                state.lvs[name] = replace(lv, tags=(lv.tags | set(step.add)) - set(step.drop))
        case LvPermission():
            lv, writable = state.find(step.lv, argv), step.permission is Permission.WRITE
            if lv.writable == writable:
                raise CommandFailed(argv, 5, f'Logical volume "{step.lv}" is already {step.permission}.')
            state.lvs[step.lv] = replace(lv.resumed(), writable=writable)
        case LvActivate():
            for name in step.lvs:
                lv = state.find(name, argv)
                device_bytes = lv.device_bytes if lv.active else lv.size_bytes
                state.lvs[name] = replace(lv, active=True, device_bytes=device_bytes)
        case LvDeactivate():
            for name in step.lvs:
                lv = replace(state.unused(name, argv), active=False, suspended=False)
                state.lvs[name] = replace(lv, preloaded_bytes=None, wrong_in_dev=lv.wrong_in_dev and not lv.active)
        case LvAutoactivation():
            for name in step.lvs:
                state.lvs[name] = replace(state.find(name, argv), autoactivated=step.at_boot)
        case LvRefresh():
            for name in step.lvs:
                lv = state.find(name, argv)
                if lv.preloaded_bytes is not None:
                    state.lvs[name] = lv.resumed()
                else:
                    wrong_in_dev = lv.wrong_in_dev and not lv.active
                    right = replace(lv, device_bytes=lv.size_bytes, suspended=False, wrong_in_dev=wrong_in_dev)
                    state.lvs[name] = right
        case _:
            assert_never(step)


def run_device(state: State, step: DeviceStep, argv: tuple[str, ...]) -> None:
    """Run a step. Raises CommandFailed, as the tool does."""
    match step:
        case NodeRemove():
            for name in step.lvs:
                if state.strays.get(name) is StrayKind.NODE:
                    state.strays[name] = StrayKind.LINK
        case DeviceClear():
            state.lvs[step.lv] = replace(state.find(step.lv, argv), preloaded_bytes=None)
        case DeviceRemove():
            if state.strays.get(step.lv) is not StrayKind.DEVICE:
                raise CommandFailed(argv, 1, f"Device {step.lv} not found")
            state.strays[step.lv] = StrayKind.LINK
        case LinkRemove():
            for name in step.lvs:
                if state.strays.get(name) is StrayKind.LINK:
                    del state.strays[name]
                elif (idle := state.lvs.get(name)) and not idle.active:
                    state.lvs[name] = replace(idle, wrong_in_dev=False)
        case _:
            assert_never(step)


def _create(state: State, step: LvCreate, argv: tuple[str, ...]) -> None:
    if step.lv in state.lvs:
        raise CommandFailed(argv, 5, f'Logical Volume "{step.lv}" already exists in volume group "{state.vg}"')
    if state.group.max_logical_volumes and len(state.lvs) >= state.group.max_logical_volumes:
        said = f"Maximum number of logical volumes ({state.group.max_logical_volumes}) reached"
        raise CommandFailed(argv, 5, f"{said} in volume group {state.vg}")
    state.require_extents(step.size_bytes, argv)
    state.take_name(step.lv, argv)
    state.made += 1
    size_bytes = whole_extents(step.size_bytes, state.extent_size_bytes)
    wiped = Raw({0: 0}, rest=STALE)
    state.lvs[step.lv] = Lv(f"sim-{state.made}", size_bytes, frozenset(step.tags), True, wiped, size_bytes)


def _extend(state: State, step: LvExtend, argv: tuple[str, ...]) -> None:
    lv = state.find(step.lv, argv)
    if step.size_bytes <= lv.size_bytes:
        raise CommandFailed(argv, 5, "New size is not larger than existing size")
    state.require_extents(step.size_bytes - lv.size_bytes, argv)
    size_bytes = whole_extents(step.size_bytes, state.extent_size_bytes)
    image = lv.image
    if isinstance(image, Raw):
        added = range(lv.size_bytes // BLOCK_BYTES, size_bytes // BLOCK_BYTES)
        image = replace(image, blocks={**image.blocks, **dict.fromkeys(added, STALE)})
    grown = replace(lv, size_bytes=size_bytes, image=image, device_bytes=size_bytes)
    state.lvs[step.lv] = replace(grown, suspended=False, preloaded_bytes=None)
