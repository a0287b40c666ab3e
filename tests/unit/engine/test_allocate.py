"""The search for a free disk name, and the creation of the volume while other processes do the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvmqcow.core.names import Format, Layout, disk_name, free_disk_number, snapshot_lv_name
from lvmqcow.errors import InvalidName, InvalidSize, Locked, NoSpace
from lvmqcow.operations import Snapshot
from lvmqcow.steps import LvCreate, LvRemove, LvTag
from lvmqcow.storage import Storage
from lvmqcow.testing.cases.scenarios import DISK, MIB, chain, planned, raw_volume, run, state, storage
from lvmqcow.testing.simulated.host import SimHost

formats = st.sampled_from(Format)


def lvs(*names: str, tags: tuple[str, ...] = ()) -> SimHost:
    return run(SimHost(), *(LvCreate(name, 4 * MIB, tags) for name in names))


@given(numbers=st.sets(st.integers(0, 12)), image_format=formats)
def test_lowest_disk_number_free_in_both_formats_is_used(numbers: set[int], image_format: Format) -> None:
    names = [disk_name(100, number, [*Format][number % 2]).text for number in numbers]
    free = free_disk_number(100, names)
    assert free not in numbers
    assert set(range(free)) <= numbers
    assert disk_name(100, free, image_format).format is image_format


@pytest.mark.parametrize(
    "text",
    [
        *("vm-100-disk-0", "vm-100-disk-0.qcow2", "snap-s1-vm-100-disk-0.qcow2", "new-vm-100-disk-0.qcow2"),
        *("del-vm-100-disk-0", "del-2-vm-100-disk-0.qcow2", "del-snap-s1-vm-100-disk-0.qcow2"),
        *("snap_vm-100-disk-0_s1.qcow2", "snap_vm-100-disk-0.qcow2_s1", "pve-vm-100-disk-0.qcow2"),
        *("lvmqcow.parent=snap-s1-vm-100-disk-0.qcow2", "lvmqcow.intent=rename/vm-1-a/vm-100-disk-0"),
        "lvmqcow.intent=push/vm-100-disk-0.qcow2/x",
    ],
)
def test_any_lv_or_tag_with_the_disk_name_takes_its_number(text: str) -> None:
    assert free_disk_number(100, [text]) == 1


@pytest.mark.parametrize(
    "text",
    [
        *("vm-1000-disk-0", "vm-10-disk-0", "xvm-100-disk-0", "vm-100-disk-01", "vm-100-disk-00", "vm-100-disk-0x"),
        *("vm-100-disk-0.raw", "vm-100-disk-0-old", "vm-100-disk-", "vm-100-cloudinit", "pve-vm-100", "root"),
    ],
)
def test_similar_name_does_not_take_the_disk_number(text: str) -> None:
    assert free_disk_number(100, [text]) == 0


@pytest.mark.parametrize(
    ("host", "number"),
    [
        (SimHost(), 0),
        (chain(2), 1),
        (run(chain(2), LvRemove((DISK.text,))), 1),  # the snapshots still exist
        (raw_volume(chain(1)), 1),
        (raw_volume(lvs("vm-100-disk-0", "vm-100-disk-1.qcow2")), 3),
        (lvs("vm-100-disk-0.qcow2"), 1),  # a foreign LV with that name
        (lvs("else", tags=("pve-vm-100-disk-0.qcow2",)), 1),
        (run(chain(0), LvTag((DISK.text,), add=("lvmqcow.intent=rename/x/vm-100-disk-1.qcow2",))), 2),
        (run(chain(1), *planned(chain(1), Snapshot(DISK, "s9")).steps[:3]), 1),  # a cut: the current LV does not exist
    ],
)
@pytest.mark.parametrize("image_format", Format)
def test_new_disk_gets_the_lowest_free_name(host: SimHost, number: int, image_format: Format) -> None:
    twin = host.copy()
    with storage(twin) as opened:
        assert opened.free_name(100, image_format) == disk_name(100, number, image_format)
        made = opened.create_disk(100, 8 * MIB, image_format)
        assert made.name == disk_name(100, number, image_format).text
        assert made.info().virtual_size_bytes == 8 * MIB
        assert made.check() == ()


def test_qcow2_is_the_default() -> None:
    assert storage(SimHost()).create_disk(7, MIB).name == "vm-7-disk-0.qcow2"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda opened: opened.create_disk(-1, MIB), InvalidName),
        (lambda opened: opened.create_disk(10**9, MIB), InvalidName),
        (lambda opened: opened.create_disk(100, 0), InvalidSize),
        (lambda opened: opened.create_disk(100, 8 * 1024**3), NoSpace),
    ],
)
def test_impossible_disk_is_refused_before_any_change(
    wrong: Callable[[Storage], object], error: type[Exception]
) -> None:
    host = chain(1)
    before = state(host)
    with pytest.raises(error):
        wrong(storage(host))
    assert state(host) == before


class Rival:
    """Locks with a race: another process acts just before we get our first lock."""

    def __init__(self, rival: Callable[[], object]) -> None:
        self._rival: Callable[[], object] | None = rival
        self.held: list[str] = []

    @contextmanager
    def hold(self, vg: str, volume: str) -> Iterator[None]:
        rival, self._rival = self._rival, None
        if rival:
            rival()
        self.held.append(volume)
        yield


@pytest.mark.parametrize("theirs", Format)
@pytest.mark.parametrize("ours", Format)
def test_name_lost_in_a_race_is_replaced_by_the_next(theirs: Format, ours: Format) -> None:
    host = SimHost()
    locks = Rival(lambda: storage(host).create_disk(100, MIB, theirs))
    assert Storage(host, locks).create_disk(100, MIB, ours).name == disk_name(100, 1, ours).text
    assert len(host.observe().logical_volumes) == 2


class Busy:
    """Locks that other processes hold, some or all of them."""

    def __init__(self, *others: str) -> None:
        self._others = others
        self.held: set[str] = set()

    @contextmanager
    def hold(self, vg: str, volume: str) -> Iterator[None]:
        if not self._others or volume in self._others:
            raise Locked(f"{vg}/{volume}", "another", 0)
        self.held.add(volume)
        try:
            yield
        finally:
            self.held.remove(volume)


@pytest.mark.parametrize("other", ["vm-100-disk-0", "vm-100-disk-0.qcow2"])
@pytest.mark.parametrize("image_format", Format)
def test_number_locked_by_another_process_is_skipped(other: str, image_format: Format) -> None:
    """This holds for both formats, because the LV of the other process does not exist yet."""
    locks = Busy(other)
    made = Storage(SimHost(), locks).create_disk(100, MIB, image_format)
    assert made.name == disk_name(100, 1, image_format).text
    assert locks.held == set()


def test_create_disk_raises_locked_if_every_name_is_locked() -> None:
    with pytest.raises(Locked):
        Storage(SimHost(), Busy()).create_disk(100, MIB)


def test_snapshot_of_an_allocated_disk_has_the_usual_name() -> None:
    host = SimHost()
    made = storage(host).create_disk(100, MIB)
    made.snapshot("s1")
    assert host.observe().lv(snapshot_lv_name(disk_name(100, 0, Format.QCOW2), "s1", Layout.RFC)) is not None
