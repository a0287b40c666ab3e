"""The writes that a disk received, in order, and the contents it may have after a power cut. Pure functions over bytes.

dm-log-writes records a device. Its log has one sector of superblock, then for each entry a sector of header (where,
how much, flags, and the text of a mark) and the data that was written. Source: Linux, ``drivers/md/dm-log-writes.c``.

The log is in the order of durability: a write stands before the flush that covers it, a write with FUA and a mark
stand where they happened. So this is what a power cut leaves of the events before it (`State`):

1. every event before the last flush has arrived, and so has every write with FUA
2. every event after the last flush is volatile. If only the host stops, everything that was sent arrives: a *prefix*.
   If the disk loses its cache, any part may be missing: a *subset*
3. the write that was under way may have arrived in part: sectors are whole, writes are not
4. a mark stands before the volatile writes that were done when it was set. A promise that holds after the mark must
   hold without these writes, because nothing had made them durable
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from itertools import chain, zip_longest
from typing import Final, assert_never

__all__ = ["Discard", "Event", "Flush", "Loss", "Mark", "State", "Write", "contents", "crash_states", "parse_log"]

_MAGIC: Final = 0x6A736677736872
_VERSION: Final = 1
_SUPERBLOCK: Final = struct.Struct("<QQQI")
_ENTRY: Final = struct.Struct("<QQQQ")
_FLUSH, _FUA, _DISCARD, _MARK = 1, 2, 4, 8
_PAGE_BYTES: Final = 4096
_ATOMIC_BYTES: Final = 512  # what a disk writes wholly or not at all
_VAIN_DRAWS: Final = 64  # subsets that were all seen before: there is hardly another one


@dataclass(frozen=True)
class Write:
    """A write of ``data`` at ``offset_bytes``. With ``fua`` it was durable when the write returned."""

    offset_bytes: int
    data: bytes
    fua: bool = False


@dataclass(frozen=True)
class Discard:
    """A discard. The range reads as zeros from then on, as on most disks."""

    offset_bytes: int
    length_bytes: int


@dataclass(frozen=True)
class Flush:
    """A flush: every event before it is durable."""


@dataclass(frozen=True)
class Mark:
    """A mark that the recorder set."""

    name: str


Event = Write | Discard | Flush | Mark


class Loss(StrEnum):
    """The part of the sent writes that a power cut took away."""

    NOTHING = "nothing: it stopped at a flush, a write with FUA or a mark"
    HOST = "nothing: it stopped between two writes"
    WRITE = "the end of the write that was under way"
    CACHE = "some of what no flush had covered"


@dataclass(frozen=True)
class State:
    """A disk after a power cut: the first ``position`` events had happened, and of these ``lost`` had not arrived.

    Of the next one, a write that was under way, ``torn_bytes`` had.
    """

    position: int
    loss: Loss
    lost: frozenset[int] = frozenset()
    torn_bytes: int = 0

    def reached(self, events: Sequence[Event], mark: str) -> bool:
        """Return whether the mark had been set by then."""
        return Mark(mark) in events[: self.position]

    def arrived(self, events: Sequence[Event], start: int) -> Iterator[Event]:
        """Return the events from ``start`` on that had arrived."""
        yield from (events[index] for index in range(start, self.position) if index not in self.lost)
        if self.torn_bytes:
            torn = events[self.position]
            assert isinstance(torn, Write)  # nothing else takes time
            yield Write(torn.offset_bytes, torn.data[: self.torn_bytes])


def parse_log(log: bytes) -> tuple[Event, ...]:
    """Return the events of a log, in order. A write with a preceding flush is two events.

    Raises:
        ValueError: the bytes are no log of dm-log-writes, or the log is incomplete.
    """
    if len(log) < _SUPERBLOCK.size:
        raise ValueError(f"no log of dm-log-writes: it has {len(log)} bytes")
    magic, version, entries, sector_bytes = _SUPERBLOCK.unpack_from(log)
    if (magic, version) != (_MAGIC, _VERSION) or sector_bytes < _ENTRY.size:
        raise ValueError(f"no log of dm-log-writes: magic {magic:#x}, version {version}, sectors of {sector_bytes}")
    events: list[Event] = []
    place = sector_bytes
    for number in range(entries):
        if place + sector_bytes > len(log):
            raise ValueError(f"the log ends before entry {number} of {entries}")
        found, place = _entry(log, place, sector_bytes)
        events += found
    return tuple(events)


def crash_states(
    disk: bytes, events: Sequence[Event], *, since: str, ordered: range, most: int, seed: int = 0
) -> tuple[State, ...]:
    """States of which no two have the same content, from the mark ``since`` on: in the order of the log.

    All that stop at a flush, a write with FUA or a mark; then prefixes, torn writes and subsets, in turn of every
    stretch between two flushes, until there are ``most``. The same every time for the same ``seed``. ``disk`` is what
    it held before the first event. A write that starts within ``ordered`` (in bytes) is lost only with all later ones
    of that range.

    Of two with the same content it is the later, of which more is asked: that nothing was made durable after a mark
    shows as a state of before it.
    """
    chosen: dict[int, State] = {}
    begin = events.index(Mark(since)) + 1
    drawn = random.Random(seed)
    stretches = [stretch for stretch in _stretches(disk, events) if stretch.end >= begin]

    def take(stretch: _Stretch, state: State) -> bool:
        """Whether no state with this content was there yet. If one was, that which had more marks behind it stays."""
        found = stretch.fingerprint_of(state)
        known = chosen.get(found)
        if known is None or _marks(events, known.position) < _marks(events, state.position):
            chosen[found] = state
        return known is None

    def draw(stretch: _Stretch) -> Iterator[bool]:
        """One more state of the stretch each time, until no more are found."""
        kinds = (stretch.prefixes(drawn, begin), stretch.torn(drawn, begin), stretch.subsets(drawn, ordered))
        for state in chain.from_iterable(zip_longest(*kinds)):
            if state is not None:
                yield take(stretch, state)

    for stretch in stretches:
        for position in stretch.halts(begin):
            take(stretch, State(position, Loss.NOTHING))
    drawing = [(draw(stretch), _VAIN_DRAWS) for stretch in stretches]
    while drawing and len(chosen) < most:
        going = []
        for states, patience in drawing:
            fresh = next(states, None)
            left = _VAIN_DRAWS if fresh else patience - 1
            if fresh is not None and left and len(chosen) < most:
                going.append((states, left))
        drawing = going
    return tuple(sorted(chosen.values(), key=lambda state: (state.position, sorted(state.lost), state.torn_bytes)))


def contents(disk: bytes, events: Sequence[Event], states: Iterable[State]) -> Iterator[tuple[State, bytearray]]:
    """Yield what the disk holds in each of these states, which are in the order of the log.

    The same array is used each time: read it before you ask for the next one.
    """
    now = bytearray(disk)
    done = 0
    for state in states:
        start = _start(events, state.position)
        for event in events[done:start]:
            _apply(now, event)
        done = max(done, start)
        volatile = list(state.arrived(events, start))
        before = [(place, bytes(now[place.start : place.stop])) for place in map(_place, volatile) if place]
        for event in volatile:
            _apply(now, event)
        yield state, now
        for place, data in before:
            now[place.start : place.stop] = data


@dataclass(frozen=True)
class _Stretch:
    """The events from one flush to the next, and what the pages that they touch held before."""

    events: Sequence[Event]
    start: int
    end: int
    before: Mapping[int, bytes]
    fingerprint: int

    def halts(self, begin: int) -> Iterator[int]:
        """After each write with FUA, each mark, and the flush at the end."""
        for index in range(max(self.start, begin - 1), self.end):
            event = self.events[index]
            if isinstance(event, Mark) or (isinstance(event, Write) and event.fua):
                yield index + 1
        yield min(self.end + 1, len(self.events))

    def prefixes(self, drawn: random.Random, begin: int) -> list[State]:
        """After each write that changes something, in any order."""
        states = [State(index + 1, Loss.HOST) for index in self._changing() if index >= begin]
        drawn.shuffle(states)
        return states

    def torn(self, drawn: random.Random, begin: int) -> list[State]:
        """Within each write, after each sector that it changes, in any order."""
        states = []
        pages: dict[int, bytearray] = {}
        for index in range(self.start, self.end):
            event = self.events[index]
            if isinstance(event, Write) and index >= begin:
                now = self._read(pages, event)
                for end in range(_ATOMIC_BYTES, len(event.data), _ATOMIC_BYTES):
                    sector = slice(end - _ATOMIC_BYTES, end)
                    if event.data[sector] != now[sector]:
                        states.append(State(index, Loss.WRITE, torn_bytes=end))
            self._apply(pages, event)
        drawn.shuffle(states)
        return states

    def subsets(self, drawn: random.Random, ordered: range) -> Iterator[State]:
        """Without one of the volatile events, for each; then without any number of them."""
        volatile = [index for index in self._changing() if not _durable(self.events[index])]
        in_order = [index for index in volatile if _offset(self.events[index]) in ordered]
        free = [index for index in volatile if index not in in_order]
        singles = list(free)
        drawn.shuffle(singles)
        for index in singles:
            yield self._without({index})
        while volatile:
            odds = drawn.choice((0.1, 0.5, 0.9))
            kept = drawn.randint(0, len(in_order))
            yield self._without({*in_order[kept:], *(index for index in free if drawn.random() < odds)})

    def fingerprint_of(self, state: State) -> int:
        """Return a fingerprint that is equal for equal contents of the whole disk."""
        pages: dict[int, bytearray] = {}
        for event in state.arrived(self.events, self.start):
            self._apply(pages, event)
        found = self.fingerprint
        for number, page in pages.items():
            found ^= _digest(number, self.before[number]) ^ _digest(number, page)
        return found

    def _without(self, lost: set[int]) -> State:
        return State(self.end, Loss.CACHE, frozenset(lost))

    def _changing(self) -> list[int]:
        """The events that touch a page which does not stay as it was throughout."""
        changed: set[int] = set()
        pages: dict[int, bytearray] = {}
        for index in range(self.start, self.end):
            self._apply(pages, self.events[index])
            touched = _pages(self.events[index])
            changed.update(number for number in touched if pages[number] != self.before[number])
        return [index for index in range(self.start, self.end) if not changed.isdisjoint(_pages(self.events[index]))]

    def _read(self, pages: Mapping[int, bytes | bytearray], event: Event) -> bytes:
        """What is there now where an event goes."""
        place, numbers = _place(event), _pages(event)
        now = b"".join(pages.get(number, self.before[number]) for number in numbers)
        first = place.start - numbers.start * _PAGE_BYTES
        return now[first : first + len(place)]

    def _apply(self, pages: dict[int, bytearray], event: Event) -> None:
        place = _place(event)
        for number in _pages(event):
            page = pages.setdefault(number, bytearray(self.before[number]))
            first = number * _PAGE_BYTES
            start, stop = max(place.start, first), min(place.stop, first + _PAGE_BYTES)
            data = (
                event.data[start - place.start : stop - place.start]
                if isinstance(event, Write)
                else bytes(stop - start)
            )
            page[start - first : stop - first] = data


def _stretches(disk: bytes, events: Sequence[Event]) -> Iterator[_Stretch]:
    now, fingerprint = bytearray(disk), 0
    start = 0
    flushes = [index for index, event in enumerate(events) if isinstance(event, Flush)]
    for end in (*flushes, len(events)):
        touched = {number for event in events[start:end] for number in _pages(event)}
        before = {number: _page(now, number) for number in touched}
        yield _Stretch(events, start, end, before, fingerprint)
        for event in events[start:end]:
            _apply(now, event)
        for number, page in before.items():
            fingerprint ^= _digest(number, page) ^ _digest(number, _page(now, number))
        start = end + 1


def _entry(log: bytes, place: int, sector_bytes: int) -> tuple[list[Event], int]:
    """The events of the entry at ``place``, and the place of the next one."""
    sector, sectors, flags, text_bytes = _ENTRY.unpack_from(log, place)
    header, place = place, place + sector_bytes
    offset_bytes, length_bytes = sector * sector_bytes, sectors * sector_bytes
    if flags & _MARK:
        text = log[header + _ENTRY.size : header + _ENTRY.size + text_bytes]
        return [Mark(text.rstrip(b"\0").decode())], place
    found: list[Event] = [Flush()] if flags & _FLUSH else []
    if not sectors:
        return found, place
    if flags & _DISCARD:
        return [*found, Discard(offset_bytes, length_bytes)], place
    if place + length_bytes > len(log):
        raise ValueError(f"the log ends within the {length_bytes} bytes written at {offset_bytes}")
    data = log[place : place + length_bytes]
    return [*found, Write(offset_bytes, data, bool(flags & _FUA))], place + length_bytes


def _start(events: Sequence[Event], position: int) -> int:
    """Return how many events the last flush before a position has made durable."""
    return next((index + 1 for index in range(position - 1, -1, -1) if isinstance(events[index], Flush)), 0)


def _marks(events: Sequence[Event], position: int) -> int:
    return sum(isinstance(event, Mark) for event in events[:position])


def _apply(disk: bytearray, event: Event) -> None:
    place = _place(event)
    disk[place.start : place.stop] = event.data if isinstance(event, Write) else bytes(len(place))


def _place(event: Event) -> range:
    match event:
        case Write():
            return range(event.offset_bytes, event.offset_bytes + len(event.data))
        case Discard():
            return range(event.offset_bytes, event.offset_bytes + event.length_bytes)
        case Flush() | Mark():
            return range(0)
        case _:
            assert_never(event)


def _offset(event: Event) -> int:
    return _place(event).start


def _durable(event: Event) -> bool:
    return isinstance(event, Write) and event.fua


def _pages(event: Event) -> range:
    place = _place(event)
    return range(place.start // _PAGE_BYTES, -(-place.stop // _PAGE_BYTES)) if place else range(0)


def _page(disk: bytearray, number: int) -> bytes:
    return bytes(disk[number * _PAGE_BYTES : (number + 1) * _PAGE_BYTES])


def _digest(number: int, page: bytes | bytearray) -> int:
    return int.from_bytes(blake2b(page, digest_size=16, salt=number.to_bytes(16, "little")).digest())
