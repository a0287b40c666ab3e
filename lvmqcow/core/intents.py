"""The record of a running operation: one tag on a logical volume.

An operation that cannot be told from its names alone writes its intent into LVM's own metadata before it begins,
and drops it when it is done. That is all recovery needs, on this host or on another: there is no side file.

The tag is ``lvmqcow.intent=<verb>[/<logical volume or bytes>…]``; a slash cannot occur in an LV name. Each operation
has intents of its own, in its own module. Two of them stand here, because they say what a volume is called: without
them a picture could not tell which volume a logical volume belongs to.
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
    """What an operation is about to do. A subclass has a field for each thing that its tag names: str, or int bytes."""

    verb: ClassVar[str]

    @property
    def tag(self) -> str:
        """How it is written."""
        return INTENT_PREFIX + "/".join((self.verb, *(str(getattr(self, field.name)) for field in fields(self))))

    @classmethod
    def read(cls, tag: str) -> Self | None:
        """The intent that a tag writes; None for every other tag."""
        verb, *words = tag.removeprefix(INTENT_PREFIX).split("/")
        kinds = [field.type for field in fields(cls)]
        if not tag.startswith(INTENT_PREFIX) or verb != cls.verb or len(words) != len(kinds):
            return None
        if any(kind == "int" and not _SIZE.fullmatch(word) for kind, word in zip(kinds, words, strict=True)):
            return None
        return cls(*(int(word) if kind == "int" else word for kind, word in zip(kinds, words, strict=True)))

    @classmethod
    def among(cls, tags: Iterable[str]) -> Self | None:
        """The intent of this kind among the tags of a logical volume; None if there is none."""
        return next((intent for tag in sorted(tags) if (intent := cls.read(tag))), None)


@dataclass(frozen=True)
class Renaming(Intent):
    """On every layer of a volume that is to be called otherwise, until the layer has its new name and tags.

    It names both, for a layer may have either name.
    """

    verb: ClassVar = "rename"

    old: str
    new: str


@dataclass(frozen=True)
class Converting(Intent):
    """On the LV of a volume whose content is on its way into the volume ``new``, of the other format."""

    verb: ClassVar = "convert"

    new: str


@dataclass(frozen=True)
class Unknown:
    """A record that this version cannot read: the volume is left alone."""

    tag: str


def intent_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The intents among the tags of a logical volume, as they are written."""
    return tuple(tag for tag in sorted(tags) if tag.startswith(INTENT_PREFIX))
