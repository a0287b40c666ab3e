"""The interfaces that a program can implement to replace a part of the library.

==================  ================================================================  ===============================
interface           passed to                                                         default
==================  ================================================================  ===============================
`Host`              ``Storage(host, locks)``                                          `RealHost`: LVM and QEMU
`Locks`             ``Storage(host, locks)``, ``Storage.open(vg, locks=…)``           `FlockLocks`: one host
`Events`            ``Storage.open(vg, events=…)``                                    no event is reported
`Trace`             ``Storage.open(vg, trace=…)``; called before each command         no command is reported
==================  ================================================================  ===============================

To change single answers of a host, subclass `HostWrapper`. For tests, `lvmqcow.testing.simulated.SimHost` is a host in
memory.
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
