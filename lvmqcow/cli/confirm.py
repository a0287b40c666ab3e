"""Asking before something goes for good. Only a person at a terminal is asked; a script goes on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Final

from lvmqcow.cli.output import Output
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.names import VolumeName
from lvmqcow.core.volume import Volume
from lvmqcow.errors import Corrupt, VolumeNotFound
from lvmqcow.lvm.loopvg import LoopVolumeGroup
from lvmqcow.operations.recovery import unfinished
from lvmqcow.operations.rollback import newer_snapshots

__all__ = ["DECLINED", "add_yes_option", "confirmed", "destroy_question", "discard_question", "remove_question"]

DECLINED: Final = 1
"""The exit status of a verb that was answered with no."""

_YES: Final = (b"y", b"yes")
_MOST_NAMES: Final = 20


def add_yes_option(parser: argparse.ArgumentParser) -> None:
    """The option of every verb that asks."""
    parser.add_argument(
        "-y", "--yes", action="store_true", help="do not ask first (lvmqcow asks only at a terminal, never in a script)"
    )


def confirmed(arguments: argparse.Namespace, output: Output, question: Callable[[], str | None]) -> bool:
    """Whether to go on. ``question`` is called only where somebody is there to answer; None: there is nothing to ask.

    An end of input and Ctrl-C mean no.
    """
    unasked = arguments.yes or output.as_json or getattr(arguments, "dry_run", False)
    if unasked or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    text = question()
    if text is None:
        return True
    try:
        print(f"lvmqcow: {text} [y/N] ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.buffer.readline()
    except KeyboardInterrupt:
        answer = b""
    if not answer.endswith(b"\n"):
        print(file=sys.stderr)
    elif answer.strip().lower() in _YES:
        return True
    output.say("not done, nothing was touched")
    return False


def remove_question(vg: VolumeGroup, name: VolumeName) -> str:
    """What goes with a volume. Raises VolumeNotFound."""
    volume = _volume(vg, name)
    snapshots = f" with {_snapshots(volume.snapshots)}" if volume.snapshots else ""
    return f"remove {volume.target}{snapshots}?"


def discard_question(vg: VolumeGroup, name: VolumeName, snapshot: str) -> str | None:
    """What goes with a rollback that discards what is newer; None: nothing is newer.

    Where a look does not tell (headers were not read, an operation was cut), all that may go is named.

    Raises VolumeNotFound, SnapshotNotFound.
    """
    volume = _volume(vg, name)
    target = volume.snapshot(snapshot)
    try:
        seen = all(layer.known for layer in volume.layers) and not unfinished(volume)
        newer = [str(layer.snapshot) for layer in newer_snapshots(volume, target)] if seen else None
    except Corrupt:
        newer = None
    if newer == []:
        return None
    if newer is None:
        others = [other for other in volume.snapshots if other != snapshot]
        going = f"every newer snapshot (it also has {_named(others)})" if others else "every newer snapshot"
    else:
        going = _snapshots(newer[::-1])
    return f"roll back {volume.target} to {snapshot}, and remove {going}?"


def destroy_question(group: LoopVolumeGroup, lvs: Sequence[str]) -> str:
    """What goes with a loop volume group."""
    holding = f" with {_named(lvs)}" if lvs else ", which is empty,"
    return f"destroy volume group {group.name}{holding} and its file {group.file}?"


def _volume(vg: VolumeGroup, name: VolumeName) -> Volume:
    found = vg.find(name)
    if found is None:
        raise VolumeNotFound(vg.name, name.text)
    return found


def _snapshots(names: Sequence[str]) -> str:
    return f"its snapshot{'s' if len(names) > 1 else ''} {_named(names)}"


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
