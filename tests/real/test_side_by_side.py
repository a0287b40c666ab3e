"""Two volume groups with volumes of the same names: what is done to one does not reach the other."""

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
from tests.support.scenarios import DISK, MIB, NEIGHBOUR, RAW

pytestmark = pytest.mark.lvmqcow_real

WAYS = ["shell", "process"]
THIRD, CONVERTED, CLONE = (
    parse_volume_name(f"{name}.qcow2") for name in ("vm-100-disk-3", "vm-200-disk-1", "vm-300-disk-0")
)


@pytest.fixture
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Storage, Storage]]:
    """Two volume groups, one's name a prefix of the other's, with the same volumes in the same states."""
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
    """The same names, sizes and tags; other bytes."""
    storage.create(RAW.text, 4 * MIB)
    volume = storage.create(DISK.text, 4 * MIB)
    for number in range(3):
        argv = ("qemu-io", "-f", "qcow2", "-c", f"write -P {byte} {number * 64}k 64k", str(volume.path()))
        subprocess.run(argv, check=True, capture_output=True)
        if number < 2:
            volume.snapshot(f"s{number + 1}")
    storage.create(NEIGHBOUR.text, 4 * MIB).deactivate()


def seen(storage: Storage) -> tuple[VolumeGroup, dict[str, str]]:
    """All of a volume group: uuids, sizes, tags, what is active, free space; and every byte of its active LVs."""
    picture = storage.picture()
    paths = {lv.name: Path(device_path(storage.vg, lv.name)) for lv in picture.logical_volumes if lv.active}
    return picture, {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}


def device_of(storage: Storage) -> Path:
    (group,) = (group for group in loopvg.existing() if group.name == storage.vg)
    return Path("/sys/block") / Path(group.device).name / "stat"


def transfers(stat: Path) -> tuple[str, str]:
    """Reads and writes that the kernel counted on a block device."""
    fields = stat.read_text().split()
    return fields[0], fields[4]


def verbs(file: Path, incoming: int, outgoing: int) -> list[Request]:
    """Every verb, in an order that lets all of them succeed; the streams are file descriptors."""
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
def test_every_verb_on_one_leaves_the_other_as_it_was_and_its_disk_unopened(
    pair: tuple[Storage, Storage], tmp_path: Path
) -> None:
    one, other = pair
    file = tmp_path / "disk.raw"
    file.write_bytes(b"x" * MIB)
    before = seen(other)
    stat = device_of(other)
    one.volumes()  # the first look is at the whole machine: only then is it known what belongs to the group
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


def test_recovery_of_one_leaves_the_same_cut_in_the_other(pair: tuple[Storage, Storage]) -> None:
    one, other = pair
    intent = RollingBack(snapshot_lv_name(DISK, "s2", Layout.RFC)).tag
    for storage in pair:
        storage._host.run(LvTag((DISK.text,), add=(intent,)))
    before = seen(other)
    assert [plan.operation for plan in one.recover()] == ["finish rollback"]
    assert seen(other) == before
    assert [plan.operation for plan in other.recover()] == ["finish rollback"]


def test_a_refusal_in_one_is_none_in_the_other(pair: tuple[Storage, Storage]) -> None:
    one, other = pair
    one.volume(DISK.text).remove()
    with pytest.raises(LvmqcowError):
        one.volume(DISK.text).snapshot("s3")
    other.volume(DISK.text).snapshot("s3")
    assert other.volume(DISK.text).info().snapshots == ("s1", "s2", "s3")


def test_the_disk_of_the_other_is_opened_by_whoever_looks_at_the_whole_machine(pair: tuple[Storage, Storage]) -> None:
    """The counters can tell: without this, the test above could not fail."""
    stat = device_of(pair[1])
    counted = transfers(stat)
    subprocess.run(("pvs", "--noheadings"), check=True, capture_output=True)
    assert transfers(stat) != counted
