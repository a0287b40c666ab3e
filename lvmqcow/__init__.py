"""qcow2 snapshot chains on LVM logical volumes.

This package exports the public API: `Storage`, the types that it returns, the requests, and the base class of the
errors. The packages and modules, from bottom to top; each imports only from those above it in this list:

======================  ==============================================================================================
errors, units           the errors; sizes in words
core                    the terms of LVM and QEMU, our own words, and the picture of a volume group; pure values
formats                 recognises image files and reads their headers as bytes; pure
steps                   the actions of external tools, as data
operations              plans requests and recoveries: from a picture to a list of steps; pure, one module an operation
system                  processes, signals, locks, udev, and what has to be installed
lvm, qemu               run LVM and QEMU's tools and read their output
engine                  carries out requests: locks, recovery, planning, and the steps one by one on a host
checks                  finds what is wrong with a volume group and its images
real_host               runs steps with LVM and QEMU; `lvmqcow.testing.simulated.SimHost` runs them in memory
storage, volume, info   the public API
seams                   the interfaces that a program can implement itself
proxmox                 the public API under the names of Proxmox VE's storage plugins
lab                     a virtual machine with device-mapper, for machines that have none
cli                     the command line
testing                 the test harness: a volume group in memory, crash tests, hostile images
======================  ==============================================================================================
"""

from __future__ import annotations

from lvmqcow.checks.structure import Finding, Severity
from lvmqcow.core.fitness import Condition, State
from lvmqcow.core.names import Format, Layout, VolumeName, parse_volume_name
from lvmqcow.core.sizing import parse_size
from lvmqcow.core.wiping import Wipe
from lvmqcow.engine.events import Events
from lvmqcow.errors import LvmqcowError
from lvmqcow.formats import SourceFormat
from lvmqcow.info import GroupInfo, LayerInfo, VolumeInfo
from lvmqcow.operations import (
    Activate,
    Clone,
    Convert,
    Copy,
    Create,
    Deactivate,
    DeleteSnapshot,
    Export,
    ExportStream,
    Flatten,
    Grow,
    Import,
    ImportStream,
    Merge,
    Newer,
    Plan,
    Remove,
    Rename,
    RenameSnapshot,
    Resize,
    Rollback,
    Snapshot,
    StreamFormat,
    Template,
)
from lvmqcow.storage import Storage
from lvmqcow.volume import Volume

__all__ = [
    "Activate",
    "Clone",
    "Condition",
    "Convert",
    "Copy",
    "Create",
    "Deactivate",
    "DeleteSnapshot",
    "Events",
    "Export",
    "ExportStream",
    "Finding",
    "Flatten",
    "Format",
    "GroupInfo",
    "Grow",
    "Import",
    "ImportStream",
    "LayerInfo",
    "Layout",
    "LvmqcowError",
    "Merge",
    "Newer",
    "Plan",
    "Remove",
    "Rename",
    "RenameSnapshot",
    "Resize",
    "Rollback",
    "Severity",
    "Snapshot",
    "SourceFormat",
    "State",
    "Storage",
    "StreamFormat",
    "Template",
    "Volume",
    "VolumeInfo",
    "VolumeName",
    "Wipe",
    "parse_size",
    "parse_volume_name",
]
