"""What each operation must make of what a volume holds. Nothing but this module says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lvmqcow.core.lv import LogicalVolume
from lvmqcow.core.names import Layout, VolumeName, snapshot_lv_name
from lvmqcow.core.wiping import Wipe
from lvmqcow.operations import (
    Activate,
    Clone,
    Convert,
    Copy,
    Create,
    Deactivate,
    DeleteSnapshot,
    Export,
    ExportStream,
    Flatten,
    Grow,
    Import,
    ImportStream,
    Newer,
    Remove,
    Rename,
    RenameSnapshot,
    Request,
    Resize,
    Rollback,
    Snapshot,
    Template,
)
from lvmqcow.testing.cases.scenarios import FILES, MIB, NEIGHBOUR, chain, contents
from lvmqcow.testing.content import Content
from lvmqcow.testing.simulated.state import stream_path

__all__ = ["Contents", "called", "changed", "expected", "expected_active", "lv_names", "named", "wipes"]

Contents = Mapping[str | None, Content]
"""What each snapshot of a volume holds, and under None its current layer."""

_NEIGHBOUR: Contents = contents(chain(1, None, NEIGHBOUR), NEIGHBOUR)


def expected(request: Request, before: Contents, made_bytes: int = 4 * MIB) -> Contents:
    """Return what a volume holds after an operation."""
    match request:
        case Create():
            return {None: Content(made_bytes)}
        case Import():
            return {None: replace(FILES[request.source], size_bytes=made_bytes)}
        case Snapshot():
            return {**before, request.snapshot: before[None]}
        case Rollback():
            newer = {name for name in before if name and request.newer is Newer.DISCARD and _is_newer(name, request)}
            return {name: content for name, content in before.items() if name not in newer} | {
                None: before[request.snapshot]
            }
        case DeleteSnapshot():
            return {snapshot: content for snapshot, content in before.items() if snapshot != request.snapshot}
        case RenameSnapshot():
            return {request.new if name == request.snapshot else name: content for name, content in before.items()}
        case Resize():
            return {**before, None: replace(before[None], size_bytes=request.size_bytes)}
        case Grow():
            return {**before, None: replace(before[None], size_bytes=before[None].size_bytes + request.more_bytes)}
        case Copy():
            return {None: before[request.snapshot]}
        case Clone():
            return {None: _NEIGHBOUR[request.snapshot]}
        case ImportStream():
            return {None: FILES[stream_path(request.stream)]}
        case Rename() | Convert() | Template() | Flatten() | Activate() | Deactivate() | Export() | ExportStream():
            return before
        case Remove():
            return {}
        case _:
            raise AssertionError(f"nothing says what {request} should make of a volume")


def _is_newer(snapshot: str, request: Rollback) -> bool:
    """Those of the chain have numbers."""
    return snapshot.startswith("s") and int(snapshot[1:]) > int(request.snapshot[1:])


def changed(request: Request) -> VolumeName:
    """The volume that an operation makes or changes, as it is called before."""
    return request.new if isinstance(request, Copy) else request.volume


def wipes(request: Request) -> bool:
    """Whether an operation must not let the extents of anything it removes be free with what they held."""
    return getattr(request, "wipe", None) in (Wipe.ZERO, Wipe.DISCARD)


def called(request: Request) -> VolumeName:
    """What that volume is called after an operation."""
    return request.new if isinstance(request, Rename | Copy | Convert) else request.volume


def expected_active(request: Request, lv: LogicalVolume) -> bool:
    """Whether an LV is active after an operation that it outlived."""
    ours = request.volume.text in lv.name
    match request:
        case Activate():
            return lv.active or ours
        case Deactivate():
            return lv.active and not ours
        case _:
            return lv.active


def lv_names(name: VolumeName, contents: Contents, layout: Layout) -> set[str]:
    """The logical volumes of a volume with those contents, and not one more."""
    return {snapshot_lv_name(name, snapshot, layout) if snapshot else name.text for snapshot in contents}


def named(request: Request) -> set[VolumeName]:
    """Every volume that a request names."""
    return {value for value in vars(request).values() if isinstance(value, VolumeName)}
