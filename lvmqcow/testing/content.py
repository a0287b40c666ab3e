"""What a guest sees on its disk, as the model keeps it: bytes in blocks of 4 KiB, zero where nothing was written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["BLOCK_BYTES", "Blocks", "Content", "GuestWrites", "Write", "runs"]

BLOCK_BYTES: Final = 4096
"""A subcluster of our images: the smallest piece that qcow2 allocates, so patterns of it reach every path."""

Blocks = Mapping[int, int]
"""Block number to the byte that fills it. Zero is a written zero; an absent block was never written."""


@dataclass(frozen=True)
class Write:
    """A guest fills ``count`` blocks from ``block`` on with one byte."""

    block: int
    count: int
    byte: int

    @property
    def blocks(self) -> Blocks:
        return dict.fromkeys(range(self.block, self.block + self.count), self.byte)


@dataclass(frozen=True)
class GuestWrites:
    """What a guest wrote through the image on one LV."""

    lv: str
    writes: tuple[Write, ...]


@dataclass(frozen=True)
class Content:
    """The whole content of a disk. Two are equal when a guest cannot tell them apart."""

    size_bytes: int
    blocks: Blocks = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Content):
            return NotImplemented
        return self.size_bytes == other.size_bytes and self._visible() == other._visible()

    def __hash__(self) -> int:
        return hash((self.size_bytes, frozenset(self._visible().items())))

    def written(self, writes: Iterable[Write]) -> Content:
        """Return the content after the writes. The part of a write beyond the end is cut off."""
        blocks = dict(self.blocks)
        for write in writes:
            blocks.update(write.blocks)
        last = self.size_bytes // BLOCK_BYTES
        return Content(self.size_bytes, {block: byte for block, byte in blocks.items() if block < last})

    def difference(self, found: Content) -> str | None:
        """Return in words how another content differs from this one; None if a guest cannot tell them apart."""
        if self.size_bytes != found.size_bytes:
            return f"it has {found.size_bytes} bytes, not {self.size_bytes}"
        mine, other = self._visible(), found._visible()
        wrong = sorted(block for block in mine.keys() | other.keys() if mine.get(block, 0) != other.get(block, 0))
        if not wrong:
            return None
        shown = (f"block {block} is {other.get(block, 0):#04x}, not {mine.get(block, 0):#04x}" for block in wrong[:3])
        more = f", and {len(wrong) - 3} more blocks of {BLOCK_BYTES} bytes" if len(wrong) > 3 else ""
        return "; ".join(shown) + more

    def save(self, path: Path) -> None:
        """Write the content as a sparse raw file: the golden file that qemu-img compares with."""
        with path.open("wb") as file:
            os.truncate(file.fileno(), self.size_bytes)
            for run in runs(self._visible()):
                file.seek(run.block * BLOCK_BYTES)
                file.write(bytes([run.byte]) * (run.count * BLOCK_BYTES))

    def _visible(self) -> Blocks:
        return {block: byte for block, byte in self.blocks.items() if byte}


def runs(blocks: Blocks) -> Iterator[Write]:
    """Return the fewest writes that produce ``blocks``."""
    run: Write | None = None
    for block in sorted(blocks):
        if run and block == run.block + run.count and blocks[block] == run.byte:
            run = Write(run.block, run.count + 1, run.byte)
        else:
            if run:
                yield run
            run = Write(block, 1, blocks[block])
    if run:
        yield run
