"""A client for one NBD export: read, write, flush.

It does only what a server on a local socket needs: the fixed newstyle handshake for the export without a name, and one
request at a time. Source: the NBD project's ``doc/proto.md``.
"""

from __future__ import annotations

import os
import socket
import struct
from types import TracebackType
from typing import Final, Self

__all__ = ["NbdExport"]

_INIT_MAGIC: Final = b"NBDMAGICIHAVEOPT"
_OPTION = struct.Struct(">8sII")
_EXPORT = struct.Struct(">QH")
_REQUEST = struct.Struct(">IHHQQI")
_REPLY = struct.Struct(">IIQ")
_REQUEST_MAGIC: Final = 0x25609513
_REPLY_MAGIC: Final = 0x67446698
_FIXED_NEWSTYLE, _NO_ZEROES, _EXPORT_NAME = 1, 2, 1
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3


class NbdExport:
    """The export of a server. Leaving the context closes ``connection``. Every failure raises OSError."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        if self._receive(len(_INIT_MAGIC)) != _INIT_MAGIC:
            raise ConnectionError("the server does not speak NBD")
        (flags,) = struct.unpack(">H", self._receive(2))
        if not flags & _FIXED_NEWSTYLE or not flags & _NO_ZEROES:
            raise ConnectionError("the handshake of the NBD server is too old")
        connection.sendall(struct.pack(">I", _FIXED_NEWSTYLE | _NO_ZEROES) + _OPTION.pack(b"IHAVEOPT", _EXPORT_NAME, 0))
        self.size_bytes: Final[int] = _EXPORT.unpack(self._receive(_EXPORT.size))[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._socket:
            if kind is None:
                self._ask(_DISCONNECT, 0, 0)

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Read ``length_bytes`` at an offset."""
        self._ask(_READ, offset_bytes, length_bytes)
        self._expect_reply()
        return self._receive(length_bytes)

    def write(self, offset_bytes: int, data: bytes) -> None:
        """Write ``data`` at an offset."""
        self._ask(_WRITE, offset_bytes, len(data), data)
        self._expect_reply()

    def flush(self) -> None:
        """Flush the image. When this returns, earlier writes survive a power loss."""
        self._ask(_FLUSH, 0, 0)
        self._expect_reply()

    def _ask(self, kind: int, offset_bytes: int, length_bytes: int, data: bytes = b"") -> None:
        self._socket.sendall(_REQUEST.pack(_REQUEST_MAGIC, 0, kind, 0, offset_bytes, length_bytes) + data)

    def _expect_reply(self) -> None:
        magic, error, _ = _REPLY.unpack(self._receive(_REPLY.size))
        if magic != _REPLY_MAGIC:
            raise ConnectionError("the NBD server sent no valid reply")
        if error:
            raise OSError(error, os.strerror(error))  # the protocol's numbers are those of Linux

    def _receive(self, length_bytes: int) -> bytes:
        received = bytearray(length_bytes)
        rest = memoryview(received)
        while rest:
            count = self._socket.recv_into(rest)
            if not count:
                raise ConnectionError("the NBD server closed the connection")
            rest = rest[count:]
        return bytes(received)
