"""What specimens in the formats of other hypervisors have in common."""

from __future__ import annotations

from typing import Final

from lvmqcow.errors import Corrupt, LvmqcowError
from lvmqcow.formats import SourceFormat
from lvmqcow.testing.hostile.specimen import DATA, Image, Notice, Specimen

__all__ = ["DATA_BYTES", "MIB", "SUFFIXES", "container_specimen"]


MIB: Final = 1024**2


DATA_BYTES: Final = bytes([DATA]) * 4096


SUFFIXES: Final = {SourceFormat.VPC: "vhd", SourceFormat.PARALLELS: "hds"}


def container_specimen(
    source_format: SourceFormat, name: str, what: str, image: Image, says: str, refusal: type[LvmqcowError] = Corrupt
) -> Specimen:
    """A specimen called after its format. ``says`` is what its refusal says; empty: the image is sound."""
    full = f"{source_format}-{name}.{SUFFIXES.get(source_format, source_format.value)}"
    if not says:
        return Specimen(full, what, image, source_format, Notice.NEVER)
    return Specimen(full, what, image, source_format, Notice.HEADER, refusal, says)
