"""The caller's terminal while a command in the lab uses it."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["is_interactive", "raw_terminal", "window_size"]


def is_interactive() -> bool:
    """Return whether input and output are both a terminal, so that the command gets one too."""
    return os.isatty(0) and os.isatty(1)


def window_size() -> tuple[int, int]:
    """Return rows and columns of the terminal on stdout; zeros if stdout is no terminal."""
    try:
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(1, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        return 0, 0
    return rows, columns


@contextmanager
def raw_terminal() -> Iterator[None]:
    """Put the terminal into raw mode for the block: the terminal inside the lab does the editing and signals."""
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSAFLUSH, before)
