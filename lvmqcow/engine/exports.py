"""The files that exports write: whole, or not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lvmqcow.errors import AlreadyExists, NotPossible

__all__ = ["free_path", "whole_file"]


def free_path(path: Path, replace: bool) -> Path:
    """Where a file of that name is to be. ``replace``: where there is one, it may go.

    Raises:
        AlreadyExists: there is a file.
        NotPossible: there is something that is no file, or there can be no such file.
    """
    with _written(path):
        final = Path(os.path.realpath(path))
        there = final.exists()
        if there and not final.is_file():
            raise NotPossible(str(path), "it is no regular file", "name a file")
    if there and not replace:
        raise AlreadyExists("file", str(path))
    return final


@contextmanager
def whole_file(path: Path, replace: bool) -> Iterator[Path]:
    """A new, empty file beside ``path``. Once the block is over it is on the disk and takes that name; else it goes.

    A file that it replaces stays what it was until then.

    Raises:
        AlreadyExists, NotPossible: as `free_path`, or nothing can be written there. No volume was changed.
    """
    final = free_path(path, replace)
    partial = final.with_name(f"{final.name}.{secrets.token_hex(4)}.partial")
    with _written(path):
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield partial
        free_path(path, replace)  # it took a while
        with _written(path):
            _flush(partial)
            partial.rename(final)
            _flush(final.parent)
    finally:
        with _written(path):
            partial.unlink(missing_ok=True)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Raises NotPossible where the operating system refuses what is within."""
    try:
        yield
    except OSError as error:
        reason = f"it cannot be written: {error.strerror or error}"
        raise NotPossible(str(path), reason, "name a file in a directory that is there, and has room") from error


def _flush(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
