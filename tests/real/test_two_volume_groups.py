"""Two volume groups with volumes of the same names: a change in one does not affect the other."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, cast

import pytest

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import Format, Layout, device_path, parse_volume_name, snapshot_lv_name
from lvmqcow.errors import LvmqcowError
from lvmqcow.formats import SourceFormat
from lvmqcow.lvm import loopvg
from lvmqcow.operations import (
    OPERATIONS,
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
    Remove,
    Rename,
    RenameSnapshot,
    Request,
    Resize,
    Rollback,
    Snapshot,
    StreamFormat,
    Template,
)
from lvmqcow.operations.rollback import RollingBack
from lvmqcow.steps import LvTag
from lvmqcow.storage import Storage
from lvmqcow.testing.cases.scenarios import DISK, MIB, NEIGHBOUR, RAW

pytestmark = pytest.mark.lvmqcow_real

WAYS = ["shell", "process"]
THIRD, CONVERTED, CLONE = (
    parse_volume_name(f"{name}.qcow2") for name in ("vm-100-disk-3", "vm-200-disk-1", "vm-300-disk-0")
)


@pytest.fixture
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Storage, Storage]]:
    """Two volume groups with the same volumes in the same states. The name of one is a prefix of the other."""
    way = cast(Literal["shell", "process"], getattr(request, "param", "shell"))
    names = [f"vg{os.getpid()}", f"vg{os.getpid()}-b"]
    for name in names:
        loopvg.create(name, 256 * MIB, tmp_path / f"{name}.img")
    storages = [Storage.open(name, lvm=way) for name in names]
    for number, storage in enumerate(storages, 1):
        fill(storage, number)
    yield storages[0], storages[1]
    for storage in storages:
        storage.close()
        loopvg.destroy(storage.vg)


def fill(storage: Storage, byte: int) -> None:
    """Make volumes with the same names, sizes and tags, but other data."""
    storage.create(RAW.text, 4 * MIB)
    volume = storage.create(DISK.text, 4 * MIB)
    for number in range(3):
        argv = ("qemu-io", "-f", "qcow2", "-c", f"write -P {byte} {number * 64}k 64k", str(volume.path()))
        subprocess.run(argv, check=True, capture_output=True)
        if number < 2:
            volume.snapshot(f"s{number + 1}")
    storage.create(NEIGHBOUR.text, 4 * MIB).deactivate()


def seen(storage: Storage) -> tuple[VolumeGroup, dict[str, str]]:
    """The whole report on a volume group, and every byte of its active LVs."""
    picture = storage.picture()
    paths = {lv.name: Path(device_path(storage.vg, lv.name)) for lv in picture.logical_volumes if lv.active}
    return picture, {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}


def device_of(storage: Storage) -> Path:
    (group,) = (group for group in loopvg.existing() if group.name == storage.vg)
    return Path("/sys/block") / Path(group.device).name / "stat"


def transfers(stat: Path) -> tuple[str, str]:
    """The numbers of reads and writes that the kernel counted on a block device."""
    fields = stat.read_text().split()
    return fields[0], fields[4]


def verbs(file: Path, incoming: int, outgoing: int) -> list[Request]:
    """Every verb, in an order in which all succeed. The streams are file descriptors."""
    return [
        Create(THIRD, 4 * MIB),
        Remove(THIRD),
        Import(THIRD, MIB, str(file), SourceFormat.RAW),
        Snapshot(DISK, "s3"),
        Rollback(DISK, "s3"),
        RenameSnapshot(DISK, "s3", "kept"),
        Resize(DISK, 12 * MIB),
        Grow(RAW, 4 * MIB),
        DeleteSnapshot(DISK, "s2", Merge.PULL),
        DeleteSnapshot(DISK, "s1", Merge.PUSH),
        Deactivate(DISK),
        Snapshot(DISK, "s4"),
        Activate(DISK),
        Activate(NEIGHBOUR),
        Rename(DISK, parse_volume_name("vm-200-disk-0.qcow2")),
        Rename(RAW, parse_volume_name("vm-200-disk-1")),
        Remove(NEIGHBOUR),
        Remove(parse_volume_name("vm-200-disk-0.qcow2")),
        Convert(parse_volume_name("vm-200-disk-1"), CONVERTED),
        Snapshot(CONVERTED, "s1"),
        Copy(CONVERTED, "s1", DISK),
        Export(DISK, None, str(file.with_suffix(".copy")), Format.RAW),
        ExportStream(DISK, None, outgoing, StreamFormat.RAW),
        ImportStream(NEIGHBOUR, MIB, incoming),
        Template(DISK),
        Clone(CLONE, DISK),
        Flatten(CLONE),
    ]


@pytest.mark.parametrize("pair", WAYS, indirect=True)
def test_no_verb_changes_or_opens_another_vg(pair: tuple[Storage, Storage], tmp_path: Path) -> None:
    one, other = pair
    file = tmp_path / "disk.raw"
    file.write_bytes(b"x" * MIB)
    before = seen(other)
    stat = device_of(other)
    one.volumes()  # the first report scans the whole machine, to find the devices of the group
    counted = transfers(stat)
    with file.open("rb") as incoming, file.with_suffix(".stream").open("wb") as outgoing:
        requests = verbs(file, incoming.fileno(), outgoing.fileno())
        assert {type(request) for request in requests} == {kind for room in OPERATIONS for kind in room.requests}
        for request in requests:
            done = one.apply(request)
            assert done.steps, request
            assert transfers(stat) == counted, f"{request} read or wrote the other volume group's disk"
    one.allocate(100, 4 * MIB)
    assert one.check() == one.check_activating() == ()
    assert one.recover() == ()
    assert one.volumes()
    assert transfers(stat) == counted
    assert seen(other) == before


def test_recovery_in_one_vg_does_not_recover_another(pair: tuple[Storage, Storage]) -> None:
    one, other = pair
    intent = RollingBack(snapshot_lv_name(DISK, "s2", Layout.RFC)).tag
    for storage in pair:
        storage._host.run(LvTag((DISK.text,), add=(intent,)))
    before = seen(other)
    assert [plan.operation for plan in one.recover()] == ["finish rollback"]
    assert seen(other) == before
    assert [plan.operation for plan in other.recover()] == ["finish rollback"]


def test_refusal_in_one_vg_does_not_affect_another(pair: tuple[Storage, Storage]) -> None:
    one, other = pair
    one.volume(DISK.text).remove()
    with pytest.raises(LvmqcowError):
        one.volume(DISK.text).snapshot("s3")
    other.volume(DISK.text).snapshot("s3")
    assert other.volume(DISK.text).info().snapshots == ("s1", "s2", "s3")


def test_counters_show_a_scan_of_the_whole_machine(pair: tuple[Storage, Storage]) -> None:
    """This proves that the counters work. Otherwise the test above could not fail."""
    stat = device_of(pair[1])
    counted = transfers(stat)
    subprocess.run(("pvs", "--noheadings"), check=True, capture_output=True)
    assert transfers(stat) != counted
