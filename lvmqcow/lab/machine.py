"""Look at this machine and return what was found as one frozen value. `doctor` judges it.

Looking changes nothing, except that opening the two control nodes may make the kernel load their
modules. Using the devices would load them too.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lvmqcow.system.requirements import root_path
from lvmqcow.system.udev import CONTROL, INITIAL_IPC_NAMESPACE, dev_file_system

from .rundir import leftover_run_directories
from .uml.boot import is_executable_memory, memory_directories
from .uml.kernels import installed_kernel, version_of

__all__ = ["LVM_SETTINGS", "TOOLS", "UML_MODULES", "Driver", "Machine", "MemoryDirectory", "probe"]

TOOLS = ("lvm", "dmsetup", "losetup", "blkdiscard", "qemu-img", "modprobe")
UML_MODULES = ("overlay", "dm-mod", "loop")
LVM_SETTINGS = (
    "devices/obtain_device_list_from_udev",
    "devices/use_devicesfile",
    "global/use_aio",
    "activation/udev_sync",
)
_CAP_SYS_ADMIN = 21


class Driver(Enum):
    """The result of opening a driver's control node."""

    READY = "ready"
    NO_NODE = "no node"  # the kernel has the driver, this /dev has not got its node
    DENIED = "denied"
    ABSENT = "absent"  # the kernel has no such driver


@dataclass(frozen=True)
class MemoryDirectory:
    """A directory in which User-mode Linux could keep its memory."""

    path: Path
    executable: bool
    free_bytes: int


@dataclass(frozen=True)
class Machine:
    """What this machine has and lacks for a lab."""

    architecture: str
    user_id: int
    may_administrate: bool  # CAP_SYS_ADMIN, and not just in a user namespace
    device_mapper: Driver
    loop: Driver
    dev_file_system: str  # "devtmpfs", unless this is a container's snapshot
    free_loop_nodes: int
    own_ipc_namespace: bool
    udev_control: bool  # /run/udev is there: LVM thinks that udev runs
    devices_file: bool
    lvm_settings: Mapping[str, str]
    tools: Mapping[str, str | None]
    qemu_img_version: tuple[int, ...] | None
    cpu_amx: bool  # a process has registers that an old User-mode Linux has no room for
    uml_version: tuple[int, ...] | None
    uml_modules: frozenset[str]
    memory_directories: tuple[MemoryDirectory, ...]
    temporary_directory: Path
    temporary_nodev: bool
    venv: bool
    leftover_run_directories: tuple[Path, ...]
    leftover_loops: tuple[str, ...]  # "/dev/loop3 (/path/of/lvmqcow/file)"


def probe() -> Machine:
    """Look at this machine."""
    path = root_path(os.environ)
    tools = {tool: shutil.which(tool, path=path) for tool in TOOLS}
    temporary = Path(tempfile.gettempdir())
    kernel = installed_kernel()
    return Machine(
        architecture=platform.machine(),
        user_id=os.geteuid(),
        may_administrate=_may_administrate(),
        device_mapper=_driver("/dev/mapper/control", "device-mapper"),
        loop=_driver("/dev/loop-control", "loop-control"),
        dev_file_system=_dev_file_system(),
        free_loop_nodes=_free_loop_nodes(),
        own_ipc_namespace=_link("/proc/self/ns/ipc") not in ("", INITIAL_IPC_NAMESPACE),
        udev_control=CONTROL.exists(),
        devices_file=os.path.exists("/etc/lvm/devices/system.devices"),
        lvm_settings=_lvm_settings(tools["lvm"]),
        tools=tools,
        qemu_img_version=_version(tools["qemu-img"]),
        cpu_amx="amx_tile" in _text("/proc/cpuinfo").split(),
        uml_version=version_of(kernel) if kernel else None,
        uml_modules=_modules(kernel.modules) if kernel else frozenset(),
        memory_directories=tuple(map(_memory_directory, memory_directories())),
        temporary_directory=temporary,
        temporary_nodev=bool(os.statvfs(temporary).f_flag & os.ST_NODEV),
        venv=importlib.util.find_spec("ensurepip") is not None,
        leftover_run_directories=leftover_run_directories(),
        leftover_loops=_leftover_loops(),
    )


def _may_administrate() -> bool:
    match = re.search(r"^CapEff:\s*([0-9a-f]+)", _text("/proc/self/status"), re.MULTILINE)
    capable = match is not None and bool(int(match[1], 16) >> _CAP_SYS_ADMIN & 1)
    return capable and _text("/proc/self/uid_map").split() == ["0", "0", str(2**32 - 1)]


def _driver(node: str, misc_name: str) -> Driver:
    try:
        os.close(os.open(node, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        in_kernel = misc_name in _text("/proc/misc").split()
        return Driver.NO_NODE if in_kernel else Driver.ABSENT
    except OSError as error:
        return Driver.DENIED if error.errno in (errno.EACCES, errno.EPERM) else Driver.ABSENT
    return Driver.READY


def _dev_file_system() -> str:
    try:
        return dev_file_system()
    except OSError:
        return ""


def _free_loop_nodes() -> int:
    nodes = (path.name for path in Path("/dev").glob("loop[0-9]*"))
    return sum(not Path("/sys/block", name, "loop").exists() for name in nodes)


def _lvm_settings(lvm: str | None) -> dict[str, str]:
    if lvm is None:
        return {}
    lines = _output([lvm, "lvmconfig", "--type", "full", *LVM_SETTINGS]).splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return {name: values[name.split("/")[1]] for name in LVM_SETTINGS
            if name.split("/")[1] in values}  # fmt: skip


def _version(qemu_img: str | None) -> tuple[int, ...] | None:
    if qemu_img is None:
        return None
    match = re.search(r"version (\d+)\.(\d+)\.(\d+)", _output([qemu_img, "--version"]))
    return tuple(map(int, match.groups())) if match else None


def _modules(directory: Path) -> frozenset[str]:
    lists = [_text(str(path)) for path in directory.glob("*/modules.dep")]
    return frozenset(name for name in UML_MODULES if any(f"/{name}.ko" in listed for listed in lists))


def _memory_directory(path: Path) -> MemoryDirectory:
    executable = is_executable_memory(path)
    free = os.statvfs(path) if executable else None
    return MemoryDirectory(path, executable, free.f_bavail * free.f_frsize if free else 0)


def _leftover_loops() -> tuple[str, ...]:
    files = Path("/sys/block").glob("loop*/loop/backing_file")
    backed = [(f"/dev/{file.parent.parent.name}", _text(str(file)).strip()) for file in files]
    return tuple(f"{device} ({file})" for device, file in sorted(backed) if "lvmqcow" in file)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _output(argv: list[str]) -> str:
    environment = {"PATH": os.defpath, "LC_ALL": "C", "LVM_SUPPRESS_FD_WARNINGS": "1"}
    return subprocess.run(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        errors="replace",
        check=False,
    ).stdout
