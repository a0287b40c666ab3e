"""The record of a running operation: one tag on a logical volume.

LV names alone do not show every operation. Such an operation writes its intent into LVM's metadata before it begins,
and drops the intent when it is done. Recovery needs nothing else, on this host or on another. No side file exists.

The tag is ``lvmqcow.intent=<verb>[/<logical volume or bytes>…]``. A slash cannot occur in an LV name. Each operation
defines its intents in its own module. `Renaming` and `Converting` are defined here, because they say what a volume is
called: without them the picture could not tell which volume an LV belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import ClassVar, Self

__all__ = ["INTENT_PREFIX", "Converting", "Intent", "Renaming", "Unknown", "intent_tags"]

INTENT_PREFIX = "lvmqcow.intent="

_SIZE = re.compile("[1-9][0-9]{0,19}")


@dataclass(frozen=True)
class Intent:
    """What an operation is about to do.

    A subclass has one field for each part of its tag after the verb: a str, or an int of bytes.
    """

    verb: ClassVar[str]

    @property
    def tag(self) -> str:
        """The tag that records the intent."""
        return INTENT_PREFIX + "/".join((self.verb, *(str(getattr(self, field.name)) for field in fields(self))))

    @classmethod
    def read(cls, tag: str) -> Self | None:
        """Return the intent that a tag records; None if the tag records no intent of this class."""
        verb, *words = tag.removeprefix(INTENT_PREFIX).split("/")
        kinds = [field.type for field in fields(cls)]
        if not tag.startswith(INTENT_PREFIX) or verb != cls.verb or len(words) != len(kinds):
            return None
        if any(kind == "int" and not _SIZE.fullmatch(word) for kind, word in zip(kinds, words, strict=True)):
            return None
        return cls(*(int(word) if kind == "int" else word for kind, word in zip(kinds, words, strict=True)))

    @classmethod
    def among(cls, tags: Iterable[str]) -> Self | None:
        """Return the intent of this class among the tags of an LV; None if there is none."""
        return next((intent for tag in intent_tags(tags) if (intent := cls.read(tag))), None)


@dataclass(frozen=True)
class Renaming(Intent):
    """A rename is under way. Every layer of the volume carries this intent until it has its new name and tags.

    The intent holds both names, because a layer may have either of them.
    """

    verb: ClassVar = "rename"

    old: str
    new: str


@dataclass(frozen=True)
class Converting(Intent):
    """A conversion is under way. The LV that carries this intent is being copied into the volume ``new``."""

    verb: ClassVar = "convert"

    new: str


@dataclass(frozen=True)
class Unknown:
    """A record that this version cannot read. The volume is not changed."""

    tag: str


def intent_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return those of an LV's tags that record an intent."""
    return tuple(tag for tag in sorted(tags) if tag.startswith(INTENT_PREFIX))
