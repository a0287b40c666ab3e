"""Every operation on a real volume group, on little data in every layer: a row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from lvmqcow.core.names import VolumeName, in_other_format
from lvmqcow.operations import (
    Convert,
    Copy,
    Create,
    DeleteSnapshot,
    Merge,
    Remove,
    Rename,
    RenameSnapshot,
    Request,
    Resize,
    Rollback,
    Snapshot,
)
from lvmqcow.testing.cases.expected import Contents, called, changed, expected
from lvmqcow.testing.cases.operation_table import ELSEWHERE, RAW_ELSEWHERE
from lvmqcow.testing.cases.scenarios import DISK, MIB, NEIGHBOUR, RAW
from lvmqcow.testing.content import BLOCK_BYTES, Content, Write
from lvmqcow.testing.worlds import World

__all__ = ["OPERATIONS", "Held", "Operation", "beside"]

SIZE_BYTES = MIB
"""Of a volume: eight clusters. What an operation writes to a larger one is more of the same."""
BLOCKS = SIZE_BYTES // BLOCK_BYTES

Held = Mapping[VolumeName, Contents]
"""What every volume holds."""


@dataclass(frozen=True)
class Operation:
    """What there is before it (``start`` makes it, and returns what the volumes hold), and what is asked."""

    start: Callable[[World], Held]
    request: Request

    def after(self, before: Held) -> Held:
        """What the volumes hold after it."""
        rest = {name: contents for name, contents in before.items() if name != changed(self.request)}
        made = expected(self.request, before.get(self.request.volume, {}), SIZE_BYTES)
        return {**rest, called(self.request): made}


def nothing(world: World) -> Held:
    return {}


def chain(depth: int, name: VolumeName, world: World) -> Held:
    """A volume with snapshots s1 … s<depth>; in each layer blocks of its own, some that all overwrite, and zeros."""
    volume, content = world.storage.create(name.text, SIZE_BYTES), Content(SIZE_BYTES)
    holds: dict[str | None, Content] = {}
    for number in range(depth + 1):
        own = [Write(block + 3 * number, 2, 0x60 + number) for block in range(4, BLOCKS - 16, 32)]
        layer = [Write(0, 2, number + 1), *own, Write(own[0].block - 3, 1, 0)]
        world.write(name.text, name.format, layer)
        content = content.written(layer)
        if number < depth:
            holds[f"s{number + 1}"] = content
            volume.snapshot(f"s{number + 1}")
    return {name: {**holds, None: content}}


def beside(world: World) -> Held:
    """The neighbour: a volume that no operation may touch."""
    return chain(1, NEIGHBOUR, world)


def _on(depth: int, request: Request) -> Operation:
    return Operation(partial(chain, depth, DISK), request)


def _on_raw(request: Request) -> Operation:
    return Operation(partial(chain, 0, RAW), request)


OPERATIONS: Mapping[str, Operation] = {
    "create": Operation(nothing, Create(DISK, SIZE_BYTES)),
    "create raw": Operation(nothing, Create(RAW, SIZE_BYTES)),
    "snapshot over 0": _on(0, Snapshot(DISK, "new")),
    "snapshot over 1": _on(1, Snapshot(DISK, "new")),
    "rollback of 2": _on(2, Rollback(DISK, "s2")),
    **{
        f"delete {number} of 2 by {merge}": _on(2, DeleteSnapshot(DISK, f"s{number}", merge))
        for number in (1, 2)
        for merge in (Merge.PULL, Merge.PUSH)
    },
    "resize over 1": _on(1, Resize(DISK, 4 * MIB)),
    "resize raw": _on_raw(Resize(RAW, 2 * MIB)),
    "rename with 2": _on(2, Rename(DISK, ELSEWHERE)),
    "rename snapshot 1 of 2": _on(2, RenameSnapshot(DISK, "s1", "other")),
    "rename raw": _on_raw(Rename(RAW, RAW_ELSEWHERE)),
    "copy over 1": _on(1, Copy(DISK, "s1", ELSEWHERE)),
    "convert over 0": _on(0, Convert(DISK, in_other_format(DISK))),
    "convert raw": _on_raw(Convert(RAW, in_other_format(RAW))),
    "remove with 2": _on(2, Remove(DISK)),
    "remove raw": _on_raw(Remove(RAW)),
}
"""By name, as in the table of the simulated ones."""
