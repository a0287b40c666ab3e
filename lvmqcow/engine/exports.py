"""The files that exports write. A file appears under its name only when it is complete."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lvmqcow.errors import AlreadyExists, NotPossible

__all__ = ["free_path", "whole_file"]


def free_path(path: Path, replace: bool) -> Path:
    """Return the real path of a file that is to be written. ``replace``: an existing file may be replaced.

    Raises:
        AlreadyExists: the file exists, and ``replace`` is false.
        NotPossible: the path names something that is no regular file, or cannot be written.
    """
    with _written(path):
        final = Path(os.path.realpath(path))
        there = final.exists()
        if there and not final.is_file():
            raise NotPossible(str(path), "this path is no regular file", "name a file")
    if there and not replace:
        raise AlreadyExists("file", str(path))
    return final


@contextmanager
def whole_file(path: Path, replace: bool) -> Iterator[Path]:
    """Make a new, empty file in the directory of ``path`` and yield its path.

    If the block succeeds, the file is flushed and renamed to ``path``. If it fails, the file is removed. A file that
    is replaced keeps its content until the rename.

    Raises:
        AlreadyExists, NotPossible: as `free_path`, or the directory cannot be written. No volume was changed.
    """
    final = free_path(path, replace)
    partial = final.with_name(f"{final.name}.{secrets.token_hex(4)}.partial")
    with _written(path):
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield partial
        free_path(path, replace)  # another process may have made the file meanwhile
        with _written(path):
            _flush(partial)
            partial.rename(final)
            _flush(final.parent)
    finally:
        with _written(path):
            partial.unlink(missing_ok=True)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into NotPossible."""
    try:
        yield
    except OSError as error:
        reason = f"the file cannot be written: {error.strerror or error}"
        raise NotPossible(str(path), reason, "name a file in a directory that exists and has room") from error


def _flush(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
