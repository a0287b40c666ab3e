"""SIGKILL inside any long step, or inside a long step of the recovery: the volume is as before or as after."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from lvmqcow.core.names import Format, VolumeName, in_other_format
from lvmqcow.core.wiping import Wipe
from lvmqcow.errors import CommandFailed, LvmqcowError
from lvmqcow.formats import SourceFormat
from lvmqcow.lvm.commands import LvmShell
from lvmqcow.operations import (
    Convert,
    Copy,
    Create,
    DeleteSnapshot,
    Flatten,
    Import,
    ImportStream,
    Merge,
    Newer,
    Plan,
    Remove,
    Request,
    Resize,
    Rollback,
    Snapshot,
)
from lvmqcow.qemu.img import QemuImg
from lvmqcow.real_host import RealHost
from lvmqcow.steps import (
    DataStep,
    ImageCopy,
    ImageReceive,
    ImageWrite,
    LvDiscardRange,
    LvZero,
    LvZeroRange,
    QcowCommit,
    QcowCreate,
    QcowRebase,
    QcowRelink,
    QcowResize,
)
from lvmqcow.testing.cases.expected import changed
from lvmqcow.testing.cases.operation_table import ELSEWHERE, RAW_ELSEWHERE
from lvmqcow.testing.cases.real_operations import chain
from lvmqcow.testing.cases.scenarios import DISK, FILES, MIB, NEIGHBOUR, RAW, STREAM, planned, source, storage
from lvmqcow.testing.cases.starts import Starts, starts
from lvmqcow.testing.content import BLOCK_BYTES, Content, Write, runs
from lvmqcow.testing.crash.crash_points import CrashPoint
from lvmqcow.testing.crash.kill_run import Mortal, Sigkills
from lvmqcow.testing.crash.kills import Call, Killer
from lvmqcow.testing.crash.oracle import Judge
from lvmqcow.testing.simulated.host import SimHost
from lvmqcow.testing.specimens.planted import (
    freed_then_renamed,
    intent_dropped_too_early,
    rebased_with_the_default_cache,
    renamed_then_created,
)
from lvmqcow.testing.worlds import SimWorld

pytestmark = pytest.mark.lvmqcow_real

KILLS = int(os.environ.get("LVMQCOW_KILLS", "160"))
"""The number of kills over all rows."""
SEED = int(os.environ.get("LVMQCOW_KILLS_SEED", "0"))


SECRET = 0x5E
"""The byte in all blocks that are to be wiped."""


def nothing() -> SimHost:
    """A volume group with only the neighbour."""
    host = SimHost(files=FILES)
    chain(1, NEIGHBOUR, SimWorld(host))
    return host


def laid(depth: int, name: VolumeName = DISK) -> SimHost:
    """A volume with snapshots, and with data spread over each layer."""
    host = nothing()
    chain(depth, name, SimWorld(host))
    return host


def grown() -> SimHost:
    """A volume that is larger than its snapshot, so a commit resizes the snapshot first."""
    host = laid(1)
    storage(host).volume(DISK.text).resize(8 * MIB)
    host.guest_write(DISK.text, [Write(block, 2, 9) for block in range(300, 2000, 200)])
    return host


def cloned(depth: int) -> SimHost:
    """A clone of the snapshot of the neighbour, with own snapshots, and with much data in the base."""
    host = nothing()
    clone = storage(host).volume(NEIGHBOUR.text).clone(DISK.text, "s1")
    for number in range(1, depth + 1):
        clone.snapshot(f"s{number}")
    return host


def wide() -> SimHost:
    """A volume with a snapshot. The wipe of each LV takes two calls."""
    host = nothing()
    volume = storage(host).create(DISK.text, 40 * MIB)
    host.guest_write(DISK.text, [Write(block, 2, 1) for block in range(0, 10000, 1000)])
    volume.snapshot("s1")
    host.guest_write(DISK.text, [Write(block, 2, 2) for block in range(1, 10000, 2000)])
    return host


def large() -> SimHost:
    """A raw volume filled with a unique byte. Its wipe has two pieces of several calls each."""
    host = nothing()
    storage(host).create(RAW.text, 160 * MIB)
    host.guest_write(RAW.text, [Write(block, 1, SECRET) for block in range(0, 40000, 2000)])
    return host


Start = Callable[[], SimHost]
ROWS: Mapping[str, tuple[Start, Request]] = {
    "create": (nothing, Create(DISK, 4 * MIB)),
    "create raw": (nothing, Create(RAW, 160 * MIB)),
    **{
        f"import a {file_format} file as {name.format}": (
            nothing,
            Import(name, 4 * MIB, source(file_format), SourceFormat(file_format)),
        )
        for name, file_format in ((DISK, Format.QCOW2), (DISK, Format.RAW), (RAW, Format.QCOW2))
    },
    **{f"import a stream as {name.format}": (nothing, ImportStream(name, 4 * MIB, STREAM)) for name in (DISK, RAW)},
    "snapshot": (partial(laid, 1), Snapshot(DISK, "new")),
    "rollback": (partial(laid, 2), Rollback(DISK, "s2")),
    "rollback past a newer one, to zero": (partial(laid, 2), Rollback(DISK, "s1", Newer.DISCARD, Wipe.ZERO)),
    **{
        f"delete {number} of 2 by {merge}": (partial(laid, 2), DeleteSnapshot(DISK, f"s{number}", merge))
        for number in (1, 2)
        for merge in (Merge.PULL, Merge.PUSH)
    },
    **{
        f"delete 1 of 1 by {merge}, to {wipe}": (wide, DeleteSnapshot(DISK, "s1", merge, wipe))
        for merge, wipe in ((Merge.PULL, Wipe.DISCARD), (Merge.PUSH, Wipe.ZERO))
    },
    "delete 1 of 1 by push, grown": (grown, DeleteSnapshot(DISK, "s1", Merge.PUSH)),
    "resize": (partial(laid, 1), Resize(DISK, 80 * MIB)),
    "resize raw": (partial(laid, 0, RAW), Resize(RAW, 160 * MIB)),
    "copy to qcow2": (partial(laid, 1), Copy(DISK, None, ELSEWHERE)),
    "copy to raw": (partial(laid, 1), Copy(DISK, "s1", RAW_ELSEWHERE)),
    "convert to raw": (partial(laid, 0), Convert(DISK, in_other_format(DISK))),
    "convert to qcow2": (partial(laid, 0, RAW), Convert(RAW, in_other_format(RAW))),
    "flatten": (partial(cloned, 0), Flatten(DISK)),
    "flatten below a snapshot": (partial(cloned, 1), Flatten(DISK)),
    **{f"remove raw, to {wipe}": (large, Remove(RAW, wipe)) for wipe in (Wipe.ZERO, Wipe.DISCARD)},
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starts]:
    name = f"kills-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}"
    with starts(name, tmp_path_factory.mktemp("kills"), FILES, 768 * MIB) as made:
        yield made


@pytest.fixture(scope="module")
def mortal(real: Starts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortal]:
    killer = Killer(tmp_path_factory.mktemp("stand-ins"))
    with killer.ahead():
        watched = RealHost(real.world.host.vg, LvmShell(), QemuImg())
    yield Mortal(real.world.host, watched, killer, real.checkpoints)
    watched.close()


@pytest.mark.parametrize("operation", ROWS)
def test_volume_is_old_or_new_after_a_kill_inside_a_long_step(
    real: Starts,
    mortal: Mortal,
    operation: str,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    start, asked = ROWS[operation]
    simulated = start()
    real.build(simulated.history)
    plan = real.world.storage.plan(real.request(asked))
    recovery = partial(real.world.storage.plan_recovery, changed(asked).text)
    judge = Judge(real, simulated, asked)

    def verdict(place: CrashPoint, digests: Mapping[str, bytes]) -> None:
        judge(place, digests)
        if isinstance(asked, Remove) and place.done >= plan.commit_point:
            on_disk = real.checkpoints.take().chunks.values()
            assert not any(bytes([SECRET]) * BLOCK_BYTES in chunk for chunk in on_disk), f"{place.path}: not wiped"

    kills = Sigkills(mortal, recovery, verdict).of(plan, least(), Random(f"{SEED} {operation}"))
    for kind, count in kills.items():
        record_property(f"SIGKILLs inside {kind}", count)
    record_property("SIGKILLs inside long steps", kills.total())
    with capsys.disabled():
        print(f"\n{operation}: {kills.total()} kills inside long steps: {dict(kills)}")
    assert kills.total() >= least()


def test_rows_kill_every_kind_of_long_step_often_enough() -> None:
    steps = [step for start, request in ROWS.values() for step in planned(start(), request).steps]
    kinds = {type(step) for step in steps if isinstance(step, DataStep)}
    assert kinds == {
        *(LvZero, LvZeroRange, LvDiscardRange, QcowCreate, QcowCommit, QcowRebase, QcowResize),
        *(ImageWrite, ImageCopy, ImageReceive),
    }
    assert least() * len(ROWS) >= 150


def test_kill_comes_before_the_chosen_call(real: Starts, mortal: Mortal) -> None:
    real.build(())
    content = Content(80 * MIB).written([Write(block, 2, 3) for block in range(0, 20000, 4000)])
    world, clear = real.world, partial(mortal.watched.run, LvZeroRange(RAW.text, 0, content.size_bytes))
    world.storage.create(RAW.text, content.size_bytes)
    calls = mortal.killer.watch(clear).calls
    assert [str(call).rpartition(" ")[0] for call in calls] == [
        "at ioctl",
        "at ioctl",
    ]  # 32 MiB each, without the first one
    for done, call in enumerate(calls, 1):
        world.write(RAW.text, RAW.format, list(runs(content.blocks)))
        assert mortal.killer.kill(call, clear)
        left = {block: byte for block, byte in content.blocks.items() if block * BLOCK_BYTES >= done * 32 * MIB}
        assert world.difference(RAW.text, RAW.format, Content(content.size_bytes, left)) is None
    assert not mortal.killer.kill(Call(0, "ioctl", 999), clear)


def test_killed_step_reported_as_done_is_found(real: Starts, mortal: Mortal) -> None:
    real.build(())
    real.world.storage.create(RAW.text, 80 * MIB)

    def hushed() -> None:
        with suppress(CommandFailed):
            mortal.watched.run(LvZero(RAW.text))

    (call, *_) = mortal.killer.watch(hushed).calls
    with pytest.raises(AssertionError, match="reported as done"):
        mortal.killer.kill(call, hushed)


FEW = 8
"""The number of kills within which a wrong operation must be found."""


def careful(right: Plan) -> Plan:
    """The unchanged recovery."""
    return right


def believing_the_header(right: Plan) -> Plan:
    """A recovery that only repeats the rebase."""
    return replace(right, steps=tuple(step for step in right.steps if not isinstance(step, QcowRelink)))


@pytest.mark.parametrize(
    ("wrong", "recovery", "operation", "shows"),
    [
        (rebased_with_the_default_cache, believing_the_header, "delete 2 of 2 by pull", "Content mismatch"),
        (renamed_then_created, careful, "snapshot", "killed in step 3 of 3, QcowCreate"),
        (freed_then_renamed, careful, "delete 1 of 1 by push, to zero", "must not be opened"),
        (intent_dropped_too_early, careful, "rollback", "killed in step 3 of 3, QcowCreate"),
    ],
)
def test_wrong_operation_is_found(
    real: Starts,
    mortal: Mortal,
    wrong: Callable[[Plan], Plan],
    recovery: Callable[[Plan], Plan],
    operation: str,
    shows: str,
) -> None:
    """A kill inside a long step shows every planted bug, also an LV that is freed too early."""
    start, asked = ROWS[operation]
    simulated = start()
    real.build(simulated.history)
    storage = real.world.storage
    right, judge = storage.plan(asked), Judge(real, simulated, asked)

    def either_will_do(place: CrashPoint, digests: Mapping[str, bytes]) -> None:
        with suppress(AssertionError):
            judge(replace(place, done=0), digests)
            return
        judge(replace(place, done=len(right.steps)), digests)

    sigkills = Sigkills(mortal, lambda: recovery(storage.plan_recovery(changed(asked).text)), either_will_do)
    with pytest.raises((AssertionError, LvmqcowError), match=shows):
        sigkills.of(wrong(right), FEW, Random(0))


def least() -> int:
    """The least number of kills of each row."""
    return -(-KILLS // len(ROWS))
