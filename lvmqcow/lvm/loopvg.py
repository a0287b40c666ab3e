"""A volume group on a sparse file, for a laptop, a test or a first try.

The file is attached to a loop device, which is the only physical volume of the volume group. The volume group has the
tag ``lvmqcow.loopvg``. `destroy` removes only volume groups with this tag.

If LVM uses a devices file (lvmdevices(8)), the loop device is added to it, as ``vgcreate`` does by itself. Otherwise
only commands that name the device would see the volume group.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lvmqcow.core.names import check_vg_name
from lvmqcow.core.sizing import LARGEST_FILE_BYTES, whole_sectors
from lvmqcow.errors import AlreadyExists, CommandFailed, InvalidSize, NotPossible, VolumeGroupNotFound
from lvmqcow.lvm.commands import LvmProcesses
from lvmqcow.system.requirements import command_environment, required, starting
from lvmqcow.units import format_size

__all__ = ["DEFAULT_DIRECTORY", "LoopVolumeGroup", "contents", "create", "destroy", "existing", "find"]

DEFAULT_DIRECTORY: Final = Path("/var/lib/lvmqcow")

_TAG: Final = "lvmqcow.loopvg"
_LOOP_MAJOR: Final = 7
_LOOP_CTL_GET_FREE: Final = 0x4C82  # linux/loop.h
_DETACH_SECONDS: Final = 30
_LOCK: Final = Path("/run/lock/lvmqcow.losetup")


@dataclass(frozen=True)
class LoopVolumeGroup:
    """A volume group, its loop device, and the file of that device."""

    name: str
    size_bytes: int
    free_bytes: int
    device: str
    file: Path


def create(name: str, size_bytes: int, file: Path | None = None) -> LoopVolumeGroup:
    """Make a sparse file of ``size_bytes`` and a volume group on it. ``file`` must not exist yet.

    Raises:
        InvalidName, InvalidSize: the name or the size is not possible.
        AlreadyExists: the volume group or the file exists.
        NotPossible: the file cannot be made.
        UnfitMachine, CommandFailed: the volume group could not be made; the file is removed again.
    """
    check_vg_name(name)
    size_bytes = whole_sectors(size_bytes, LARGEST_FILE_BYTES)
    lvm = LvmProcesses()
    if _is_visible(lvm, name) or any(name == group.name for group in existing()):
        raise AlreadyExists("volume group", name)
    path = _make_file(file or DEFAULT_DIRECTORY / f"{name}.img", size_bytes)
    try:
        device = _attach(path)
        try:
            creating = ("vgcreate", "--yes", "--setautoactivation", "n", "--addtag", _TAG, name, device)
            LvmProcesses((device,)).change(creating)
            if not _is_visible(lvm, name):
                lvm.change(("lvmdevices", "--adddev", device))
            return find(name)
        except BaseException:
            _detach(device, path)
            raise
    except BaseException:
        _remove_file(path)
        raise


def existing() -> tuple[LoopVolumeGroup, ...]:
    """Return the loop volume groups of this machine, sorted by name. Only loop devices are read."""
    fields = "vg_name,vg_size,vg_free,vg_tags,pv_name"
    files = {device: file for device, file in _loop_files().items() if Path(device).is_block_device()}
    rows = LvmProcesses(tuple(files)).report(("pvs", "-o", fields))["pv"] if files else ()
    return tuple(
        LoopVolumeGroup(row["vg_name"], int(row["vg_size"]), int(row["vg_free"]), row["pv_name"], files[row["pv_name"]])
        for row in sorted(rows, key=lambda row: row["vg_name"])
        if _TAG in row["vg_tags"].split(",") and row["pv_name"] in files
    )


def find(name: str) -> LoopVolumeGroup:
    """Return the loop volume group of that name. Raises VolumeGroupNotFound: no volume group with our tag has it."""
    for group in existing():
        if group.name == name:
            return group
    raise VolumeGroupNotFound(name)


def contents(group: LoopVolumeGroup) -> tuple[str, ...]:
    """Return the names of all LVs of the volume group."""
    rows = LvmProcesses((group.device,)).report(("lvs", "-o", "lv_name", group.name))["lv"]
    return tuple(sorted(row["lv_name"] for row in rows))


def destroy(name: str) -> None:
    """Remove a loop volume group with all its volumes, its loop device and its file.

    Raises:
        VolumeGroupNotFound: no loop volume group has that name. Another volume group of that name is left alone.
        NotPossible: a volume is in use; or only the file is left, and it cannot be removed.
    """
    group = find(name)
    lvm = LvmProcesses((group.device,))
    try:
        lvm.change(("vgchange", "--activate", "n", name))
    except CommandFailed as failed:
        raise NotPossible(name, f"the volume group is in use ({failed.stderr})", "stop what uses it") from failed
    lvm.change(("vgremove", "--yes", "--force", name))
    with suppress(CommandFailed):  # LVM has no devices file, or the device is not in it
        LvmProcesses().change(("lvmdevices", "--deldev", group.device))
    _detach(group.device, group.file)
    _remove_file(group.file)


def _is_visible(lvm: LvmProcesses, name: str) -> bool:
    """Return whether LVM sees a volume group of that name if no command limits the devices."""
    return any(row["vg_name"] == name for row in lvm.report(("vgs", "-o", "vg_name"))["vg"])


def _make_file(named: Path, size_bytes: int) -> Path:
    """Make a sparse file; returns its absolute path."""
    try:
        path = named.absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")
    except FileExistsError as error:
        raise AlreadyExists("file", error.filename) from None
    except OSError as error:
        raise _no_file(named, error) from error
    try:
        with file:
            os.truncate(file.fileno(), size_bytes)
    except OSError as error:
        _remove_file(path)
        if error.errno == errno.EFBIG:
            reason = f"the file system of {path.parent} cannot hold a file that large; choose another with --file"
            raise InvalidSize(format_size(size_bytes), reason, size_bytes) from error
        raise _no_file(path, error) from error
    return path


def _remove_file(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        reason = f"the file cannot be removed: {error.strerror or error}"
        raise NotPossible(str(path), reason, "nothing uses it any more; remove it with rm") from error


def _no_file(path: Path, error: OSError) -> NotPossible:
    reason = f"the file cannot be made: {error.strerror or error}; nothing was begun"
    return NotPossible(str(path), reason, "name a file in a writable directory with --file")


def _attach(path: Path) -> str:
    with _attaching():
        _make_node()
        return _run(("losetup", "--find", "--show", str(path))).strip()


@contextmanager
def _attaching() -> Iterator[None]:
    """Hold a lock for the block: two ``losetup --find`` at a time may choose the same free device (losetup(8))."""
    with ExitStack() as held:
        with required(f"the lock {_LOCK} cannot be taken", "make its directory writable"):
            fd = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            held.callback(os.close, fd)
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield


def _make_node() -> None:
    """Make the node of the next free loop device. The kernel makes nodes, but not in the ``/dev`` of a container."""
    advice = "load the module (`modprobe loop`); in a container: docker run --privileged"
    with required("no loop device can be made", advice):
        with open("/dev/loop-control", "rb", buffering=0) as control:
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
        node = Path(f"/dev/loop{number}")
        with suppress(FileExistsError):
            os.mknod(node, stat.S_IFBLK | 0o660, os.makedev(_LOOP_MAJOR, number))


def _detach(device: str, path: Path) -> None:
    """Detach a loop device and wait until it is detached. The kernel delays that while the device is open."""
    _run(("losetup", "--detach", device))
    deadline = time.monotonic() + _DETACH_SECONDS
    while _loop_files().get(device) == path:
        if time.monotonic() > deadline:
            raise NotPossible(device, "the loop device is still in use", f"see `fuser -v {device}`")
        time.sleep(0.02)


def _loop_files() -> dict[str, Path]:
    listing = _run(("losetup", "--json", "--list", "--output", "NAME,BACK-FILE"))
    devices = json.loads(listing)["loopdevices"] if listing.strip() else []
    return {row["name"]: Path(row["back-file"]) for row in devices if row["back-file"]}


def _run(argv: Sequence[str]) -> str:
    with starting(argv):
        done = subprocess.run(
            argv, env=command_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise CommandFailed(argv, done.returncode, done.stderr)
    return done.stdout
