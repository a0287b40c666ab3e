"""The versions of everything that a verdict depends on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from lvmqcow.system.requirements import command_environment, find_tool
from lvmqcow.testing.conformance.suite import Place

__all__ = ["lvmqcow_version", "versions"]

_NOT_USED = "not used"


def lvmqcow_version() -> str:
    """Return the version of lvmqcow; "unknown" if it runs without being installed."""
    try:
        return version("lvmqcow")
    except PackageNotFoundError:
        return "unknown"


def versions(place: Place) -> Mapping[str, str]:
    """Return the versions of everything that suites in this place use."""
    found = {"lvmqcow": lvmqcow_version(), "python": platform.python_version()}
    tools = dict.fromkeys(("kernel", "lvm2", "device-mapper", "qemu"), _NOT_USED)
    if place is Place.REAL:
        lvm = _said("lvm", "version")
        tools = {
            "kernel": os.uname().release,
            "lvm2": _found(r"LVM version: *(\S+)", lvm),
            "device-mapper": _found(r"Driver version: *(\S+)", lvm),
            "qemu": _found(r"version (\S+)", _said("qemu-img", "--version")),
        }
    return {**found, **tools}


def _said(*argv: str) -> str:
    if find_tool(argv[0]) is None:
        return ""
    done = subprocess.run(argv, env=command_environment(), capture_output=True, text=True, check=False)
    return done.stdout


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else "missing"
