"""Sizes at which wrong overheads show: the LV is exactly as large as the fully allocated image.

Every cluster is allocated without writing the data (``preallocation=metadata``). This succeeds on our LV, and fails on
an LV that is one extent smaller. So a guest can fill its disk to the last cluster.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lvmqcow.core.names import Layout, device_path, snapshot_lv_name
from lvmqcow.core.qcow2 import IMAGE_OPTIONS
from lvmqcow.core.sizing import LARGEST_DISK_BYTES, whole_extents
from lvmqcow.errors import InvalidSize
from lvmqcow.lvm import loopvg
from lvmqcow.operations import Merge
from lvmqcow.storage import Storage
from lvmqcow.testing.cases.scenarios import DISK, PVE_BASE

pytestmark = pytest.mark.lvmqcow_real

GIB = 1024**3
EXTENT = 4 * 1024**2
CLUSTER = 128 * 1024
SIZES = [25 * GIB, 26 * GIB, 100 * GIB, 1024 * GIB]
LAYERS = {"base": (), "overlay": ("-b", snapshot_lv_name(DISK, "s1", Layout.RFC), "-F", "qcow2")}
EVERY_SIZE = pytest.mark.parametrize("size_bytes", SIZES, ids=lambda size_bytes: f"{size_bytes // GIB}G")


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """A volume group of more than 2 TiB, on a sparse file."""
    name = f"large-{os.getpid()}"
    loopvg.create(name, 2100 * GIB, tmp_path / "pv.img")
    with Storage.open(name) as opened:
        yield opened
    loopvg.destroy(name)


def allocated(path: str, size_bytes: int, layer: str, options: str = IMAGE_OPTIONS) -> subprocess.CompletedProcess[str]:
    """Format the image with every cluster allocated and none written, with our options by default."""
    every = f"{options},preallocation=metadata"
    argv = ("qemu-img", "create", "-q", "-f", "qcow2", "-o", every, *LAYERS[layer], path, str(size_bytes))
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def end_of(path: str) -> int:
    argv = ("qemu-img", "check", "-f", "qcow2", "--output=json", path)
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout)["image-end-offset"])


def write(path: str, *commands: str) -> str:
    words = [word for command in commands for word in ("-c", command)]
    done = subprocess.run(("qemu-io", "-f", "qcow2", *words, path), capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def shrink(storage: Storage) -> None:
    """Reduce the current LV by one extent."""
    size_bytes = storage.picture().volume(DISK).current.lv.size_bytes - EXTENT
    argv = ("lvreduce", "--force", "--size", f"{size_bytes}b", f"{storage.vg}/{DISK}")
    subprocess.run(argv, check=True, capture_output=True)


@pytest.mark.parametrize("layer", LAYERS)
@EVERY_SIZE
def test_lv_fits_the_allocated_image_with_no_spare_extent(storage: Storage, size_bytes: int, layer: str) -> None:
    volume = storage.create(DISK.text, size_bytes)
    if layer == "overlay":
        volume.snapshot("s1")
    path = device_path(storage.vg, DISK.text)
    current = storage.picture().volume(DISK).current
    assert current.lv.size_bytes == whole_extents(storage._host.measure(size_bytes), EXTENT)
    done = allocated(path, size_bytes, layer)
    assert done.returncode == 0, done.stderr
    assert current.lv.size_bytes - EXTENT < end_of(path) <= current.lv.size_bytes
    if size_bytes <= 26 * GIB:
        # also physically: the last clusters of the disk, at the end of the LV, and the first ones
        places = [0, size_bytes // 2, *(size_bytes - number * CLUSTER for number in range(1, 65))]
        said = write(path, *(f"{verb} -P 0x5a {place} {CLUSTER}" for verb in ("write", "read") for place in places))
        assert said.count(f"wrote {CLUSTER}/{CLUSTER}") == len(places), said
        assert said.count(f"read {CLUSTER}/{CLUSTER}") == len(places), said
        assert "failed" not in said
    shrink(storage)
    done = allocated(path, size_bytes, layer)
    assert done.returncode != 0
    # the last tables do not fit, or only the last data (not written here, but allocated)
    assert "No space left on device" in done.stderr or "Cannot grow device files" in done.stderr, done.stderr


@pytest.mark.parametrize("way", ["resize", "push"])
def test_base_made_by_proxmox_ve_is_extended_by_its_own_options(storage: Storage, way: str) -> None:
    commands = Path(__file__).parents[2] / "fixtures" / "pve9" / "volume"
    subprocess.run((commands, "create", storage.vg, DISK.text, "4096"), check=True, capture_output=True)
    volume, size_bytes, path = storage.volume(DISK.text), 1024 * GIB, device_path(storage.vg, DISK.text)
    if way == "push":
        volume.snapshot("s1")
    volume.resize(size_bytes)
    if way == "push":
        volume.delete_snapshot("s1", Merge.PUSH)
    current = storage.picture().volume(DISK).current
    assert current.options == PVE_BASE
    done = allocated(path, size_bytes, "base", str(PVE_BASE))
    assert done.returncode == 0, done.stderr
    assert current.lv.size_bytes - EXTENT < end_of(path) <= current.lv.size_bytes
    shrink(storage)
    assert allocated(path, size_bytes, "base", str(PVE_BASE)).returncode != 0


@pytest.fixture
def largest(tmp_path: Path) -> Iterator[Storage]:
    """A volume group on a sparse file, with space for three of the largest disks."""
    name = f"largest-{os.getpid()}"
    loopvg.create(name, 3 * LARGEST_DISK_BYTES + LARGEST_DISK_BYTES // 8, tmp_path / "pv.img")
    with Storage.open(name) as opened:
        yield opened
    loopvg.destroy(name)


def unsound(path: str) -> str | None:
    """The findings of ``qemu-img check`` on the first GiB, because it counts all clusters of a device."""
    device = {"driver": "host_device", "filename": path, "read-only": True}
    start = {"driver": "raw", "offset": 0, "size": GIB, "file": device}
    image = {"driver": "qcow2", "backing": None, "file": start}
    argv = ("qemu-img", "check", "-U", f"json:{json.dumps(image)}")
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stdout + done.stderr


def test_largest_disk_can_be_written_snapshotted_and_resized(largest: Storage) -> None:
    """A guest writes at the end and all over the disk. Its data is kept, and the images are sound."""
    before_bytes = LARGEST_DISK_BYTES - 1024 * GIB
    volume, path = largest.create(DISK.text, before_bytes), device_path(largest.vg, DISK.text)
    scattered = [before_bytes * part // 7 // CLUSTER * CLUSTER for part in range(7)]
    old = [*scattered, before_bytes - CLUSTER]
    wrote = write(path, *(f"write -P 0x11 {place} {CLUSTER}" for place in old))
    assert wrote.count(f"wrote {CLUSTER}/{CLUSTER}") == len(old), wrote
    volume.snapshot("s1")
    volume.resize(LARGEST_DISK_BYTES)
    current = largest.picture().volume(DISK).current
    assert current.lv.size_bytes == whole_extents(largest._host.measure(LARGEST_DISK_BYTES), EXTENT)
    new = [*scattered[::2], LARGEST_DISK_BYTES - CLUSTER]
    wrote = write(path, *(f"write -P 0x22 {place} {CLUSTER}" for place in new))
    assert wrote.count(f"wrote {CLUSTER}/{CLUSTER}") == len(new), wrote

    def read(lv: str, written: Mapping[int, int]) -> None:
        said = write(device_path(largest.vg, lv), *(f"read -P {byte} {at} {CLUSTER}" for at, byte in written.items()))
        assert said.count(f"read {CLUSTER}/{CLUSTER}") == len(written), said
        assert "failed" not in said
        assert unsound(device_path(largest.vg, lv)) is None

    at_s1 = dict.fromkeys(old, 0x11)
    at_end = {**at_s1, **dict.fromkeys(new, 0x22), LARGEST_DISK_BYTES - 2 * CLUSTER: 0}
    read(snapshot_lv_name(DISK, "s1", Layout.RFC), at_s1)
    read(DISK.text, at_end)
    with pytest.raises(InvalidSize, match="the largest supported size is 64 TiB"):
        volume.resize(LARGEST_DISK_BYTES + 512)
