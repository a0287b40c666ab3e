"""qcow2 snapshot chains on LVM logical volumes.

Public: `Storage` and what it gives back, the requests, and the errors. Below it, a pure core in an imperative shell:

names, sizing, intents, wiping, qcow2,
containers,
model                                   words of the field, and the picture of a volume group
physical, model                         words of the field, and the picture of a volume group
requests, plans, recovery, checks,
fitness, chains                         pure: from a picture and a request to a plan of steps, or to what is wrong
steps                                   one external command each, as data
host, pieces, runner                    runs steps: LVM and qemu-img, or (`testing`) a volume group in memory
lvm, lvm_look, lvm_report,
qemu_img, qemu_nbd, nbd, tethered,      what touches the world
imports, exports, limits, locks,
loopvg, holders, interrupts
executor, health                        a request carried out, under locks, after recovery; what is wrong with images
storage, volume, info, plugin           the public API; and it under the names of a Proxmox VE storage plugin
lab                                     a kernel with device-mapper for whoever has none
cli, testing                            the command line; the harness
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
