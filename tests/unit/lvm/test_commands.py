"""The lvm shell as a process, without LVM: what happens when it ends under us."""

from __future__ import annotations

import threading
from pathlib import Path

from lvmqcow.lvm.commands import _Session, _ShellDied

ROUNDS = 40
"""All its pipes end at once, and which of them are seen first is chance."""


def test_a_shell_that_ends_instead_of_answering_is_noticed_however_its_pipes_end(tmp_path: Path) -> None:
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
    asking.join(timeout=60)  # it would wait for ever
    assert died == [3] * ROUNDS
