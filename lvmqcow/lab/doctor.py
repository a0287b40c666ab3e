"""Judge what `machine` found. Each known failure of LVM on loop devices has one check.

A finding is MISSING if the lab needs something that the machine lacks. It is WARN if the lab works
around the problem, or if only programs outside the lab suffer. `mend` is a command or an advice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from lvmqcow.system.udev import KERNELS_DEV

from .machine import UML_MODULES, Driver, Machine
from .uml.kernels import LEAST_WITH_AMX

__all__ = ["Finding", "Status", "diagnose", "lab_kind", "verdict"]

LEAST_QEMU_IMG = (5, 2, 0)  # extended_l2
_COMFORTABLE_LOOPS = 8
_LEAST_MEMORY_BYTES = 2 << 30
_PACKAGES = {
    "lvm": "lvm2",
    "dmsetup": "dmsetup",
    "losetup": "mount",
    "blkdiscard": "util-linux",
    "qemu-img": "qemu-utils",
    "modprobe": "kmod",
}


class Status(Enum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    status: Status
    text: str
    mend: str = ""


def lab_kind(machine: Machine) -> str | None:
    """Return "direct", "uml", or None if neither is possible."""
    if _can_run_directly(machine):
        return "direct"
    return "uml" if _can_boot_uml(machine) else None


def diagnose(machine: Machine) -> tuple[Finding, ...]:
    """Run every check, in the order in which a user would solve the problems."""
    return tuple(finding for check in _CHECKS for finding in check(machine))


def verdict(machine: Machine) -> str:
    """Return one line that says which lab would be used."""
    kind = lab_kind(machine)
    if kind == "direct":
        return "lab: direct (root, device-mapper and loop devices are here)"
    if kind == "uml":
        return "lab: uml (User-mode Linux, over this machine's files)"
    return "lab: none (this machine can run neither; solve what is missing above)"


def _can_run_directly(machine: Machine) -> bool:
    usable = (Driver.READY, Driver.NO_NODE)  # the lab brings a /dev that has the nodes
    return (
        machine.user_id == 0 and machine.may_administrate and machine.device_mapper in usable and machine.loop in usable
    )


def _can_boot_uml(machine: Machine) -> bool:
    return (
        machine.uml_version is not None
        and not _too_old_for_cpu(machine.uml_version, machine)
        and machine.uml_modules >= set(UML_MODULES)
        and machine.tools.get("modprobe") is not None
        and any(place.executable for place in machine.memory_directories)
    )


def _too_old_for_cpu(version: tuple[int, ...], machine: Machine) -> bool:
    return machine.cpu_amx and version < LEAST_WITH_AMX


def _check_root(machine: Machine) -> Iterator[Finding]:
    if machine.user_id != 0:
        yield Finding(
            "root",
            _unless(_can_boot_uml(machine)),
            "You are not root on this machine. In User-mode Linux you are.",
            "sudo lvmqcow lab run ...    (to use this machine's own kernel)",
        )
    elif not machine.may_administrate:
        yield Finding(
            "root",
            _unless(_can_boot_uml(machine)),
            "This root may not mount or map devices: CAP_SYS_ADMIN of the machine is missing.",
            "docker run --privileged ...    (to use this machine's own kernel)",
        )
    else:
        yield Finding("root", Status.OK, "root, with CAP_SYS_ADMIN")


def _check_device_mapper(machine: Machine) -> Iterator[Finding]:
    yield _judge_driver(machine, "device-mapper", machine.device_mapper, "/dev/mapper/control", "dm-mod")


def _check_loop(machine: Machine) -> Iterator[Finding]:
    yield _judge_driver(machine, "loop", machine.loop, "/dev/loop-control", "loop")
    if machine.loop is Driver.READY and machine.free_loop_nodes < _COMFORTABLE_LOOPS:
        yield Finding(
            "loop-nodes",
            Status.WARN,
            f"/dev has only {machine.free_loop_nodes} free loop nodes: programs that expect more fail at random.",
            "for n in $(seq 0 63); do [ -e /dev/loop$n ] || mknod /dev/loop$n b 7 $n; done",
        )


def _judge_driver(machine: Machine, check: str, driver: Driver, node: str, module: str) -> Finding:
    otherwise = _unless(_can_boot_uml(machine))
    if driver is Driver.READY:
        return Finding(check, Status.OK, f"{node} works")
    if driver is Driver.NO_NODE:
        return Finding(
            check,
            Status.WARN,
            f"The kernel has {check}, but {node} is missing. The lab has its own /dev.",
            "docker run -v /dev:/dev ...",
        )
    if driver is Driver.DENIED:
        return Finding(
            check,
            otherwise,
            f"{node} cannot be opened.",
            "docker run --privileged ..., or run it as root",
        )
    return Finding(
        check,
        otherwise,
        f"The kernel has no {check}.",
        f"modprobe {module}    (if it has the module)",
    )


def _check_dev(machine: Machine) -> Iterator[Finding]:
    if machine.dev_file_system != KERNELS_DEV:
        yield Finding(
            "dev",
            Status.WARN,
            "/dev is a container's snapshot: loop and dm nodes that the kernel makes later never appear in it."
            " lvmqcow lets LVM make the nodes, and the lab has its own /dev. Other programs lack the nodes.",
            "docker run -v /dev:/dev ...",
        )


def _check_udev(machine: Machine) -> Iterator[Finding]:
    if machine.own_ipc_namespace and _setting(machine, "activation/udev_sync") == "1":
        yield Finding(
            "udev-cookie",
            Status.WARN,
            "This container has its own IPC namespace, and the host's udev cannot see its semaphores."
            " lvmqcow tells LVM so. An lvm command that you type yourself fails or hangs.",
            "export DM_DISABLE_UDEV=1    (before lvm commands of your own)",
        )
    if machine.udev_control and machine.own_ipc_namespace:
        yield Finding(
            "run-udev",
            Status.WARN,
            "/run/udev is mounted into this container: LVM thinks that udev runs here.",
            "Start the container without -v /run/udev:/run/udev",
        )


def _check_lvm_settings(machine: Machine) -> Iterator[Finding]:
    if _setting(machine, "devices/obtain_device_list_from_udev") == "1":
        yield Finding(
            "device-list",
            Status.WARN,
            "LVM asks udev for its device list: without udev that takes 10 s per device (the lab turns it off).",
            "Set devices/obtain_device_list_from_udev=0 in /etc/lvm/lvm.conf",
        )
    if machine.devices_file or _setting(machine, "devices/use_devicesfile") == "1":
        yield Finding(
            "devices-file",
            Status.WARN,
            "LVM uses a devices file, which hides loop devices (the lab has none).",
            "Set devices/use_devicesfile=0 in /etc/lvm/lvm.conf",
        )
    if _setting(machine, "global/use_aio") == "1":
        yield Finding(
            "aio",
            Status.WARN,
            "LVM uses asynchronous I/O, which costs 30 ms per command (the lab turns it off).",
            "Set global/use_aio=0 in /etc/lvm/lvm.conf",
        )


def _check_tools(machine: Machine) -> Iterator[Finding]:
    for tool, package in _PACKAGES.items():
        if machine.tools.get(tool) is None:
            yield Finding(tool, Status.MISSING, f"{tool} is not installed.", f"apt-get install {package}")
        else:
            yield Finding(tool, Status.OK, f"{machine.tools[tool]}")


def _check_qemu_img_version(machine: Machine) -> Iterator[Finding]:
    version = machine.qemu_img_version
    if version is not None and version < LEAST_QEMU_IMG:
        yield Finding(
            "qemu-img-version",
            Status.MISSING,
            f"qemu-img is {_dotted(version)}; extended_l2 needs {_dotted(LEAST_QEMU_IMG)}.",
            "apt-get install qemu-utils    (from a newer release of the distribution)",
        )


def _check_uml(machine: Machine) -> Iterator[Finding]:
    otherwise = _unless(_can_run_directly(machine))
    version = machine.uml_version
    absent = sorted(set(UML_MODULES) - machine.uml_modules)
    if machine.architecture != "x86_64" and version is None:
        yield Finding(
            "uml",
            otherwise,
            f"User-mode Linux does not exist for {machine.architecture}.",
            "Use a machine with root, device-mapper and loop devices",
        )
    elif version is None:
        yield Finding("uml", otherwise, "linux.uml is not installed.", "apt-get install user-mode-linux")
    elif _too_old_for_cpu(version, machine):
        yield Finding(
            "uml",
            otherwise,
            f"User-mode Linux {_dotted(version)} cannot run on this CPU, which has AMX; {_dotted(LEAST_WITH_AMX)} can.",
            "ci/kernel    (in a checkout; it installs a newer one in /usr/local)",
        )
    elif absent:
        yield Finding(
            "uml",
            otherwise,
            f"User-mode Linux lacks its modules {', '.join(absent)}.",
            "apt-get install --reinstall user-mode-linux",
        )
    else:
        yield Finding("uml", Status.OK, f"User-mode Linux {_dotted(version)}, with overlay, dm-mod and loop")


def _check_uml_memory(machine: Machine) -> Iterator[Finding]:
    otherwise = _unless(_can_run_directly(machine))
    places = machine.memory_directories
    names = ", ".join(str(place.path) for place in places)
    if not any(place.executable for place in places):
        yield Finding(
            "uml-memory",
            otherwise,
            f"No file in {names} can be mapped executable, so User-mode Linux has no place for its memory.",
            "mount -o remount,exec /dev/shm",
        )
    elif max(place.free_bytes for place in places if place.executable) < _LEAST_MEMORY_BYTES:
        yield Finding(
            "uml-memory",
            otherwise,
            f"None of {names} has 2 GiB free for the memory of User-mode Linux.",
            "docker run --shm-size 3g ..., or TMPDIR=/a/larger/directory, or --memory 512M",
        )
    else:
        yield Finding("uml-memory", Status.OK, f"memory of User-mode Linux: one of {names}")


def _check_temporary(machine: Machine) -> Iterator[Finding]:
    if machine.temporary_nodev:
        yield Finding(
            "nodev",
            Status.WARN,
            f"{machine.temporary_directory} is mounted nodev: device nodes made there do not work.",
            f"mount -o remount,dev {machine.temporary_directory}, or point TMPDIR elsewhere",
        )


def _check_venv(machine: Machine) -> Iterator[Finding]:
    if machine.venv:
        yield Finding("venv", Status.OK, "python3 -m venv works")
    else:
        yield Finding(
            "venv",
            Status.WARN,
            "Python cannot make virtual environments; the test suites need one.",
            "apt-get install python3-venv",
        )


def _check_leftovers(machine: Machine) -> Iterator[Finding]:
    for path in machine.leftover_run_directories:
        yield Finding(
            "leftover",
            Status.WARN,
            f"{path} was left by a lab that was killed; the next lab removes it.",
            f"rm -r {path}",
        )
    for loop in machine.leftover_loops:
        yield Finding(
            "leftover",
            Status.WARN,
            f"{loop} is still attached.",
            f"losetup --detach {loop.split()[0]}    (when no test is running)",
        )


def _unless(other_lab: bool) -> Status:
    """Turn what one kind of lab lacks into a warning if the other kind is possible."""
    return Status.WARN if other_lab else Status.MISSING


def _setting(machine: Machine, name: str) -> str:
    return machine.lvm_settings.get(name, "")


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


_CHECKS: tuple[Callable[[Machine], Iterator[Finding]], ...] = (
    _check_root,
    _check_device_mapper,
    _check_loop,
    _check_dev,
    _check_udev,
    _check_lvm_settings,
    _check_tools,
    _check_qemu_img_version,
    _check_uml,
    _check_uml_memory,
    _check_temporary,
    _check_venv,
    _check_leftovers,
)
