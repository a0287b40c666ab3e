"""The environment of a command in the lab."""

from __future__ import annotations

from collections.abc import Mapping

from lvmqcow.system.requirements import root_path

from .guest.lvm import LVM_ENVIRONMENT

__all__ = ["LAB_VARIABLE", "lab_environment"]

LAB_VARIABLE = "LVMQCOW_LAB"  # "uml" or "direct": tells programs that they run in a lab

_NAMES = ("PATH", "HOME", "LANG", "TERM", "CI", "NO_COLOR")
_PREFIXES = ("LVMQCOW_", "PYTEST_", "HYPOTHESIS_", "TOX_", "VIRTUAL_ENV", "PYTHON")


def lab_environment(caller: Mapping[str, str], kind: str) -> dict[str, str]:
    """Return the caller's variables that the command gets, and those that LVM needs without udev."""
    passed = {name: value for name, value in caller.items() if name in _NAMES or name.startswith(_PREFIXES)}
    return {**passed, **LVM_ENVIRONMENT, LAB_VARIABLE: kind, "PATH": root_path(caller)}
