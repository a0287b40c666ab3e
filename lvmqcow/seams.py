"""Where a library consumer puts something of its own in the place of ours.

==================  ================================================================  ===============================
what                given to                                                          ours
==================  ================================================================  ===============================
a `Host`            ``Storage(host, locks)``                                          `RealHost`, LVM and QEMU
`Locks`             ``Storage(host, locks)``, ``Storage.open(vg, locks=…)``           `FlockLocks`, of one host
`Events`            ``Storage.open(vg, events=…)``                                    silence
a `Trace`           ``Storage.open(vg, trace=…)``: every command before it runs       none
==================  ================================================================  ===============================

To change one answer of a host, subclass `HostWrapper`. A host in memory, for tests, is `lvmqcow.testing.SimHost`.
"""

from __future__ import annotations

from lvmqcow.engine.events import Events
from lvmqcow.engine.host import Host, HostWrapper, Images, Observer, Runner
from lvmqcow.engine.locks import Locks, NoLocks
from lvmqcow.real_host import RealHost
from lvmqcow.system.callbacks import Progress, Trace, Warned
from lvmqcow.system.flock import FlockLocks

__all__ = [
    "Events",
    "FlockLocks",
    "Host",
    "HostWrapper",
    "Images",
    "Locks",
    "NoLocks",
    "Observer",
    "Progress",
    "RealHost",
    "Runner",
    "Trace",
    "Warned",
]
