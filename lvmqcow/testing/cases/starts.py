"""Real volume groups in the states that simulated ones are in: what was done to those is done to these."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

from lvmqcow.core.names import Format
from lvmqcow.lvm import loopvg
from lvmqcow.lvm.commands import LvmProcesses, LvmShell
from lvmqcow.lvm.loopvg import LoopVolumeGroup
from lvmqcow.operations import Export, ExportStream, Import, ImportStream, Request
from lvmqcow.qemu.img import QemuImg
from lvmqcow.real_host import RealHost
from lvmqcow.steps import LvCreate, Step
from lvmqcow.testing.content import Content, GuestWrites
from lvmqcow.testing.crash.checkpoints import Checkpoint, Checkpoints
from lvmqcow.testing.crash.io_errors import BEGINS_AT_BYTES, Disk, breakable
from lvmqcow.testing.simulated.state import stream_path
from lvmqcow.testing.worlds import RealWorld

__all__ = ["History", "Starts", "breakable_starts", "group_name", "starts"]

History = tuple[Step | GuestWrites, ...]


class Starts:
    """One real volume group, and the checkpoints of every start that was built in it."""

    def __init__(
        self, world: RealWorld, checkpoints: Checkpoints, files: Mapping[str, Path], streams: ExitStack
    ) -> None:
        self.world = world
        self.checkpoints = checkpoints
        self._files = files
        self._streams = streams
        self._built: dict[History, Checkpoint] = {(): checkpoints.take()}

    def build(self, history: History) -> None:
        """Make the volume group what ``history`` makes of an empty one."""
        known = max((part for part in self._built if history[: len(part)] == part), key=len)
        self.checkpoints.put_back(self._built[known])
        for done in range(len(known), len(history)):
            if isinstance(history[done], LvCreate):  # between two operations: others may begin alike
                self._built.setdefault(history[:done], self.checkpoints.take())
            self._repeat(history[done])
        self._built.setdefault(history, self.checkpoints.take())

    def request(self, request: Request) -> Request:
        """The same, of files and streams that are there."""
        match request:
            case Import():
                return replace(request, source=str(self._files[request.source]))
            case ImportStream():
                return replace(request, stream=self._opened(self._files[stream_path(request.stream)], "rb"))
            case Export():
                out = next(iter(self._files.values())).with_name("out")
                out.unlink(missing_ok=True)
                return replace(request, path=str(out))
            case ExportStream():
                return replace(request, stream=self._opened(Path(os.devnull), "wb"))
            case _:
                return request

    def _opened(self, path: Path, mode: str) -> int:
        return self._streams.enter_context(path.open(mode)).fileno()

    def _repeat(self, event: Step | GuestWrites) -> None:
        if isinstance(event, GuestWrites):
            self.world.write(event.lv, Format.QCOW2 if event.lv.endswith(".qcow2") else Format.RAW, event.writes)
        else:
            self.world.host.run(event)


@contextmanager
def starts(name: str, directory: Path, files: Mapping[str, Content], size_bytes: int) -> Iterator[Starts]:
    """An empty volume group on a file in ``directory``, and ``files`` beside it; gone at the end."""
    group = loopvg.create(name, size_bytes, directory / f"{name}.img")
    try:
        with _starts(group, directory, files) as made:
            yield made
    finally:
        loopvg.destroy(name)


@contextmanager
def breakable_starts(
    name: str, directory: Path, files: Mapping[str, Content], size_bytes: int
) -> Iterator[tuple[Starts, Disk]]:
    """The same on a disk that can be told to fail."""
    with breakable(f"{name}-pv", directory, size_bytes) as disk:
        LvmProcesses((disk.device,)).change(("vgcreate", "--yes", "--setautoactivation", "n", name, disk.device))
        group = LoopVolumeGroup(name, size_bytes, size_bytes, disk.device, disk.file)
        with _starts(group, directory, files, BEGINS_AT_BYTES) as made:
            try:
                yield made, disk
            finally:
                disk.mend()
                made.checkpoints.switch_off()


@contextmanager
def _starts(
    group: LoopVolumeGroup, directory: Path, files: Mapping[str, Content], begins_at_bytes: int = 0
) -> Iterator[Starts]:
    made = {path: _file(directory / Path(path).name, content) for path, content in files.items()}
    lvm = LvmShell()
    host = RealHost(group.name, lvm, QemuImg())
    checkpoints = Checkpoints(host, lvm, group, begins_at_bytes)
    with closing(host), ExitStack() as streams:
        yield Starts(RealWorld(host, directory), checkpoints, made, streams)


def _file(path: Path, content: Content) -> Path:
    if path.suffix != ".qcow2":
        content.save(path)
        return path
    raw = path.with_suffix(".golden")
    content.save(raw)
    argv = ("qemu-img", "convert", "-f", "raw", "-O", Format.QCOW2.value, str(raw), str(path))
    subprocess.run(argv, check=True)
    return path


def group_name(kind: str) -> str:
    """Return a name for a volume group that no other process uses."""
    return f"{kind}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}"
