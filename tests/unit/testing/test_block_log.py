"""The log of dm-log-writes, and the possible disk states after a power cut, on logs made by these tests."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvmqcow.testing.crash.block_log import (
    Discard,
    Event,
    Flush,
    Loss,
    Mark,
    State,
    Write,
    contents,
    crash_states,
    parse_log,
)

SECTOR = 512
DISK_BYTES = 6 * 4096
NO_ORDER = range(0)
BEGUN = Mark("begun")


def log_of(events: Sequence[Event], sector_bytes: int = SECTOR) -> bytes:
    """A log in the format of the kernel."""
    entries = b"".join(entry(event, sector_bytes) for event in events)
    return padded(struct.pack("<QQQI", 0x6A736677736872, 1, len(events), sector_bytes), sector_bytes) + entries


def entry(event: Event, sector_bytes: int) -> bytes:
    match event:
        case Flush():
            return header(0, 0, 1, b"", sector_bytes)
        case Mark(name):
            return header(0, 0, 8, name.encode(), sector_bytes)
        case Discard(offset_bytes, length_bytes):
            return header(offset_bytes, length_bytes, 4, b"", sector_bytes)
        case Write(offset_bytes, data, fua):
            return header(offset_bytes, len(data), 2 if fua else 0, b"", sector_bytes) + data


def header(offset_bytes: int, length_bytes: int, flags: int, text: bytes, sector_bytes: int) -> bytes:
    fixed = struct.pack("<QQQQ", offset_bytes // sector_bytes, length_bytes // sector_bytes, flags, len(text))
    return padded(fixed + text, sector_bytes)


def padded(data: bytes, sector_bytes: int) -> bytes:
    return data.ljust(sector_bytes, b"\0")


def event_lists(sector_bytes: int = SECTOR) -> st.SearchStrategy[list[Event]]:
    sectors = DISK_BYTES // sector_bytes
    places = st.tuples(st.integers(0, sectors - 1), st.integers(1, 3 * 4096 // sector_bytes)).map(
        lambda place: (place[0] * sector_bytes, min(place[1], sectors - place[0]) * sector_bytes)
    )
    written = st.tuples(places, st.sampled_from([0, 1, 2]), st.sampled_from([False, False, False, True]))
    return st.lists(
        st.one_of(
            written.map(lambda drawn: Write(drawn[0][0], bytes([drawn[1]]) * drawn[0][1], drawn[2])),
            places.map(lambda place: Discard(*place)),
            st.just(Flush()),
            st.sampled_from([Mark("one"), Mark("done")]),
        ),
        max_size=12,
    )


disks = st.sampled_from([bytes(DISK_BYTES), bytes([2]) * DISK_BYTES])
logs = st.tuples(event_lists(), event_lists()).map(lambda parts: (*parts[0], Flush(), BEGUN, *parts[1]))


def content_of(disk: bytes, events: Sequence[Event], state: State) -> bytes:
    """The content of the disk in a state, computed in the simplest way."""
    now = bytearray(disk)
    for index, event in enumerate(events[: state.position]):
        if index not in state.lost:
            if isinstance(event, Write):
                now[event.offset_bytes : event.offset_bytes + len(event.data)] = event.data
            elif isinstance(event, Discard):
                now[event.offset_bytes : event.offset_bytes + event.length_bytes] = bytes(event.length_bytes)
    if state.torn_bytes:
        torn = events[state.position]
        assert isinstance(torn, Write)
        now[torn.offset_bytes : torn.offset_bytes + state.torn_bytes] = torn.data[: state.torn_bytes]
    return bytes(now)


def last_flush(events: Sequence[Event], position: int) -> int:
    """The number of events that the last flush before this position made durable."""
    return max((index + 1 for index, event in enumerate(events[:position]) if isinstance(event, Flush)), default=0)


@given(event_lists(), st.sampled_from([512, 4096]), st.data())
def test_log_round_trips_through_the_parser(events: list[Event], sector_bytes: int, data: st.DataObject) -> None:
    drawn = data.draw(event_lists(sector_bytes)) if sector_bytes != SECTOR else events
    assert parse_log(log_of(drawn, sector_bytes)) == tuple(drawn)


def test_write_with_preflush_is_a_flush_and_a_write() -> None:
    superblock = padded(struct.pack("<QQQI", 0x6A736677736872, 1, 1, SECTOR), SECTOR)
    log = superblock + header(1024, 512, 1 | 2, b"", SECTOR) + b"x" * 512
    assert parse_log(log) == (Flush(), Write(1024, b"x" * 512, fua=True))


@given(event_lists(), st.data())
def test_truncated_log_is_refused(events: list[Event], data: st.DataObject) -> None:
    log = log_of([*events, Write(0, b"x" * SECTOR)])
    for end in (data.draw(st.integers(0, len(log) - 1)), len(log) - 1, len(log) - SECTOR - 1):
        with pytest.raises(ValueError, match="log"):
            parse_log(log[:end])


@given(st.binary(max_size=2 * SECTOR))
def test_arbitrary_bytes_are_refused_as_a_log(noise: bytes) -> None:
    with pytest.raises(ValueError, match="no log of dm-log-writes"):
        parse_log(noise)


@given(disks, logs, st.sampled_from([0, 20, 400]))
def test_crash_states_are_distinct_and_have_the_stated_content(
    disk: bytes, events: tuple[Event, ...], most: int
) -> None:
    states = crash_states(disk, events, since="begun", ordered=NO_ORDER, most=most)
    found = [(state, bytes(content)) for state, content in contents(disk, events, states)]
    assert [state for state, _ in found] == list(states)
    for state, content in found:
        assert content == content_of(disk, events, state)
    assert len({content for _, content in found}) == len(found)


@given(disks, logs)
def test_durable_writes_are_never_lost(disk: bytes, events: tuple[Event, ...]) -> None:
    begin = events.index(BEGUN)
    for state in crash_states(disk, events, since="begun", ordered=NO_ORDER, most=100):
        assert state.reached(events, "begun")
        assert all(begin < index < state.position for index in state.lost)
        assert all(index >= last_flush(events, state.position) for index in state.lost)
        lost = [events[index] for index in state.lost]
        assert not [event for event in lost if isinstance(event, Flush | Mark) or getattr(event, "fua", False)]
        assert bool(state.lost) == (state.loss is Loss.CACHE)
        assert bool(state.torn_bytes) == (state.loss is Loss.WRITE)


@given(disks, logs)
def test_every_flush_fua_write_and_mark_has_a_crash_state(disk: bytes, events: tuple[Event, ...]) -> None:
    states = crash_states(disk, events, since="begun", ordered=NO_ORDER, most=0)
    held = {bytes(content) for _, content in contents(disk, events, states)}
    for index in range(events.index(BEGUN), len(events)):
        event = events[index]
        if isinstance(event, Flush | Mark) or (isinstance(event, Write) and event.fua):
            assert content_of(disk, events, State(index + 1, Loss.NOTHING)) in held
    assert content_of(disk, events, State(len(events), Loss.NOTHING)) in held


def test_crash_states_depend_only_on_the_seed() -> None:
    writes = [Write(number * 1024, bytes([number + 1]) * 1024) for number in range(20)]
    drawn = [
        crash_states(bytes(DISK_BYTES), (Flush(), BEGUN, *writes), since="begun", ordered=NO_ORDER, most=30, seed=seed)
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_ordered_area_never_has_a_header_without_its_text() -> None:
    text, header_of_it, image = Write(0, b"t" * 512), Write(4096, b"h" * 512), Write(8192, b"i" * 512)
    events: tuple[Event, ...] = (Flush(), BEGUN, text, header_of_it, image, Flush())
    for ordered, states in ((range(8192), 6), (NO_ORDER, 8)):
        found = crash_states(bytes(DISK_BYTES), events, since="begun", ordered=ordered, most=100)
        held = {bytes(content) for _, content in contents(bytes(DISK_BYTES), events, found)}
        assert len(held) == states
        assert any(content[0] == 0 and content[4096] for content in held) == (ordered == NO_ORDER)


@given(disks, logs)
def test_ordered_area_loses_only_its_last_writes(disk: bytes, events: tuple[Event, ...]) -> None:
    ordered = range(2 * 4096)
    for state in crash_states(disk, events, since="begun", ordered=ordered, most=200):
        volatile = range(last_flush(events, state.position), state.position)
        inside = [index for index in volatile if starts_in(events[index], ordered)]
        lost = [index for index in inside if index in state.lost]
        kept = [index for index in inside if index not in state.lost and changes(events, disk, index)]
        assert not lost or not [index for index in kept if index > min(lost)]


def starts_in(event: Event, place: range) -> bool:
    return isinstance(event, Write | Discard) and event.offset_bytes in place and not getattr(event, "fua", False)


def changes(events: Sequence[Event], disk: bytes, index: int) -> bool:
    """Whether an event changes the content of the disk."""
    before, after = (content_of(disk, events, State(position, Loss.HOST)) for position in (index, index + 1))
    return before != after


def test_few_writes_give_every_prefix_subset_and_torn_write() -> None:
    writes = [Write(number * 4096, bytes([number + 1]) * 1024) for number in range(3)]
    events: tuple[Event, ...] = (Flush(), BEGUN, *writes, Flush(), Mark("done"))
    states = crash_states(bytes(DISK_BYTES), events, since="begun", ordered=NO_ORDER, most=1000)
    held = {bytes(content) for _, content in contents(bytes(DISK_BYTES), events, states)}
    subsets = {
        content_of(
            bytes(DISK_BYTES),
            events,
            State(5, Loss.CACHE, frozenset(index for index in (2, 3, 4) if lost >> index & 1)),
        )
        for lost in range(32)
    }
    torn = {content_of(bytes(DISK_BYTES), events, State(index, Loss.WRITE, torn_bytes=512)) for index in (2, 3, 4)}
    assert held == subsets | torn
    assert len(held) == 8 + 3


@given(disks, logs)
def test_equal_states_are_represented_by_the_one_with_most_marks(disk: bytes, events: tuple[Event, ...]) -> None:
    states = crash_states(disk, events, since="begun", ordered=NO_ORDER, most=100)
    taken = {bytes(content): state for state, content in contents(disk, events, states)}
    for index in range(events.index(BEGUN), len(events)):
        if isinstance(events[index], Mark):
            content = content_of(disk, events, State(index + 1, Loss.NOTHING))
            assert marks(events, taken[content].position) >= marks(events, index + 1)


def marks(events: Sequence[Event], position: int) -> int:
    return sum(isinstance(event, Mark) for event in events[:position])


def test_write_before_a_mark_without_a_flush_may_be_lost() -> None:
    events = (
        Flush(),
        BEGUN,
        Mark("done"),
        Write(0, b"x" * 512),
    )  # the kernel logs it like this: completed before the mark, but volatile
    (lost, there) = crash_states(bytes(DISK_BYTES), events, since="begun", ordered=NO_ORDER, most=100)
    assert lost.reached(events, "done")
    assert there.reached(events, "done")
