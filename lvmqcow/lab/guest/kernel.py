"""The system calls that building a world needs and Python does not offer."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct

__all__ = [
    "CLONE_NEWNS",
    "CLONE_NEWPID",
    "MS_BIND",
    "MS_PRIVATE",
    "MS_RDONLY",
    "MS_REC",
    "detach_mount",
    "die_with_parent",
    "mount",
    "pivot_root",
    "power_off",
    "set_host_name",
    "set_loopback_up",
    "sync_file_system",
    "unshare",
]

CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
MS_RDONLY = 1
MS_BIND = 1 << 12
MS_REC = 1 << 14
MS_PRIVATE = 1 << 18
_MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1
_RB_POWER_OFF = 0x4321FEDC
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_AF_INET = 2
_SOCK_DGRAM = 2

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    arguments = [os.fsencode(text) or None for text in (source, target, kind)]
    status = _libc.mount(*arguments, ctypes.c_ulong(flags), os.fsencode(options) or None)
    _check(status, f"mount {kind or 'bind'} on {target}")


def detach_mount(target: str) -> None:
    """umount2(2) with MNT_DETACH: the mount vanishes now, and is released when no process uses it."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"detach {target}")


def pivot_root(new_root: str) -> None:
    """Make `new_root` the root of this process, and let go of the old one."""
    os.chdir(new_root)
    _check(_libc.pivot_root(b".", b"."), f"pivot_root to {new_root}")
    detach_mount(".")  # the old root, now stacked on top of the new one
    os.chdir("/")


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when its parent ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal_number), 0, 0, 0), "prctl")


def power_off() -> None:
    """End this kernel."""
    _check(_libc.reboot(ctypes.c_int(_RB_POWER_OFF)), "power off")


def sync_file_system(directory: str) -> None:
    """syncfs(2): flush only this file system. sync(2) would hang on a suspended dm device."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _check(_libc.syncfs(descriptor), f"sync {directory}")
    finally:
        os.close(descriptor)


def set_loopback_up() -> None:
    """Bring the network interface `lo` up."""
    any_socket = _libc.socket(_AF_INET, _SOCK_DGRAM, 0)  # importing `socket` takes 40 ms in there
    fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
    os.close(any_socket)


def set_host_name(name: str) -> None:
    """sethostname(2)."""
    _check(_libc.sethostname(name.encode(), ctypes.c_size_t(len(name))), "sethostname")


def _check(status: int, action: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{action}: {os.strerror(number)}")
