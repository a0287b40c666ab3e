"""A consumer's test on a real volume group: lvmqcow lab run -- pytest --lvmqcow-require-lab ci_test.py"""

import subprocess
from pathlib import Path

import pytest

from lvmqcow import Storage


@pytest.mark.lvmqcow_real  # needs the lab; with --lvmqcow-require-lab the test fails where there is none
def test_our_backup_reads_what_the_snapshot_holds(lvmqcow_vg: str, tmp_path: Path) -> None:
    """A write after the snapshot does not reach the backup."""
    with Storage.open(lvmqcow_vg) as storage:
        volume = storage.create("vm-100-disk-0.qcow2", size_bytes=16 * 1024**2)
        volume.snapshot("s1")
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 1M", volume.path()], check=True)
        backup = tmp_path / "backup.raw"  # your program goes here
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", volume.path("s1"), backup], check=True)
        assert backup.read_bytes() == bytes(16 * 1024**2)
        volume.remove()
