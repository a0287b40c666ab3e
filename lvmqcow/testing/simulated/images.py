"""What the steps of QEMU and of blkdiscard do to a simulated volume group."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from lvmqcow.core.names import Format
from lvmqcow.errors import CommandFailed
from lvmqcow.steps import (
    DataStep,
    ImageCopy,
    ImageExport,
    ImageReceive,
    ImageSend,
    ImageWrite,
    LvDiscardRange,
    LvZero,
    LvZeroRange,
    QcowCommit,
    QcowCreate,
    QcowRebase,
    QcowRelink,
    QcowRepairLeaks,
    QcowResize,
    RangeStep,
)
from lvmqcow.testing.content import BLOCK_BYTES, Content
from lvmqcow.testing.simulated.measure import fully_allocated_bytes
from lvmqcow.testing.simulated.state import STALE, Qcow, Raw, State, stream_path

__all__ = ["put_what_fits", "read", "run_image"]


def run_image(state: State, step: DataStep, argv: tuple[str, ...]) -> None:
    """Run a step. Raises CommandFailed, as the tool does."""
    match step:
        case LvZero():
            state.open(step.lv, argv)
            state.put(step.lv, Raw({}))
        case LvZeroRange() | LvDiscardRange():
            _clear_range(state, step, argv)
        case QcowCreate():
            state.open(step.lv, argv)
            state.put(step.lv, Qcow(step.virtual_size_bytes, step.backing))
        case QcowCommit():
            _commit(state, step, argv)
        case QcowRebase():
            _rebase(state, step, argv)
        case QcowRelink():
            state.put(step.lv, replace(state.qcow(step.lv, argv), backing=step.backing))
        case QcowRepairLeaks():
            state.view(step.lv, argv)
            state.put(step.lv, replace(state.qcow(step.lv, argv), leaked_clusters=0))
        case QcowResize():
            state.view(step.lv, argv)
            qcow = state.qcow(step.lv, argv)
            if step.virtual_size_bytes < qcow.virtual_size_bytes:
                raise CommandFailed(argv, 1, "Use the --shrink option to perform a shrink operation.")
            state.put(step.lv, replace(qcow, virtual_size_bytes=step.virtual_size_bytes))
        case ImageWrite():
            _fill(state, step, state.files[step.source], argv)
        case ImageCopy():
            if isinstance(state.open(step.source_lv, argv).image, Qcow) != (step.source_format is Format.QCOW2):
                raise CommandFailed(argv, 1, f"{step.source_lv} is not {step.source_format}")
            _fill(state, step, read(state, step.source_lv), argv)
        case ImageReceive():
            source = state.files[stream_path(step.stream)]
            if source.size_bytes != step.size_bytes:
                raise CommandFailed(argv, 1, f"the stream has {source.size_bytes} bytes, not {step.size_bytes}")
            _fill(state, step, source, argv)
        case ImageExport():
            state.files[step.path] = read(state, step.lv)
        case ImageSend():
            state.files[stream_path(step.stream)] = read(state, step.lv)
        case _:
            assert_never(step)


def read(state: State, lv_name: str) -> Content:
    """Return what a guest reads from an image, backing images included."""
    lv = state.open(lv_name, ("read", lv_name))
    if isinstance(lv.image, Raw):
        rest = dict.fromkeys(range(lv.size_bytes // BLOCK_BYTES), lv.image.rest) if lv.image.rest else {}
        return Content(lv.size_bytes, {**rest, **lv.image.blocks})
    return Content(lv.image.virtual_size_bytes, state.view(lv_name, ("read", lv_name)))


def _fill(state: State, step: ImageWrite | ImageCopy | ImageReceive, source: Content, argv: tuple[str, ...]) -> None:
    """Copy everything except zeros: the command is told that the target reads as zeros."""
    lv = state.open(step.lv, argv)
    if isinstance(lv.image, Qcow) != (step.format is Format.QCOW2):
        raise CommandFailed(argv, 1, f"{step.lv} is not {step.format}")
    if source.size_bytes > (lv.image.virtual_size_bytes if isinstance(lv.image, Qcow) else lv.device_bytes):
        raise CommandFailed(argv, 1, "output file is smaller than input file")
    data = {block: byte for block, byte in source.blocks.items() if byte}
    state.put(step.lv, replace(lv.image, blocks={**lv.image.blocks, **data}))


def _clear_range(state: State, step: RangeStep, argv: tuple[str, ...]) -> None:
    lv = state.open(step.lv, argv)
    end_bytes = step.offset_bytes + step.length_bytes
    if end_bytes > lv.device_bytes:
        raise CommandFailed(argv, 1, f"{end_bytes} is greater than device size {lv.device_bytes}")
    state.require_writable(step.lv)
    if isinstance(step, LvDiscardRange):
        if step.offset_bytes <= lv.discarded_bytes:
            state.lvs[step.lv] = replace(lv, discarded_bytes=max(lv.discarded_bytes, end_bytes))
        return
    if isinstance(lv.image, Qcow) and step.offset_bytes:
        raise CommandFailed(argv, 1, f"{step.lv} has an image, and that not in one piece: no plan does that")
    if step.length_bytes == lv.size_bytes:
        state.put(step.lv, Raw({}))
        return
    image = lv.image if isinstance(lv.image, Raw) else Raw({}, rest=STALE)
    zeros = dict.fromkeys(range(step.offset_bytes // BLOCK_BYTES, end_bytes // BLOCK_BYTES), 0)
    state.put(step.lv, replace(image, blocks={**image.blocks, **zeros}))


def _commit(state: State, step: QcowCommit, argv: tuple[str, ...]) -> None:
    child = state.qcow(step.lv, argv)
    if child.backing is None:
        raise CommandFailed(argv, 1, "Image does not have a backing file")
    base = state.qcow(child.backing, argv)
    state.view(step.lv, argv)
    size_bytes = max(base.virtual_size_bytes, child.virtual_size_bytes)
    larger = replace(base, virtual_size_bytes=size_bytes)
    put_what_fits(state, child.backing, larger, replace(larger, blocks={**base.blocks, **child.blocks}), argv)


def _rebase(state: State, step: QcowRebase, argv: tuple[str, ...]) -> None:
    child = state.qcow(step.lv, argv)
    old = state.view(child.backing, argv) if child.backing else {}
    new = state.view(step.backing, argv) if step.backing else {}
    last = child.virtual_size_bytes // BLOCK_BYTES
    differing = {
        block: old.get(block, 0)
        for block in old.keys() | new.keys()
        if block < last and block not in child.blocks and old.get(block, 0) != new.get(block, 0)
    }
    rebased = replace(child, backing=step.backing, blocks={**child.blocks, **differing})
    put_what_fits(state, step.lv, child, rebased, argv)


def put_what_fits(state: State, lv_name: str, before: Qcow, after: Qcow, argv: tuple[str, ...]) -> None:
    """All, or where there is no space half of the blocks that are new to it: its header stays then.

    Stricter than qemu-img, which fails only once the device is full: a planner may not count on luck.
    """
    needed_bytes = fully_allocated_bytes(after.virtual_size_bytes, after.options) + after.scattered_bytes
    if state.lvs[lv_name].device_bytes >= needed_bytes:
        state.put(lv_name, after)
        return
    new = sorted(block for block, byte in after.blocks.items() if before.blocks.get(block) != byte)
    some = {block: after.blocks[block] for block in new[: len(new) // 2]}
    state.put(lv_name, replace(before, blocks={**before.blocks, **some}))
    raise CommandFailed(argv, 1, "Block job failed: No space left on device")
