"""The steps that plans consist of. A step is one action of one tool, as data.

Each tool has one module. `lvmqcow.steps.base` defines what every step declares. A new tool needs a module here, and
code that runs its steps in `lvmqcow.real_host` and in `lvmqcow.testing.simulated`.
"""

from __future__ import annotations

from lvmqcow.steps.base import Argv, Contract, Tool
from lvmqcow.steps.devices import DeviceClear, DeviceRemove, DeviceStep, LinkRemove, NodeRemove
from lvmqcow.steps.images import (
    ImageCopy,
    ImageExport,
    ImageStep,
    ImageWrite,
    QcowCommit,
    QcowCreate,
    QcowRebase,
    QcowRelink,
    QcowRepairLeaks,
    QcowResize,
)
from lvmqcow.steps.lvm import (
    LvActivate,
    LvAutoactivation,
    LvCreate,
    LvDeactivate,
    LvExtend,
    LvmStep,
    LvPermission,
    LvRefresh,
    LvRemove,
    LvRename,
    LvTag,
    Permission,
)
from lvmqcow.steps.ranges import LvDiscardRange, LvZero, LvZeroRange, RangeStep
from lvmqcow.steps.streams import ImageReceive, ImageSend, StreamStep

__all__ = [
    "Argv",
    "Contract",
    "DataStep",
    "DeviceClear",
    "DeviceRemove",
    "DeviceStep",
    "ImageCopy",
    "ImageExport",
    "ImageReceive",
    "ImageSend",
    "ImageStep",
    "ImageWrite",
    "LinkRemove",
    "LvActivate",
    "LvAutoactivation",
    "LvCreate",
    "LvDeactivate",
    "LvDiscardRange",
    "LvExtend",
    "LvPermission",
    "LvRefresh",
    "LvRemove",
    "LvRename",
    "LvTag",
    "LvZero",
    "LvZeroRange",
    "LvmStep",
    "NodeRemove",
    "Permission",
    "QcowCommit",
    "QcowCreate",
    "QcowRebase",
    "QcowRelink",
    "QcowRepairLeaks",
    "QcowResize",
    "RangeStep",
    "Step",
    "StreamStep",
    "Tool",
]

DataStep = LvZero | RangeStep | ImageStep | StreamStep
"""Those that read or write the content of logical volumes."""
Step = LvmStep | DeviceStep | DataStep
