"""A storage hook that knows the calls of Proxmox VE's storage plugins, and nothing of lvmqcow's own.

    python hook.py VG alloc_image 100 qcow2 1048576                prints the name of the new volume
    python hook.py VG volume_snapshot vm-100-disk-0.qcow2 s1
    python hook.py VG volume_snapshot_rollback vm-100-disk-0.qcow2 s1
    python hook.py VG volume_snapshot_delete vm-100-disk-0.qcow2 s1
    python hook.py VG filesystem_path vm-100-disk-0.qcow2
    python hook.py VG free_image vm-100-disk-0.qcow2

It exits with 0, or says on stderr what to do and exits with the error's own status.
"""

from __future__ import annotations

import sys

from lvmqcow import LvmqcowError, Storage, proxmox


def call(storage: Storage, verb: str, *arguments: str) -> str | None:
    """Make one call of the plugin API; returns what it prints, if anything."""
    match verb, *arguments:
        case "alloc_image", vmid, fmt, size_kib:
            return proxmox.alloc_image(storage, int(vmid), fmt, None, int(size_kib))
        case "filesystem_path", volname:
            return proxmox.filesystem_path(storage, volname)
        case "volume_snapshot", volname, snap:
            proxmox.volume_snapshot(storage, volname, snap)
        case "volume_snapshot_rollback", volname, snap:
            proxmox.volume_rollback_is_possible(storage, volname, snap)  # raises NewerSnapshots, which names them
            proxmox.volume_snapshot_rollback(storage, volname, snap)
        case "volume_snapshot_delete", volname, snap:
            proxmox.volume_snapshot_delete(storage, volname, snap)
        case "free_image", volname:
            proxmox.free_image(storage, volname)
        case _:
            raise SystemExit(__doc__)
    return None


def main(vg: str, *words: str) -> int:
    """Open the volume group for one call; returns the exit status."""
    try:
        with Storage.open(vg, lvm="process") as storage:
            printed = call(storage, *words)
    except LvmqcowError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    if printed is not None:
        print(printed)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
