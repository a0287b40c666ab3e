"""The record that a logical volume is to be wiped before it is removed: one tag on it.

It is no intent but goes with one, in the same LVM command: ``lvmqcow.wipe=zero`` means that when this logical volume
goes, its content goes first. While that is done the tag also says how far: ``lvmqcow.wipe=zero/17179869184``, from the
start, in bytes. So whoever finishes the removal, on this host or on another, wipes what is left and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from lvmqcow.core.intents import Unknown

__all__ = ["WIPE_PREFIX", "Wipe", "Wiping", "parse_wiping", "wipe_tags"]


WIPE_PREFIX = "lvmqcow.wipe="


class Wipe(StrEnum):
    """What happens to the content of a logical volume before its extents are free for somebody else."""

    NONE = "none"
    """Nothing: whoever gets the extents next can read them."""
    ZERO = "zero"
    """It is overwritten with zeros; where the device can, without sending them."""
    DISCARD = "discard"
    """The device is told that nobody needs it: quick, and what can be read afterwards is the device's own affair.
    A device that cannot discard is overwritten with zeros."""


_RECORD = re.compile(f"({'|'.join(wipe for wipe in Wipe if wipe is not Wipe.NONE)})(?:/([1-9][0-9]{{0,19}}))?")


@dataclass(frozen=True)
class Wiping:
    """To be wiped, and how much of it is."""

    wipe: Wipe
    done_bytes: int = 0

    @property
    def tag(self) -> str:
        done = f"/{self.done_bytes}" if self.done_bytes else ""
        return f"{WIPE_PREFIX}{self.wipe}{done}"


def wipe_tags(wipe: Wipe | None) -> tuple[str, ...]:
    """The record of a wipe that has not begun; none for no wipe."""
    return () if wipe in (None, Wipe.NONE) else (Wiping(wipe).tag,)


def parse_wiping(tags: Iterable[str]) -> Wiping | Unknown | None:
    """Find the record among the tags of a logical volume; None if there is none."""
    found = [_parse(tag) for tag in sorted(tags) if tag.startswith(WIPE_PREFIX)]
    if len(found) > 1:
        return Unknown(" ".join(each.tag for each in found))
    return found[0] if found else None


def _parse(tag: str) -> Wiping | Unknown:
    match = _RECORD.fullmatch(tag.removeprefix(WIPE_PREFIX))
    return Wiping(Wipe(match[1]), int(match[2] or 0)) if match else Unknown(tag)
