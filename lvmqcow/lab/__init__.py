"""The lab: root, under a kernel with device-mapper and loop devices, for a command to run in.

    launch       the lab this machine can have: direct or uml
    direct       on a machine that has everything: namespaces of its own
    uml          on any other: User-mode Linux over the machine's own files
    session      the host's side of either; `guest` is the inside of either
    supervisor   stands behind each lab, so that nothing is left of it, whatever happens
    machine      looks at this machine; `doctor` judges what was found

It needs nothing but the standard library and Debian's packages, so that it works before anything
is installed.
"""

from __future__ import annotations

from .doctor import Finding, Status, diagnose, lab_kind
from .errors import LabError
from .launch import DEFAULT_MEMORY_BYTES, run
from .machine import Machine, probe

__all__ = [
    "DEFAULT_MEMORY_BYTES",
    "Finding",
    "LabError",
    "Machine",
    "Status",
    "diagnose",
    "lab_kind",
    "probe",
    "run",
]
