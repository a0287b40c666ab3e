"""Every operation at every place where it differs, and what it should make of what a volume holds."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from itertools import pairwise
from typing import TypeVar

from lvmqcow.core.names import Format, in_other_format, parse_volume_name
from lvmqcow.core.wiping import Wipe
from lvmqcow.formats import SourceFormat
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
    Merge,
    Newer,
    Remove,
    Rename,
    RenameSnapshot,
    Request,
    Resize,
    Rollback,
    Snapshot,
    StreamFormat,
    Template,
)
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    RAW,
    STREAM,
    VARIANTS,
    at_boot,
    branched,
    chain,
    clone_of_a_snapshot,
    clone_of_a_template,
    foreign,
    grown,
    half_active,
    inactive,
    neighbour_inactive,
    neighbour_template,
    planned,
    pve9,
    raw_volume,
    source,
    template,
    tight,
    uneven,
    with_a_clone,
)
from lvmqcow.testing.simulated.host import SimHost

_Place = TypeVar("_Place")

DEEPEST = 4
WIPES = (Wipe.ZERO, Wipe.DISCARD)
ELSEWHERE = parse_volume_name("vm-200-disk-17.qcow2")
RAW_ELSEWHERE = parse_volume_name("vm-200-disk-17")

_NEW: dict[str, Request] = {
    **{f"create {name}": Create(name, 4 * MIB) for name in (DISK, RAW)},
    **{
        f"import a {file_format} file as {name}": Import(name, 4 * MIB, source(file_format), SourceFormat(file_format))
        for name in (DISK, RAW)
        for file_format in Format
    },
    **{f"import a stream as {name}": ImportStream(name, 4 * MIB, STREAM) for name in (DISK, RAW)},
}
_ON_A_CHAIN: dict[str, tuple[int, Request]] = {
    **{f"snapshot over {depth}": (depth, Snapshot(DISK, "new")) for depth in range(DEEPEST)},
    **{f"rollback of {depth}": (depth, Rollback(DISK, f"s{depth}")) for depth in range(1, DEEPEST + 1)},
    **{
        f"rollback to {number} of {depth}, {newer} newer": (depth, Rollback(DISK, f"s{number}", newer))
        for depth in range(2, DEEPEST + 1)
        for number in range(1, depth)
        for newer in (Newer.DISCARD, Newer.KEEP)
    },
    **{
        f"delete {number} of {depth} by {merge}": (depth, DeleteSnapshot(DISK, f"s{number}", merge))
        for depth in range(1, DEEPEST + 1)
        for number in range(1, depth + 1)
        for merge in (Merge.PULL, Merge.PUSH)
    },
    **{f"resize over {depth}": (depth, Resize(DISK, 80 * MIB)) for depth in range(DEEPEST + 1)},
    "resize within its LV": (1, Resize(DISK, 5 * MIB)),
    "resize by more": (1, Grow(DISK, 76 * MIB)),
    **{f"remove with {depth}": (depth, Remove(DISK)) for depth in range(DEEPEST + 1)},
    **{f"rename with {depth}": (depth, Rename(DISK, ELSEWHERE)) for depth in range(DEEPEST)},
    **{
        f"rename snapshot {number} of {depth}": (depth, RenameSnapshot(DISK, f"s{number}", "other"))
        for depth in range(1, DEEPEST)
        for number in range(1, depth + 1)
    },
    **{f"template over {depth}": (depth, Template(DISK)) for depth in range(3)},
    "rename within the machine": (1, Rename(DISK, parse_volume_name("vm-100-disk-9.qcow2"))),
}
_WIPING: dict[str, tuple[int, Request]] = {
    **{f"remove with {depth}, to {wipe}": (depth, Remove(DISK, wipe)) for depth in range(3) for wipe in WIPES},
    **{
        f"delete {number} of {depth} by {merge}, to {wipe}": (depth, DeleteSnapshot(DISK, f"s{number}", merge, wipe))
        for depth, number in ((1, 1), (3, 1), (3, 2), (3, 3))
        for merge in (Merge.PULL, Merge.PUSH)
        for wipe in WIPES
    },
    **{
        f"rollback to s1 of {depth}, discard newer, to {wipe}": (depth, Rollback(DISK, "s1", Newer.DISCARD, wipe))
        for depth in (3, 4)
        for wipe in WIPES
    },
}
_ON_A_GROWN_ONE: dict[str, tuple[int, Request]] = {
    name: (depth, request)
    for name, (depth, request) in _ON_A_CHAIN.items()
    if 1 <= depth <= 2 and name != "resize within its LV"
}
_IN_TIGHT_LVS = {
    **{
        name: (depth, request)
        for name, (depth, request) in _ON_A_CHAIN.items()
        if name.startswith(("delete 1 of 1", "resize over 1"))
    },
    "resize to the size it has": (1, Resize(DISK, 4 * MIB)),
}

_COPIES: dict[str, tuple[int, Request]] = {
    f"copy {'s1 of' if snapshot else 'current over'} {depth} to {new.format}": (depth, Copy(DISK, snapshot, new))
    for depth in range(3)
    for snapshot in (None, "s1")
    for new in (ELSEWHERE, RAW_ELSEWHERE)
    if depth or not snapshot
}
_EXPORTS: dict[str, tuple[int, Request]] = {
    f"{name} of {snapshot or 'current'} over {depth}": (depth, request)
    for depth in range(3)
    for snapshot in (None, "s1")
    for name, request in (
        ("export", Export(DISK, snapshot, "/srv/out", Format.RAW)),
        ("export a stream", ExportStream(DISK, snapshot, STREAM, StreamFormat.RAW_SIZE)),
    )
    if depth or not snapshot
}
_CONVERSIONS: dict[str, tuple[int, Request]] = {
    "convert to raw": (0, Convert(DISK, in_other_format(DISK))),
    "convert to raw under another name": (0, Convert(DISK, RAW_ELSEWHERE)),
    "convert to raw, to zero": (0, Convert(DISK, in_other_format(DISK), Wipe.ZERO)),
}
_ON_RAW: dict[str, Request] = {
    "export raw": Export(RAW, None, "/srv/out", Format.QCOW2),
    **{f"copy raw to {new.format}": Copy(RAW, None, new) for new in (ELSEWHERE, RAW_ELSEWHERE)},
    "convert to qcow2": Convert(RAW, in_other_format(RAW)),
    "convert to qcow2 under another name": Convert(RAW, ELSEWHERE),
    "convert to qcow2, to discard": Convert(RAW, in_other_format(RAW), Wipe.DISCARD),
}


def _on_a_tree(depth: int, at: int) -> Mapping[str, Request]:
    """What can be asked of a chain with a branch of two snapshots off one of it."""
    merged = [*(f"s{number}" for number in range(1, depth + 1) if number != at), "b1"]
    return {
        **{
            f"delete {snapshot} by {merge}": DeleteSnapshot(DISK, snapshot, merge)
            for snapshot in merged
            for merge in (Merge.PULL, Merge.PUSH)
        },
        **{
            f"rename snapshot {snapshot}": RenameSnapshot(DISK, snapshot, "other")
            for snapshot in (f"s{at}", "b1", "b2")
        },
        "delete b2": DeleteSnapshot(DISK, "b2"),
        "delete b2, to zero": DeleteSnapshot(DISK, "b2", wipe=Wipe.ZERO),
        **{
            f"rollback to {snapshot}, keep newer": Rollback(DISK, snapshot, Newer.KEEP)
            for snapshot in (*(f"s{number}" for number in range(1, depth)), "b1", "b2")
        },
        **{
            f"rollback to s{number}, discard newer": Rollback(DISK, f"s{number}", Newer.DISCARD)
            for number in range(at, depth)
        },
        "rollback to the newest": Rollback(DISK, f"s{depth}"),
        "snapshot": Snapshot(DISK, "new"),
        # their cuts are as many as there are sets of layers
        **({"remove": Remove(DISK), "rename": Rename(DISK, ELSEWHERE)} if depth == 1 else {}),
    }


def _trees(depths: Iterable[int]) -> Mapping[str, tuple[tuple[int, int], Request]]:
    return {
        f"{name}, {depth} with a branch off {at}": ((depth, at), request)
        for depth in depths
        for at in range(1, depth + 1)
        for name, request in _on_a_tree(depth, at).items()
    }


_CLONES: dict[str, tuple[Callable[[], SimHost], Request]] = {
    "clone a snapshot": (lambda: chain(1, None, NEIGHBOUR), Clone(DISK, NEIGHBOUR, "s1")),
    "clone a template": (neighbour_template, Clone(DISK, NEIGHBOUR)),
}
_ON_A_CLONE: dict[str, tuple[int, Request]] = {
    **{f"flatten over {depth}": (depth, Flatten(DISK)) for depth in range(3)},
    **{f"snapshot of a clone over {depth}": (depth, Snapshot(DISK, "new")) for depth in range(2)},
    **{f"rollback of a clone with {depth}": (depth, Rollback(DISK, f"s{depth}")) for depth in (1, 2)},
    "rollback of a clone past a branch": (2, Rollback(DISK, "s1", Newer.KEEP)),
    **{
        f"delete {snapshot} of a clone with {depth} by {merge}": (depth, DeleteSnapshot(DISK, snapshot, merge))
        for depth, snapshot in ((1, "s1"), (2, "s2"), (2, "b"))
        for merge in (Merge.PULL, Merge.PUSH)
    },
    **{f"resize of a clone over {depth}": (depth, Resize(DISK, 80 * MIB)) for depth in range(2)},
    "template of a clone": (1, Template(DISK)),
    "copy a clone": (1, Copy(DISK, None, ELSEWHERE)),
    "export a snapshot of a clone": (1, Export(DISK, "s1", "/srv/out", Format.RAW)),
    "convert a clone": (0, Convert(DISK, RAW_ELSEWHERE)),
    "remove a clone": (1, Remove(DISK)),
    "rename a clone": (1, Rename(DISK, ELSEWHERE)),
    "rename a snapshot of a clone": (1, RenameSnapshot(DISK, "s1", "other")),
    "activate a clone": (1, Activate(DISK)),
}
_UNDER_A_CLONE: dict[str, tuple[int, Request]] = {
    "snapshot beside a clone": (1, Snapshot(DISK, "new")),
    "rollback beside a clone": (2, Rollback(DISK, "s1", Newer.DISCARD)),
    "resize beside a clone": (1, Resize(DISK, 80 * MIB)),
    "template beside a clone": (1, Template(DISK)),
    "rename the snapshot that a clone reads": (1, RenameSnapshot(DISK, "s1", "other")),
    "rename the snapshot that a clone and a snapshot read": (2, RenameSnapshot(DISK, "s1", "other")),
    "delete 2 beside a clone by pull": (2, DeleteSnapshot(DISK, "s2", Merge.PULL)),
    "delete 2 beside a clone by push": (2, DeleteSnapshot(DISK, "s2", Merge.PUSH)),
}
_ON_A_TEMPLATE: dict[str, tuple[int, Request]] = {
    **{f"rename a template over {depth}": (depth, Rename(DISK, ELSEWHERE)) for depth in range(3)},
    **{f"remove a template over {depth}": (depth, Remove(DISK)) for depth in range(2)},
    **{f"remove a template, to {wipe}": (1, Remove(DISK, wipe)) for wipe in WIPES},
    "activate a template": (1, Activate(DISK)),
    "rename the snapshot of a template": (1, RenameSnapshot(DISK, "s1", "other")),
}

_Table = Mapping[str, tuple[Callable[[], SimHost], Request]]


_DEEPEST_IN = {**dict.fromkeys(VARIANTS, DEEPEST), "written by Proxmox VE 9": 2}
"""Other names and options differ from what is enumerated in full; where they matter, two snapshots show it."""


def _on(starts: Mapping[str, tuple[int, Request]], start: Callable[[int], SimHost], words: str) -> _Table:
    return {
        f"{name}{words}, {variant}": (partial(_met, start, depth, meet), request)
        for name, (depth, request) in starts.items()
        for variant, meet in VARIANTS.items()
        if depth <= _DEEPEST_IN[variant]
    }


def _in_every_way(starts: Mapping[str, tuple[_Place, Request]], start: Callable[[_Place], SimHost]) -> _Table:
    return {
        f"{name}, {variant}": (partial(_met, start, place, meet), request)
        for name, (place, request) in starts.items()
        for variant, meet in VARIANTS.items()
    }


def _in_turn(starts: Mapping[str, tuple[_Place, Request]], start: Callable[[_Place], SimHost]) -> _Table:
    """Each met in one of the ways."""
    ways = list(VARIANTS.items())
    return {
        f"{name}, {variant}": (partial(_met, start, place, meet), request)
        for number, (name, (place, request)) in enumerate(starts.items())
        for variant, meet in (ways[number % len(ways)],)
    }


def _started(start: Callable[[], SimHost], meet: Callable[[SimHost], SimHost]) -> SimHost:
    return meet(start())


_TEMPLATE_VARIANTS = {"active": lambda host: host, "inactive": inactive, "without our tags": foreign}
_CLONE_VARIANTS = {"active": lambda host: host, "inactive": inactive, "the neighbour inactive": neighbour_inactive}


def _met(start: Callable[[_Place], SimHost], place: _Place, meet: Callable[[SimHost], SimHost]) -> SimHost:
    return meet(chain(1, start(place), NEIGHBOUR))


def _met_raw(meet: Callable[[SimHost], SimHost]) -> SimHost:
    return meet(raw_volume(chain(1, None, NEIGHBOUR)))


OPERATIONS: _Table = {
    **{name: (lambda: chain(1, None, NEIGHBOUR), request) for name, request in _NEW.items()},
    "resize raw": (lambda: raw_volume(chain(1, None, NEIGHBOUR)), Resize(RAW, 80 * MIB)),
    "resize raw, inactive": (lambda: inactive(raw_volume(chain(1, None, NEIGHBOUR))), Resize(RAW, 80 * MIB)),
    "remove raw": (lambda: raw_volume(chain(1, None, NEIGHBOUR)), Remove(RAW)),
    "remove raw, inactive": (lambda: inactive(raw_volume(chain(1, None, NEIGHBOUR))), Remove(RAW)),
    **{
        f"remove raw, {variant}, to {wipe}": (partial(_met_raw, VARIANTS[variant]), Remove(RAW, wipe))
        for variant in ("active", "inactive")
        for wipe in WIPES
    },
    "rename raw": (lambda: raw_volume(chain(1, None, NEIGHBOUR)), Rename(RAW, RAW_ELSEWHERE)),
    "rename raw, inactive": (lambda: inactive(raw_volume(chain(1, None, NEIGHBOUR))), Rename(RAW, RAW_ELSEWHERE)),
    "rename, half active": (lambda: half_active(chain(2, chain(1, None, NEIGHBOUR))), Rename(DISK, ELSEWHERE)),
    "activate": (lambda: inactive(chain(2, chain(1, None, NEIGHBOUR))), Activate(DISK)),
    "activate, half active": (lambda: half_active(chain(2, chain(1, None, NEIGHBOUR))), Activate(DISK)),
    "activate, active": (lambda: chain(2, chain(1, None, NEIGHBOUR)), Activate(DISK)),
    "activate raw": (lambda: inactive(raw_volume(chain(1, None, NEIGHBOUR))), Activate(RAW)),
    "activate, at boot until now": (lambda: at_boot(chain(1, chain(1, None, NEIGHBOUR))), Activate(DISK)),
    "deactivate": (lambda: chain(2, chain(1, None, NEIGHBOUR)), Deactivate(DISK)),
    "deactivate, half active": (lambda: half_active(chain(2, chain(1, None, NEIGHBOUR))), Deactivate(DISK)),
    "deactivate raw": (lambda: raw_volume(chain(1, None, NEIGHBOUR)), Deactivate(RAW)),
    **{
        f"{name}, {variant}": (partial(_met_raw, VARIANTS[variant]), request)
        for name, request in _ON_RAW.items()
        for variant in ("active", "inactive")
    },
    **_on(_COPIES, chain, ""),
    **_on(_CONVERSIONS, chain, ""),
    **_on(_EXPORTS, chain, ""),
    **_on(_ON_A_CHAIN, chain, ""),
    **_on(_WIPING, chain, ""),
    **_on(_ON_A_GROWN_ONE, grown, ", grown"),
    **_on(_IN_TIGHT_LVS, lambda depth: tight(), ", in tight LVs"),
    **_in_every_way(_trees(range(1, 3)), branched),
    **{
        f"{name}, {variant}": (partial(_started, start, meet), request)
        for name, (start, request) in _CLONES.items()
        for variant, meet in _TEMPLATE_VARIANTS.items()
    },
    "clone a snapshot that Proxmox VE 9 wrote": (lambda: pve9(chain(1, None, NEIGHBOUR)), Clone(DISK, NEIGHBOUR, "s1")),
    "deactivate a clone": (lambda: clone_of_a_snapshot(1), Deactivate(DISK)),
    "deactivate a template": (lambda: chain(1, template(1), NEIGHBOUR), Deactivate(DISK)),
    **{
        f"{name}, of a {words}, {variant}": (partial(_started, partial(start, depth), meet), request)
        for words, start in (("snapshot", clone_of_a_snapshot), ("template", clone_of_a_template))
        for name, (depth, request) in _ON_A_CLONE.items()
        for variant, meet in _CLONE_VARIANTS.items()
    },
    **{
        f"{name}, {variant}": (partial(_started, partial(with_a_clone, depth), meet), request)
        for name, (depth, request) in _UNDER_A_CLONE.items()
        for variant, meet in _CLONE_VARIANTS.items()
    },
    **{
        f"{name}, {variant}": (partial(_met, template, depth, meet), request)
        for name, (depth, request) in _ON_A_TEMPLATE.items()
        for variant, meet in _TEMPLATE_VARIANTS.items()
    },
    **_in_turn(_trees(range(3, DEEPEST + 1)), branched),
    **_on({"rollback to a larger snapshot": (0, Rollback(DISK, "big", Newer.KEEP))}, lambda depth: uneven(), ""),
}
"""By name: the volume group as the operation meets it, another volume beside, and what is asked."""


def traits(operation: str) -> set[Hashable]:
    """What may distinguish an operation's cuts: each step with the next, where in the chain it is, how it was met."""
    start, request = OPERATIONS[operation]
    host = start()
    kind = (type(request), request.volume.format, request.merge if isinstance(request, DeleteSnapshot) else None)
    steps = [(type(step), len(getattr(step, "lvs", ())) > 1) for step in planned(host, request).steps]
    met = frozenset((lv.active, lv.ours) for lv in host.observe().logical_volumes)
    found: set[Hashable] = {(kind, met), *((kind, pair) for pair in pairwise([None, *steps, None]))}
    if isinstance(request, DeleteSnapshot):
        chain = host.observe().volume(request.volume).snapshots
        found.add((kind, request.snapshot == chain[0], request.snapshot == chain[-1]))
    return found


def with_every_trait() -> list[str]:
    """The rows that differ from those before them in anything: for what would take too long with all."""
    rows, seen = [], set[Hashable]()
    for operation in OPERATIONS:
        if not traits(operation) <= seen:
            rows.append(operation)
            seen |= traits(operation)
    return rows
