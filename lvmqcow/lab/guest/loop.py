"""Loop devices that detach by themselves when their holder ends, even if it is killed."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

__all__ = ["attach"]

_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LO_FLAGS_AUTOCLEAR = 4
# struct loop_config: fd, block size, then struct loop_info64 (five u64, four u32 of which the last
# is the flags, 64 + 64 + 32 bytes, two u64), then eight reserved u64.
_LOOP_CONFIG = struct.Struct("=II5Q4I64s64s32s2Q8Q")


def attach(file: str) -> tuple[str, int]:
    """Attach a file; returns the device and a descriptor. Closing the descriptor detaches the device."""
    backing = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        while True:
            device, descriptor = _open_free()
            try:
                _configure(descriptor, backing, file)
            except OSError as error:
                os.close(descriptor)
                if error.errno != errno.EBUSY:  # somebody else was faster: take the next
                    raise
            else:
                return device, descriptor
    finally:
        os.close(backing)


def _open_free() -> tuple[str, int]:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        device = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
    finally:
        os.close(control)
    return device, os.open(device, os.O_RDWR | os.O_CLOEXEC)


def _configure(descriptor: int, backing: int, file: str) -> None:
    name = os.fsencode(file)[:63]
    identity = (0, 0, 0, 0, 0, 0, 0, 0, _LO_FLAGS_AUTOCLEAR, name, b"", b"", 0, 0)
    config = _LOOP_CONFIG.pack(backing, 0, *identity, *(0 for _ in range(8)))
    fcntl.ioctl(descriptor, _LOOP_CONFIGURE, config)
