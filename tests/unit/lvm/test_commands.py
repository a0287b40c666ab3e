"""The lvm shell process, without LVM: an unexpected end is noticed."""

from __future__ import annotations

import threading
from pathlib import Path

from lvmqcow.lvm.commands import _Session, _ShellDied

ROUNDS = 40
"""All pipes of the shell close at once, and their order of arrival is random."""


def test_lvm_shell_that_exits_without_an_answer_is_noticed(tmp_path: Path) -> None:
    script = tmp_path / "lvm"
    script.write_text("#!/bin/sh\nread line\nexit 3\n")
    script.chmod(0o755)
    died: list[int] = []

    def ask() -> None:
        for _ in range(ROUNDS):
            try:
                _Session(str(script), {}).ask("lvs\n")
            except _ShellDied as error:
                died.append(error.status)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(timeout=60)  # otherwise it waits forever
    assert died == [3] * ROUNDS
