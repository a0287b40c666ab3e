"""Make a private home for LVM, so that its configuration, profiles, locks and archives are separate.

Each setting avoids a known failure of LVM in containers and on loop devices. `lab doctor` checks the
machine's own configuration for the same failures.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["LVM_ENVIRONMENT", "furnish"]

LVM_ENVIRONMENT = {
    "DM_DISABLE_UDEV": "1",  # no udev here: LVM makes the nodes itself instead of waiting for them
    "LVM_SUPPRESS_FD_WARNINGS": "1",  # no warnings about descriptors that callers leave open
}

_CONFIGURATION = """\
# Written by lvmqcow's lab.
devices {
    obtain_device_list_from_udev = 0    # there is no udev to ask; asking costs 10 s per device
    hints = "none"                      # /run/lvm/hints would be shared with others
    use_devicesfile = 0                 # system.devices would hide our loop devices
    scan_lvs = 0                        # never look for volume groups inside guests' disks
    types = [ "device-mapper", 16 ]     # dm devices may be physical volumes: fault injection
}
backup {
    backup = 0
    archive = 0
}
activation {
    monitoring = 0                      # no dmeventd
    udev_sync = 0                       # cookies are semaphores that udev would have to release
    udev_rules = 0
    reserved_memory = 0                 # locking memory doubles the time of a rename
    reserved_stack = 0
}
global {
    use_aio = 0                         # io_destroy takes most of the time of a short command
    locking_dir = "%(home)s/lock"
}
"""


def furnish(home: Path) -> Path:
    """Fill the directory `home`; returns its path, for LVM_SYSTEM_DIR."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "lock").mkdir(exist_ok=True)
    (home / "profile").mkdir(exist_ok=True)
    (home / "lvm.conf").write_text(_CONFIGURATION % {"home": home}, encoding="utf-8")
    for profile in Path("/etc/lvm/profile").glob("*.profile"):
        (home / "profile" / profile.name).write_bytes(profile.read_bytes())
    return home
