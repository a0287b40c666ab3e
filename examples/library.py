"""Create a volume, take a snapshot, write to the volume, roll back: `python library.py VG`, as root."""

from __future__ import annotations

import subprocess
import sys

from lvmqcow import LvmqcowError, Storage, Volume, parse_size


def guest_io(volume: Volume, command: str) -> None:
    """Do to the volume what a guest would do. QEMU gets the path, and the format: it never has to guess."""
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, str(volume.path())], check=True, stdout=subprocess.DEVNULL)


def main(vg: str) -> None:
    """From an empty volume to the one that was rolled back."""
    with Storage.open(vg) as storage:
        volume = storage.create_disk(vmid=100, size_bytes=parse_size("64M"))
        print(f"created {volume.name}")
        guest_io(volume, "write -P 1 0 64k")
        volume.snapshot("before-upgrade")
        guest_io(volume, "write -P 2 0 64k")  # the upgrade
        guest_io(volume, "read -P 2 0 64k")
        volume.rollback("before-upgrade")
        guest_io(volume, "read -P 1 0 64k")  # fails unless every byte is 1 again
        print(f"rolled back to {', '.join(volume.info().snapshots)}")
        findings = volume.check()
        print(findings or "nothing is wrong")
        volume.remove()


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except LvmqcowError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_status)
