"""Power loss at block level: record the writes to a disk, then put any state that a power cut may leave on a disk.

    recording = record(file, operate)               # what `operate` wrote, through dm-log-writes
    with attached(file) as device:
        for state, content in contents(recording.before, recording.events, states):
            put(content, file, device)              # and now look what LVM and lvmqcow make of it

The disks are loop devices on sparse files; put these on a tmpfs. A loop device that is left behind detaches itself.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lvmqcow.errors import CommandFailed
from lvmqcow.lab.guest.loop import attach
from lvmqcow.testing.crash.block_log import Event, Loss, State, contents, parse_log

__all__ = ["Recorder", "Recording", "attached", "put", "record"]

_LOG_BYTES: Final = 512 * 1024**2  # sparse
_SECTOR_BYTES: Final = 512
_BLKFLSBUF: Final = 0x1261


@dataclass(frozen=True)
class Recording:
    """The content of a disk before, and the events after that."""

    before: bytes
    events: tuple[Event, ...]


class Recorder:
    """A device that records every event."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def device(self) -> str:
        return f"/dev/mapper/{self.name}"

    def mark(self, text: str) -> None:
        """Set a mark, one word. A mark flushes nothing."""
        _dmsetup("message", self.name, "0", "mark", text)

    def flush(self) -> None:
        """Make every write durable."""
        descriptor = os.open(self.device, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def record(file: Path, operate: Callable[[Recorder], None]) -> Recording:
    """Let ``operate`` work on the disk in ``file``, and return what it wrote.

    Raises:
        ValueError: what was recorded does not make of the disk what it is now.
    """
    before = file.read_bytes()
    log = file.with_name(f"{file.name}.log")
    with log.open("xb") as made:
        os.truncate(made.fileno(), _LOG_BYTES)
    try:
        with attached(file) as disk, attached(log) as log_device:
            recorder = Recorder(f"lvmqcow-replay-{os.getpid()}")
            table = f"0 {len(before) // _SECTOR_BYTES} log-writes {disk} {log_device}"
            _dmsetup("create", recorder.name, "--table", table)
            try:
                operate(recorder)
            finally:
                _dmsetup("remove", "--retry", recorder.name)
        events = parse_log(_written(log))
    finally:
        log.unlink()
    whole = State(len(events), Loss.NOTHING)
    if any(content != file.read_bytes() for _, content in contents(before, events, [whole])):
        raise ValueError(f"the log of {len(events)} events does not lead to what {file} holds")
    return Recording(before, events)


@contextmanager
def attached(file: Path) -> Iterator[str]:
    """A loop device on ``file``."""
    device, descriptor = attach(str(file))
    try:
        yield device
    finally:
        os.close(descriptor)


def put(content: bytearray, file: Path, device: str) -> None:
    """Put this content on a disk on which nothing is active."""
    with file.open("r+b", buffering=0) as disk, open(device, "rb", buffering=0) as loop:
        os.pwrite(disk.fileno(), content, 0)
        fcntl.ioctl(loop, _BLKFLSBUF)


def _written(log: Path) -> bytes:
    """A log without the sparse end of its file."""
    with log.open("rb", buffering=0) as file:
        return os.pread(file.fileno(), os.lseek(file.fileno(), 0, os.SEEK_HOLE), 0)


def _dmsetup(*words: str) -> None:
    argv = ("dmsetup", *words)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(argv, done.returncode, done.stderr)
