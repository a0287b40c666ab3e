"""The record that a logical volume is to be wiped before it is removed: one tag on it.

An operation writes the record together with its intent, in one LVM command. ``lvmqcow.wipe=zero`` means that the
logical volume is overwritten before it is removed. While it is being wiped, the tag also says how many bytes are done,
counted from the start: ``lvmqcow.wipe=zero/17179869184``. So recovery, on this host or on another, wipes only the rest.
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
    """How the content of a logical volume is erased before its extents become free."""

    NONE = "none"
    """The content is not erased. The next owner of the extents can read it."""
    ZERO = "zero"
    """The content is overwritten with zeros. A device that can zero its blocks by itself does so."""
    DISCARD = "discard"
    """The content is discarded. That is quick, but the device decides what can be read afterwards. A device that cannot
    discard is overwritten with zeros."""


_RECORD = re.compile(f"({'|'.join(wipe for wipe in Wipe if wipe is not Wipe.NONE)})(?:/([1-9][0-9]{{0,19}}))?")


@dataclass(frozen=True)
class Wiping:
    """The record of a wipe: how the LV is wiped, and how many bytes from its start are done."""

    wipe: Wipe
    done_bytes: int = 0

    @property
    def tag(self) -> str:
        done = f"/{self.done_bytes}" if self.done_bytes else ""
        return f"{WIPE_PREFIX}{self.wipe}{done}"


def wipe_tags(wipe: Wipe | None) -> tuple[str, ...]:
    """Return the record of a wipe that has not begun; empty if nothing is to be wiped."""
    return () if wipe in (None, Wipe.NONE) else (Wiping(wipe).tag,)


def parse_wiping(tags: Iterable[str]) -> Wiping | Unknown | None:
    """Find the record of a wipe among the tags of an LV; None if there is none."""
    found = [_parse(tag) for tag in sorted(tags) if tag.startswith(WIPE_PREFIX)]
    if len(found) > 1:
        return Unknown(" ".join(each.tag for each in found))
    return found[0] if found else None


def _parse(tag: str) -> Wiping | Unknown:
    match = _RECORD.fullmatch(tag.removeprefix(WIPE_PREFIX))
    return Wiping(Wipe(match[1]), int(match[2] or 0)) if match else Unknown(tag)
