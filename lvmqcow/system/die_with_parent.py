"""Become a command that ends when its parent does, even if that is killed.

It is run as ``die_with_parent.py PARENT COMMAND ARGUMENT…``.

A server that nobody has talked to yet would otherwise wait for ever, and keep its image open. Run as a file: it needs
nothing of this package.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main(parent: str, *argv: str) -> None:
    """Run it in this process's place; ``parent`` is the number of the process that it is tied to."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it ended before that
        sys.exit(1)
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main(*sys.argv[1:])
