"""SIGKILL inside any long step, or inside a long step of the recovery: the volume is as before or as after."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from lvmqcow.errors import CommandFailed, LvmqcowError
from lvmqcow.operations import (
    Plan,
)
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
from lvmqcow.testing.cases.kill_rows import ROWS
from lvmqcow.testing.cases.scenarios import FILES, MIB, RAW, planned
from lvmqcow.testing.cases.starts import Starts, group_name, starts
from lvmqcow.testing.content import BLOCK_BYTES, Content, Write, runs
from lvmqcow.testing.crash.crash_points import CrashPoint
from lvmqcow.testing.crash.kill_run import Mortal, Sigkills
from lvmqcow.testing.crash.kills import Call
from lvmqcow.testing.crash.oracle import Judge
from lvmqcow.testing.specimens.planted import (
    freed_then_renamed,
    intent_dropped_too_early,
    rebased_with_the_default_cache,
    renamed_then_created,
)
from lvmqcow.testing.suites.kills import kill_inside, mortal_group
from lvmqcow.testing.suites.real_cuts import GROUP_BYTES

pytestmark = pytest.mark.lvmqcow_real

KILLS = int(os.environ.get("LVMQCOW_KILLS", "160"))
"""The number of kills over all rows."""
SEED = int(os.environ.get("LVMQCOW_KILLS_SEED", "0"))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starts]:
    with starts(group_name("kills"), tmp_path_factory.mktemp("kills"), FILES, GROUP_BYTES) as made:
        yield made


@pytest.fixture(scope="module")
def mortal(real: Starts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortal]:
    with mortal_group(real, tmp_path_factory.mktemp("stand-ins")) as made:
        yield made


@pytest.mark.parametrize("operation", ROWS)
def test_volume_is_old_or_new_after_a_kill_inside_a_long_step(
    real: Starts, mortal: Mortal, operation: str, record_property: Callable[[str, object], None]
) -> None:
    came = kill_inside(real, mortal, operation, least(), Random(f"{SEED} {operation}"))
    for kind, count in came.counts.items():
        record_property(kind, count)
    assert came.counts["kills"] >= least()


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
