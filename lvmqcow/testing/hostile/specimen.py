"""A hostile image of any format: its bytes, and what must happen to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from lvmqcow.core.qcow2 import HEADER_BYTES
from lvmqcow.errors import LvmqcowError
from lvmqcow.formats import SourceFormat

__all__ = ["DATA", "Image", "Notice", "Specimen"]

DATA: Final = 0x5A
"""The byte in the 4 KiB of data that every sound image has, at the start of a disk of 1 MiB."""


class Notice(StrEnum):
    """How far a program has to look to see the defect."""

    HEADER = "header"
    """The first bytes alone: no tool may open it."""
    TABLES = "tables"
    """Its tables: ``qemu-img check`` may look, within limits."""
    VOLUME_GROUP = "volume group"
    """Nothing is wrong with it, but it does not fit."""
    NEVER = "never"
    """Nothing is wrong with it, as long as it is what it is declared to be."""


@dataclass(frozen=True)
class Image:
    """The bytes of a file; what is not listed is a hole."""

    parts: Mapping[int, bytes]
    size_bytes: int

    def write(self, path: Path) -> Path:
        """Write it, sparse."""
        with path.open("wb") as file:
            file.truncate(self.size_bytes)
            for offset, data in self.parts.items():
                file.seek(offset)
                file.write(data[: max(0, self.size_bytes - offset)])
        return path

    @property
    def start(self) -> bytes:
        """As much as a header can take."""
        start = bytearray(min(HEADER_BYTES, self.size_bytes))
        for offset, data in self.parts.items():
            if offset < len(start):
                start[offset : offset + len(data)] = data[: len(start) - offset]
        return bytes(start)


@dataclass(frozen=True)
class Specimen:
    """One hostile image: what it is, and what must happen when it is imported as ``declared``."""

    name: str
    what: str
    image: Image
    declared: SourceFormat | None
    notice: Notice
    refusal: type[LvmqcowError] | None = None
    says: str = ""

    @property
    def leads_out(self) -> bool:
        """Whether it is a qcow2 image that names another file."""
        return self.name.startswith("out-")
