"""Finding a free disk name, and creating the volume under it while others do the same."""

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
from lvmqcow.testing.simulated.host import SimHost
from tests.support.scenarios import DISK, MIB, chain, planned, raw_volume, run, state, storage

formats = st.sampled_from(Format)


def lvs(*names: str, tags: tuple[str, ...] = ()) -> SimHost:
    return run(SimHost(), *(LvCreate(name, 4 * MIB, tags) for name in names))


@given(numbers=st.sets(st.integers(0, 12)), image_format=formats)
def test_the_lowest_number_that_neither_format_has_is_taken(numbers: set[int], image_format: Format) -> None:
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
def test_whatever_mentions_a_name_takes_it(text: str) -> None:
    assert free_disk_number(100, [text]) == 1


@pytest.mark.parametrize(
    "text",
    [
        *("vm-1000-disk-0", "vm-10-disk-0", "xvm-100-disk-0", "vm-100-disk-01", "vm-100-disk-00", "vm-100-disk-0x"),
        *("vm-100-disk-0.raw", "vm-100-disk-0-old", "vm-100-disk-", "vm-100-cloudinit", "pve-vm-100", "root"),
    ],
)
def test_a_name_that_is_only_like_it_takes_nothing(text: str) -> None:
    assert free_disk_number(100, [text]) == 0


@pytest.mark.parametrize(
    ("host", "number"),
    [
        (SimHost(), 0),
        (chain(2), 1),
        (run(chain(2), LvRemove((DISK.text,))), 1),  # its snapshots are still there
        (raw_volume(chain(1)), 1),
        (raw_volume(lvs("vm-100-disk-0", "vm-100-disk-1.qcow2")), 3),
        (lvs("vm-100-disk-0.qcow2"), 1),  # nobody's, and it has the name
        (lvs("else", tags=("pve-vm-100-disk-0.qcow2",)), 1),
        (run(chain(0), LvTag((DISK.text,), add=("lvmqcow.intent=rename/x/vm-100-disk-1.qcow2",))), 2),
        (run(chain(1), *planned(chain(1), Snapshot(DISK, "s9")).steps[:3]), 1),  # cut: there is no current LV
    ],
)
@pytest.mark.parametrize("image_format", Format)
def test_the_volume_gets_the_lowest_free_name(host: SimHost, number: int, image_format: Format) -> None:
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
def test_what_can_not_be_created_is_refused(wrong: Callable[[Storage], object], error: type[Exception]) -> None:
    host = chain(1)
    before = state(host)
    with pytest.raises(error):
        wrong(storage(host))
    assert state(host) == before


class Rival:
    """Locks of processes that race: just before the first lock is ours, another process does something."""

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
def test_a_name_that_is_lost_at_the_last_moment_is_not_insisted_on(theirs: Format, ours: Format) -> None:
    host = SimHost()
    locks = Rival(lambda: storage(host).create_disk(100, MIB, theirs))
    assert Storage(host, locks).create_disk(100, MIB, ours).name == disk_name(100, 1, ours).text
    assert len(host.observe().logical_volumes) == 2


class Busy:
    """Locks of which other processes hold some, or all."""

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
def test_a_number_that_another_process_is_creating_is_passed_over(other: str, image_format: Format) -> None:
    """In whatever format: the other one's LV is not there yet to be seen."""
    locks = Busy(other)
    made = Storage(SimHost(), locks).create_disk(100, MIB, image_format)
    assert made.name == disk_name(100, 1, image_format).text
    assert locks.held == set()


def test_where_everything_is_locked_that_is_said() -> None:
    with pytest.raises(Locked):
        Storage(SimHost(), Busy()).create_disk(100, MIB)


def test_a_snapshot_of_the_new_volume_has_the_usual_name() -> None:
    host = SimHost()
    made = storage(host).create_disk(100, MIB)
    made.snapshot("s1")
    assert host.observe().lv(snapshot_lv_name(disk_name(100, 0, Format.QCOW2), "s1", Layout.RFC)) is not None
