"""The findings of the doctor: one machine for each known failure, with the expected finding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lvmqcow.lab import Finding, Machine, Status, diagnose, lab_kind
from lvmqcow.lab.doctor import verdict
from lvmqcow.lab.machine import LVM_SETTINGS, TOOLS, UML_MODULES, Driver, MemoryDirectory

ROOMY = MemoryDirectory(Path("/dev/shm"), executable=True, free_bytes=8 << 30)
PERFECT = Machine(
    architecture="x86_64",
    user_id=0,
    may_administrate=True,
    device_mapper=Driver.READY,
    loop=Driver.READY,
    dev_file_system="devtmpfs",
    free_loop_nodes=8,
    own_ipc_namespace=False,
    udev_control=True,
    devices_file=False,
    lvm_settings=dict.fromkeys(LVM_SETTINGS, "0"),
    tools={tool: f"/usr/sbin/{tool}" for tool in TOOLS},
    qemu_img_version=(7, 2, 22),
    cpu_amx=False,
    uml_version=(6, 1),
    uml_modules=frozenset(UML_MODULES),
    memory_directories=(ROOMY,),
    temporary_directory=Path("/tmp"),
    temporary_nodev=False,
    venv=True,
    leftover_run_directories=(),
    leftover_loops=(),
)
NO_UML = replace(PERFECT, uml_version=None, uml_modules=frozenset())
NO_KERNEL = replace(PERFECT, device_mapper=Driver.ABSENT)


def finding(machine: Machine, check: str) -> Finding:
    """The only finding of a check."""
    (found,) = [each for each in diagnose(machine) if each.check == check]
    return found


def with_setting(name: str, value: str) -> Machine:
    return replace(PERFECT, lvm_settings={**PERFECT.lvm_settings, name: value})


def test_perfect_machine_has_only_ok_findings() -> None:
    assert {each.status for each in diagnose(PERFECT)} == {Status.OK}
    assert verdict(PERFECT).startswith("lab: direct")


@pytest.mark.parametrize(
    ("machine", "kind"),
    [
        (PERFECT, "direct"),
        (NO_UML, "direct"),
        (replace(PERFECT, device_mapper=Driver.NO_NODE, dev_file_system="tmpfs"), "direct"),
        (NO_KERNEL, "uml"),
        (replace(PERFECT, user_id=1000), "uml"),
        (replace(PERFECT, may_administrate=False), "uml"),
        (replace(PERFECT, loop=Driver.DENIED), "uml"),
        (replace(NO_KERNEL, cpu_amx=True, uml_version=(7, 2)), "uml"),
        (replace(NO_KERNEL, cpu_amx=True, uml_version=(6, 12)), None),
        (replace(NO_UML, user_id=1000), None),
        (replace(NO_KERNEL, uml_modules=frozenset({"loop"})), None),
        (replace(NO_KERNEL, tools={**PERFECT.tools, "modprobe": None}), None),
        (replace(NO_KERNEL, memory_directories=()), None),
    ],
)
def test_lab_kind_depends_on_the_machine(machine: Machine, kind: str | None) -> None:
    assert lab_kind(machine) == kind
    assert verdict(machine).startswith(f"lab: {kind or 'none'}")


@pytest.mark.parametrize(
    ("machine", "check", "mend"),
    [
        (replace(PERFECT, user_id=1000), "root", "sudo"),
        (replace(PERFECT, may_administrate=False), "root", "--privileged"),
        (NO_KERNEL, "device-mapper", "modprobe dm-mod"),
        (replace(PERFECT, device_mapper=Driver.DENIED), "device-mapper", "--privileged"),
        (replace(PERFECT, device_mapper=Driver.NO_NODE), "device-mapper", "-v /dev:/dev"),
        (replace(PERFECT, loop=Driver.ABSENT), "loop", "modprobe loop"),
        (replace(PERFECT, free_loop_nodes=2), "loop-nodes", "mknod /dev/loop"),
        (replace(PERFECT, dev_file_system="tmpfs"), "dev", "-v /dev:/dev"),
        (replace(with_setting("activation/udev_sync", "1"), own_ipc_namespace=True),
         "udev-cookie", "DM_DISABLE_UDEV=1"),
        (replace(PERFECT, own_ipc_namespace=True), "run-udev", "/run/udev"),
        (with_setting("devices/obtain_device_list_from_udev", "1"), "device-list", "lvm.conf"),
        (with_setting("devices/use_devicesfile", "1"), "devices-file", "use_devicesfile=0"),
        (replace(PERFECT, devices_file=True), "devices-file", "use_devicesfile=0"),
        (with_setting("global/use_aio", "1"), "aio", "use_aio=0"),
        (replace(PERFECT, temporary_nodev=True), "nodev", "remount,dev /tmp"),
        (replace(PERFECT, venv=False), "venv", "python3-venv"),
        (replace(PERFECT, leftover_run_directories=(Path("/tmp/lvmqcow-lab-x"),)),
         "leftover", "rm -r /tmp/lvmqcow-lab-x"),
        (replace(PERFECT, leftover_loops=("/dev/loop3 (/tmp/lvmqcow-pv)",)),
         "leftover", "losetup --detach /dev/loop3"),
        (NO_UML, "uml", "apt-get install user-mode-linux"),
        (replace(PERFECT, cpu_amx=True), "uml", "ci/kernel"),
        (replace(PERFECT, uml_modules=frozenset({"loop"})), "uml", "--reinstall user-mode-linux"),
        (replace(NO_UML, architecture="aarch64"), "uml", "Use a machine"),
        (replace(PERFECT, memory_directories=(replace(ROOMY, executable=False),)),
         "uml-memory", "remount,exec"),
        (replace(PERFECT, memory_directories=(replace(ROOMY, free_bytes=64 << 20),)),
         "uml-memory", "--shm-size"),
    ],
)  # fmt: skip
def test_failure_with_a_workaround_is_a_warning(machine: Machine, check: str, mend: str) -> None:
    found = finding(machine, check)
    assert found.status is Status.WARN
    assert mend in found.mend


@pytest.mark.parametrize(
    ("machine", "check"),
    [
        (replace(NO_UML, user_id=1000), "root"),
        (replace(NO_UML, may_administrate=False), "root"),
        (replace(NO_UML, device_mapper=Driver.ABSENT), "device-mapper"),
        (replace(NO_UML, loop=Driver.ABSENT), "loop"),
        (replace(NO_UML, device_mapper=Driver.ABSENT), "uml"),
        (replace(NO_KERNEL, memory_directories=(replace(ROOMY, executable=False),)), "uml-memory"),
        (replace(PERFECT, qemu_img_version=(5, 1, 9)), "qemu-img-version"),
    ],
)
def test_failure_without_a_workaround_is_missing(machine: Machine, check: str) -> None:
    assert finding(machine, check).status is Status.MISSING


@pytest.mark.parametrize(
    ("tool", "package"),
    [("lvm", "lvm2"), ("dmsetup", "dmsetup"), ("losetup", "mount"), ("blkdiscard", "util-linux"),
     ("qemu-img", "qemu-utils"), ("modprobe", "kmod")],
)  # fmt: skip
def test_missing_tool_is_named_with_its_package(tool: str, package: str) -> None:
    machine = replace(PERFECT, tools={**PERFECT.tools, tool: None})
    assert finding(machine, tool) == Finding(
        tool, Status.MISSING, f"{tool} is not installed.", f"apt-get install {package}"
    )


def test_every_finding_that_is_not_ok_has_advice() -> None:
    worst = replace(
        NO_KERNEL,
        user_id=1000,
        loop=Driver.ABSENT,
        dev_file_system="tmpfs",
        own_ipc_namespace=True,
        lvm_settings=dict.fromkeys(LVM_SETTINGS, "1"),
        tools=dict.fromkeys(TOOLS),
        qemu_img_version=(2, 0, 0),
        uml_version=None,
        temporary_nodev=True,
        venv=False,
    )
    bad = [each for each in diagnose(worst) if each.status is not Status.OK]
    assert len(bad) > 15
    assert all(each.mend and each.text for each in bad)
