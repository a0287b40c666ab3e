"""The record of a running operation: one tag on a logical volume.

An operation that cannot be told from its names alone writes its intent into LVM's own metadata before it begins,
and drops it when it is done. That is all recovery needs, on this host or on another: there is no side file.

The tag is ``lvmqcow.intent=<verb>[/<logical volume or bytes>…]``; a slash cannot occur in an LV name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = [
    "INTENT_PREFIX",
    "Converting",
    "Creating",
    "Discarding",
    "Flattening",
    "Intent",
    "Pulling",
    "Pushing",
    "Removing",
    "Renaming",
    "Resizing",
    "RollingBack",
    "Unknown",
    "parse_intent",
]

INTENT_PREFIX = "lvmqcow.intent="


@dataclass(frozen=True)
class Creating:
    """On a new volume that holds nothing yet."""

    @property
    def tag(self) -> str:
        return f"{INTENT_PREFIX}create"


@dataclass(frozen=True)
class RollingBack:
    """On the current LV: it is being formatted anew over ``backing``; what it held is given up."""

    backing: str

    @property
    def tag(self) -> str:
        return f"{INTENT_PREFIX}rollback/{self.backing}"


@dataclass(frozen=True)
class Discarding:
    """On snapshots that go, the data with them; ``backing`` is what the lowest of them reads through.

    If on the current LV, this comes first: as `RollingBack`, and all between it and ``backing`` go.
    """

    backing: str

    @property
    def tag(self) -> str:
        return f"{INTENT_PREFIX}discard/{self.backing}"


@dataclass(frozen=True)
class Flattening:
    """On the lowest layer of a clone: it takes what it reads through ``base``, a layer of another volume."""

    base: str

    @property
    def tag(self) -> str:
        return f"{INTENT_PREFIX}flatten/{self.base}"


@dataclass(frozen=True)
class Pulling:
    """On a snapshot being deleted: its data is on the way into ``child``. Its own image stays whole."""

    child: str

    @property
    def tag(self) -> str:
        return f"{INTENT_PREFIX}pull/{self.child}"


@dataclass(frozen=True)
class Pushing:
    """On a snapshot being deleted: it takes the data of ``child``, then its name.

    ``snapshot`` is what the LV was called at first, so that it shows whether it was renamed yet.
    """

    snapshot: str
    child: str

    @property
    def tag(self) -> str:
        return f"{INTENT_PREFIX}push/{self.snapshot}/{self.child}"


@dataclass(frozen=True)
class Removing:
    """On every LV of a volume that is given up."""

    @property
    def tag(self) -> str:
        return f"{INTENT_PREFIX}remove"


@dataclass(frozen=True)
class Renaming:
    """On every layer of a volume that is to be called otherwise, until the layer has its new name and tags.

    Both names, for a layer may have either.
    """

    old: str
    new: str

    @property
    def tag(self) -> str:
        return f"{INTENT_PREFIX}rename/{self.old}/{self.new}"


@dataclass(frozen=True)
class Resizing:
    """On the current LV: it grows. The sizes are a guest's, in bytes: what lies between them may not be zero yet."""

    old_bytes: int
    new_bytes: int

    @property
    def tag(self) -> str:
        return f"{INTENT_PREFIX}resize/{self.old_bytes}/{self.new_bytes}"


@dataclass(frozen=True)
class Converting:
    """On the LV of a volume whose content is on its way into the volume ``new``, of the other format."""

    new: str

    @property
    def tag(self) -> str:
        return f"{INTENT_PREFIX}convert/{self.new}"


@dataclass(frozen=True)
class Unknown:
    """An intent that this version cannot read: the volume is left alone."""

    tag: str


Intent = (
    Creating
    | RollingBack
    | Discarding
    | Flattening
    | Pulling
    | Pushing
    | Removing
    | Renaming
    | Resizing
    | Converting
    | Unknown
)


def parse_intent(tag: str) -> Intent | None:
    """Read a tag; None if it is no intent."""
    if not tag.startswith(INTENT_PREFIX):
        return None
    match tag.removeprefix(INTENT_PREFIX).split("/"):
        case ["create"]:
            return Creating()
        case ["rollback", backing]:
            return RollingBack(backing)
        case ["discard", backing]:
            return Discarding(backing)
        case ["flatten", base]:
            return Flattening(base)
        case ["pull", child]:
            return Pulling(child)
        case ["push", snapshot, child]:
            return Pushing(snapshot, child)
        case ["remove"]:
            return Removing()
        case ["rename", old, new]:
            return Renaming(old, new)
        case ["resize", old, new] if all(re.fullmatch("[1-9][0-9]{0,19}", size) for size in (old, new)):
            return Resizing(int(old), int(new))
        case ["convert", new]:
            return Converting(new)
        case _:
            return Unknown(tag)
