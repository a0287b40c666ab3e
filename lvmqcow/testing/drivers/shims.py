"""Shims over the tools that a driver calls: they count and log each command, and act at the one that is chosen.

The driver runs in a mount and process namespace of its own, in which a shim covers each tool. It needs to help with
nothing. At the chosen command a shim kills the driver with all of its children, before the command or after it; or it
asks the harness to break something before the command, and to mend it after.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from lvmqcow.errors import LvmqcowError

__all__ = ["At", "Shims"]

_TOOLS: Final = ("lvm", "qemu-img", "qemu-nbd", "qemu-io", "blkdiscard", "dmsetup", "dd", "cp", "wipefs")
_SHIM: Final = """#!/bin/sh
S={state}
name=${{0##*/}}
number=1
set -C
until printf '%s ' "$name" "$@" >$S/calls/$number; do number=$((number + 1)); done 2>/dev/null
set +C
read -r chosen act <$S/plan
[ "$number" = "$chosen" ] || act=
die() {{ kill -9 -1; kill -9 $$; }}
ask() {{ echo $1 >$S/ask; until [ -e $S/answer ]; do sleep 0.01; done; rm $S/answer; }}
case $act in
before) die ;;
break) ask break ;;
esac
if [ -e $S/real/$name ]; then $S/real/$name "$@"; else $S/real/lvm "$name" "$@"; fi
status=$?
case $act in
after) die ;;
break) ask mend ;;
esac
exit $status
"""
"""A command's number is the first file that it can make. A shim kills every process of the namespace but the first, and
then itself: that is the driver with all of its children, in whatever session, and nothing else."""
_COVER: Final = """
set -e
state=$1; shift
for real in "$state"/paths/*; do
    tool=${real##*/}
    path=$(cat "$real")
    : >"$state/real/$tool"
    mount --bind "$path" "$state/real/$tool"
    mount --bind "$state/shim" "$path"
done
exec 3<&0
"$@" <&3 3<&- &
wait $!
"""
"""The shell stays the first process of the namespace. When the driver ends, it ends, and the namespace with it."""
_NAMESPACES: Final = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")


class At(StrEnum):
    """What happens at the chosen command."""

    NOTHING = "nothing"
    BEFORE = "before"
    """The driver dies before it."""
    AFTER = "after"
    """The driver dies after it."""
    BREAK = "break"
    """Something is broken while it runs."""


@dataclass(frozen=True)
class Shims:
    """The shims of one driver, and their state in a directory."""

    state: Path

    @classmethod
    def made(cls, state: Path) -> Shims:
        """Make the shims in an empty directory."""
        for name in ("real", "paths", "calls"):
            (state / name).mkdir()
        os.mkfifo(state / "ask")
        shim = state / "shim"
        shim.write_text(_SHIM.format(state=state))
        shim.chmod(0o755)
        for tool in _TOOLS:
            found = shutil.which(tool)
            if found:
                (state / "paths" / tool).write_text(os.path.realpath(found))
        shims = cls(state)
        shims.choose(0, At.NOTHING)
        return shims

    def covered(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Return the command that runs ``argv`` with the shims over its tools."""
        return ("unshare", *_NAMESPACES, "sh", "-c", _COVER, "sh", str(self.state), *argv)

    def choose(self, number: int, act: At) -> None:
        """Count from now on, and act at the command of this number; 0 is none."""
        (self.state / "plan").write_text(f"{number} {act}\n")
        for call in (self.state / "calls").iterdir():
            call.unlink()
        (self.state / "answer").unlink(missing_ok=True)

    def commands(self) -> tuple[str, ...]:
        """Return the commands since the last choice."""
        calls = sorted((self.state / "calls").iterdir(), key=lambda call: int(call.name))
        return tuple(call.read_text().strip() for call in calls)

    @contextmanager
    def breaking(self, act: Callable[[], None], mend: Callable[[], None]) -> Iterator[None]:
        """Answer a shim that asks to break something, for the block. Raises LvmqcowError: that could not be done."""

        failed: list[LvmqcowError] = []

        def answer() -> None:
            while True:
                for asked in (self.state / "ask").read_text().split():  # two may write at once
                    if asked == "end":
                        return
                    try:
                        (act if asked == "break" else mend)()
                    except LvmqcowError as error:
                        failed.append(error)
                    (self.state / "answer").touch()

        listener = threading.Thread(target=answer)
        listener.start()
        try:
            yield
        finally:
            (self.state / "ask").write_text("end\n")
            listener.join()
        if failed:
            raise failed[0]
