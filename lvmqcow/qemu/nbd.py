"""Copy a stream into an image, or an image to a stream.

qemu-img needs files that it can seek in, and a pipe cannot seek. So qemu-nbd serves the image, and this module is its
client. It does not write zeros that come in, and it refuses a stream that is shorter or longer than announced.
(``nbdcopy`` of libnbd 1.14 writes the zeros of a pipe, accepts a stream that ends too soon, and ends before its server
has closed the image.)
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from lvmqcow.errors import CommandFailed
from lvmqcow.qemu.nbd_client import NbdExport
from lvmqcow.system.callbacks import Progress, Trace
from lvmqcow.system.requirements import command_environment, starting
from lvmqcow.system.signals import deferred
from lvmqcow.system.stderr_pipe import stderr_pipe
from lvmqcow.units import format_exactly

__all__ = ["QemuNbd", "data_runs"]

_CHUNK_BYTES: Final = 1024**2
_BLOCK_BYTES: Final = 4096  # the block in which qemu-img convert looks for zeros, and in which our images allocate
_DIE_WITH_PARENT: Final = (sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "system" / "die_with_parent.py"))
_POLL_SECONDS: Final = 0.01


class QemuNbd:
    """Runs qemu-nbd, which comes with qemu-img."""

    def __init__(self, trace: Trace | None = None) -> None:
        self._trace = trace
        self._environment = command_environment()

    def receive(
        self, argv: Sequence[str], stream: int, size_bytes: int, progress: Progress | None = None, head: bytes = b""
    ) -> None:
        """Write a stream of ``size_bytes`` into the image that ``argv`` serves. The image must read as zeros.

        ``head`` are the first bytes of the stream, which were read before.

        Raises:
            CommandFailed: qemu-nbd failed, or the stream is shorter or longer.
            KeyboardInterrupt: Ctrl-C was pressed. The command has been stopped.
        """

        def copy(image: NbdExport) -> None:
            ahead = bytearray(head)
            for offset_bytes in range(0, size_bytes, _CHUNK_BYTES):
                wanted_bytes = min(_CHUNK_BYTES, size_bytes - offset_bytes)
                chunk = _read(stream, ahead, wanted_bytes)
                if len(chunk) < wanted_bytes:
                    came = format_exactly(offset_bytes + len(chunk))
                    raise EOFError(f"the stream ended after {came} of {format_exactly(size_bytes)}")
                for start, end in data_runs(chunk):
                    image.write(offset_bytes + start, chunk[start:end])
                if progress is not None:
                    progress(100 * (offset_bytes + wanted_bytes) / size_bytes)
            if _read(stream, ahead, 1):
                raise EOFError(f"the stream is longer than the {format_exactly(size_bytes)} that were announced")
            image.flush()

        self._serve(argv, copy)

    def send(
        self, argv: Sequence[str], stream: int, head: bytes, size_bytes: int, progress: Progress | None = None
    ) -> None:
        """Write ``head``, then the first ``size_bytes`` of the image that ``argv`` serves, to the stream.

        Raises:
            CommandFailed: qemu-nbd failed, or the reader closed the stream.
            KeyboardInterrupt: Ctrl-C was pressed. The command has been stopped.
        """

        def copy(image: NbdExport) -> None:
            _write(stream, head)
            for offset_bytes in range(0, size_bytes, _CHUNK_BYTES):
                wanted_bytes = min(_CHUNK_BYTES, size_bytes - offset_bytes)
                _write(stream, image.read(offset_bytes, wanted_bytes))
                if progress is not None:
                    progress(100 * (offset_bytes + wanted_bytes) / size_bytes)

        self._serve(argv, copy)

    def _serve(self, argv: Sequence[str], copy: Callable[[NbdExport], None]) -> None:
        """Run ``copy`` while qemu-nbd serves the image. The image is closed when this returns.

        qemu-nbd inherits the lock of the volume, as in `QemuImg.run`, and ends when this process ends.
        """
        if self._trace is not None:
            self._trace(argv)
        with stderr_pipe() as stderr:
            process: subprocess.Popen[bytes] | None = None
            try:
                with tempfile.TemporaryDirectory(prefix="lvmqcow-") as directory:
                    path = f"{directory}/nbd"
                    with deferred(), starting(argv):
                        process = subprocess.Popen(
                            (*_DIE_WITH_PARENT, str(os.getpid()), argv[0], "--socket", path, *argv[1:]),
                            env=self._environment,
                            stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL,
                            stderr=stderr.fileno(),
                            close_fds=False,
                            start_new_session=True,
                        )
                    connection = _connect(path, process)
                with NbdExport(connection) as image:
                    copy(image)
                status = process.wait()
            except (OSError, EOFError) as error:
                raise CommandFailed(argv, _ended(process), f"{error}\n{stderr.text()}") from error
            finally:
                _ended(process)
            if status:
                raise CommandFailed(argv, status, stderr.text())


def data_runs(chunk: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each run of blocks that are not all zeros."""
    if chunk.count(0) == len(chunk):
        return
    zeros, start = bytes(_BLOCK_BYTES), None
    for position in range(0, len(chunk), _BLOCK_BYTES):
        block = chunk[position : position + _BLOCK_BYTES]
        if block == zeros[: len(block)]:
            if start is not None:
                yield start, position
            start = None
        elif start is None:
            start = position
    if start is not None:
        yield start, len(chunk)


def _connect(path: str, process: subprocess.Popen[bytes]) -> socket.socket:
    """Connect to the server as soon as it listens. Raises ConnectionError if the server ends before."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    while True:
        ended = process.poll() is not None
        try:
            connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            if ended:
                connection.close()
                raise ConnectionError("qemu-nbd did not start") from None
            time.sleep(_POLL_SECONDS)
        else:
            return connection


def _ended(process: subprocess.Popen[bytes] | None) -> int:
    """Stop the process if it runs, and return its exit status; 1 if that is 0 or a signal."""
    if process is None:
        return 1
    if process.poll() is None:
        process.terminate()
    return max(process.wait(), 0) or 1


def _read(stream: int, ahead: bytearray, length_bytes: int) -> bytes:
    """Read ``length_bytes`` of a stream, or fewer at its end. Bytes in ``ahead`` come first and are removed there."""
    received = ahead[:length_bytes]
    del ahead[:length_bytes]
    while len(received) < length_bytes:
        part = os.read(stream, length_bytes - len(received))
        if not part:
            break
        received += part
    return bytes(received)


def _write(stream: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(stream, rest) :]
