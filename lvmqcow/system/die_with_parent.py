"""Run a command that ends when its parent process ends, even if the parent is killed.

Usage: ``die_with_parent.py PARENT COMMAND ARGUMENT…``.

Without this, a server to which no client has connected would wait without a limit and keep its image open. The file
imports nothing of this package, so it can be run as a script.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main(parent: str, *argv: str) -> None:
    """Replace this process by the command ``argv``. ``parent`` is the process ID of the parent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # the parent ended before prctl
        sys.exit(1)
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main(*sys.argv[1:])
