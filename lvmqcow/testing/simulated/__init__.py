"""A volume group in memory, on which the same plans run.

host     `SimHost`: a host as the real one is, with ways to break what is on it
state    the LVs, the files and ``/dev``; what LVM and QEMU refuse
lvm      what the steps of LVM and dmsetup do
images   what the steps of QEMU and blkdiscard do
measure  how large an image gets
"""

from __future__ import annotations

from lvmqcow.testing.simulated.host import SimHost

__all__ = ["SimHost"]
