"""Somebody at a terminal, who answers one question."""

from __future__ import annotations

import os
import pty
import select
import time
from collections.abc import Sequence

PROMPT = "[y/N] "
CTRL_C, CTRL_D = "\x03", "\x04"
_DEADLINE_SECONDS = 120


def answer(argv: Sequence[str], keys: str) -> tuple[int, str]:
    """Run a command on a terminal of its own and type ``keys`` once it asks; its exit status, and what was shown."""
    process, terminal = pty.fork()
    if process == 0:
        os.execv(argv[0], list(argv))
    shown, typed, end = b"", False, time.monotonic() + _DEADLINE_SECONDS
    while time.monotonic() < end:
        if not typed and shown.endswith(PROMPT.encode()):
            os.write(terminal, keys.encode())
            typed = True
        if select.select([terminal], [], [], 1)[0]:
            try:
                shown += os.read(terminal, 4096)
            except OSError:  # nobody has it open any more
                break
    else:
        os.close(terminal)  # hangs up
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status), shown.decode()
