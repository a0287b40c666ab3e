"""The host that runs steps on a volume group of this machine, with lvm2 and QEMU's tools."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import assert_never

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.holder import Holder
from lvmqcow.core.images import FileCheck, ImageCheck, MergeCost
from lvmqcow.core.names import device_path
from lvmqcow.core.qcow2 import HEADER_BYTES, OURS, Header, ImageOptions, parse_header
from lvmqcow.errors import CommandFailed
from lvmqcow.formats import SourceFormat
from lvmqcow.lvm.commands import Lvm
from lvmqcow.lvm.devices import device_names, with_devices
from lvmqcow.lvm.look import read_volume_group
from lvmqcow.qemu.image_safety import require_harmless, require_harmless_alone
from lvmqcow.qemu.img import QemuImg
from lvmqcow.qemu.nbd import QemuNbd
from lvmqcow.steps import (
    Argv,
    DeviceStep,
    ImageReceive,
    ImageSend,
    ImageStep,
    LvDiscardRange,
    LvmStep,
    LvTag,
    LvZero,
    LvZeroRange,
    RangeStep,
    Step,
    StreamStep,
)
from lvmqcow.steps.chunks import chunks, pause_seconds
from lvmqcow.system.callbacks import Progress
from lvmqcow.system.holders import holders
from lvmqcow.system.requirements import require_device_mapper, require_temporary_directory, require_tools

__all__ = ["RealHost", "can_discard"]


class RealHost:
    """A volume group of this machine. It implements `lvmqcow.engine.host.Host`."""

    def __init__(
        self,
        vg: str,
        lvm: Lvm,
        qemu_img: QemuImg,
        qemu_nbd: QemuNbd | None = None,
        wipe_bytes_per_second: int | None = None,
    ) -> None:
        """``wipe_bytes_per_second`` limits how fast parts of LVs are overwritten; None is no limit."""
        self._vg = vg
        self._lvm = lvm
        self._qemu_img = qemu_img
        self._qemu_nbd = qemu_nbd if qemu_nbd is not None else QemuNbd()
        self._wipe_bytes_per_second = wipe_bytes_per_second

    @property
    def vg(self) -> str:
        return self._vg

    def observe(self) -> VolumeGroup:
        before = device_names(self._vg)
        return with_devices(read_volume_group(self._lvm, self._vg), before)

    def headers(self, lv_names: Iterable[str]) -> Mapping[str, Header]:
        found = {name: parse_header(self._start(name)) for name in lv_names}
        return {name: header for name, header in found.items() if header}

    def measure(self, virtual_size_bytes: int, options: ImageOptions = OURS) -> int:
        return self._qemu_img.measure(virtual_size_bytes, options)

    def merge_cost(self, child_lv: str) -> MergeCost:
        require_harmless(self._vg, child_lv, self._header)
        return self._qemu_img.merge_cost(device_path(self._vg, child_lv))

    def check(self, lv_name: str) -> ImageCheck:
        path = device_path(self._vg, lv_name)
        header = parse_header(self._start(lv_name))
        if header is None:
            raise CommandFailed(("read", path), 1, "the device holds no qcow2 image")
        require_harmless(self._vg, lv_name, self._header)
        return self._qemu_img.check(path, header.cluster_size_bytes)

    def check_file(self, path: str, source_format: SourceFormat) -> FileCheck:
        return self._qemu_img.check_file(path, source_format)

    def holders(self, lv_name: str) -> tuple[Holder, ...]:
        return holders(device_path(self._vg, lv_name))

    def require_fit(self, steps: Sequence[Step]) -> None:
        require_tools(step.argv(self._vg) for step in steps if not isinstance(step, LvmStep))
        if any(isinstance(step, StreamStep) for step in steps):
            require_temporary_directory()
        if not all(isinstance(step, LvTag) for step in steps):  # all other steps need devices
            require_device_mapper()

    def run(self, step: Step, progress: Progress | None = None) -> None:
        if not isinstance(step, LvmStep | DeviceStep):
            _require_device(device_path(self._vg, step.lv))
        for lv_name in step.opens:
            require_harmless(self._vg, lv_name, self._header)
        for lv_name in step.opens_alone:
            require_harmless_alone(self._vg, lv_name, self._header)
        self._run(step, step.argv(self._vg), progress)
        for path in self._lvm.physical_volumes:
            self._flush(path)  # LVM sends no flush of its own after a metadata commit

    def _run(self, step: Step, argv: Argv, progress: Progress | None) -> None:
        if isinstance(step, LvmStep):
            self._lvm.change(argv)
        elif isinstance(step, DeviceStep):
            self._qemu_img.run(argv)
        elif isinstance(step, RangeStep):
            self._clear(step, progress)
        elif isinstance(step, ImageSend):
            self._qemu_nbd.send(argv, step.stream, step.head, step.size_bytes, progress)
        elif isinstance(step, ImageReceive):
            self._qemu_nbd.receive(argv, step.stream, step.size_bytes, progress, step.head)
            self._flush(device_path(self._vg, step.lv))
        elif isinstance(step, LvZero | ImageStep):
            self._qemu_img.run(argv, progress)
            self._flush(device_path(self._vg, step.lv))
        else:
            assert_never(step)

    def close(self) -> None:
        self._lvm.close()

    def _header(self, lv_name: str) -> Header | None:
        if not os.path.exists(device_path(self._vg, lv_name)):
            raise FileNotFoundError(lv_name)
        return parse_header(self._start(lv_name))

    def _clear(self, step: RangeStep, progress: Progress | None) -> None:
        path = device_path(self._vg, step.lv)
        if isinstance(step, LvDiscardRange) and not can_discard(path):
            step = LvZeroRange(step.lv, step.offset_bytes, step.length_bytes)
        started, done_bytes, rate = time.monotonic(), 0, self._wipe_bytes_per_second
        for chunk in chunks(step, rate):
            self._qemu_img.run(chunk.argv(self._vg))
            done_bytes += chunk.length_bytes
            if progress is not None:
                progress(100 * done_bytes / step.length_bytes)
            time.sleep(pause_seconds(done_bytes, time.monotonic() - started, rate))
        self._flush(path)

    def _start(self, lv_name: str) -> bytes:
        path = device_path(self._vg, lv_name)
        try:
            with open(path, "rb", buffering=0) as device:
                return device.read(HEADER_BYTES)
        except OSError as error:
            raise CommandFailed(("read", path), error.errno or 1, error.strerror or str(error)) from error

    def _flush(self, path: str) -> None:
        try:
            device = os.open(path, os.O_RDONLY)
            try:
                os.fsync(device)
            finally:
                os.close(device)
        except OSError as error:
            raise CommandFailed(("fsync", path), error.errno or 1, error.strerror or str(error)) from error


def _require_device(path: str) -> None:
    """Refuse a path without a block device: `qemu-img create` would create a file in ``/dev`` and succeed."""
    try:
        there = Path(path).is_block_device()
    except OSError as error:
        raise CommandFailed(("stat", path), error.errno or 1, error.strerror or str(error)) from error
    if not there:
        raise CommandFailed(("stat", path), errno.ENOTBLK, "the path is missing or is no block device")


def can_discard(path: str) -> bool:
    """Return whether a block device supports discards. Raises CommandFailed: the device does not exist."""
    try:
        number = os.stat(path).st_rdev
        limit = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/queue/discard_max_bytes").read_text()
    except OSError as error:
        raise CommandFailed(("stat", path), error.errno or 1, error.strerror or str(error)) from error
    return limit.strip() != "0"
