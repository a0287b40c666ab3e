"""SIGKILL inside any long step, and inside a long step of the recovery: the volume is as before or as after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from lvmqcow.lvm.commands import LvmShell
from lvmqcow.operations import Remove
from lvmqcow.qemu.img import QemuImg
from lvmqcow.real_host import RealHost
from lvmqcow.system.requirements import find_tool
from lvmqcow.testing.cases.expected import changed
from lvmqcow.testing.cases.kill_rows import ROWS, SECRET
from lvmqcow.testing.cases.scenarios import FILES
from lvmqcow.testing.cases.starts import Starts, group_name, starts
from lvmqcow.testing.conformance.implementation import OURS, Implementation
from lvmqcow.testing.conformance.suite import Came, Place, Suite, Surroundings, Trial
from lvmqcow.testing.conformance.violation import require
from lvmqcow.testing.content import BLOCK_BYTES
from lvmqcow.testing.crash.crash_points import CrashPoint
from lvmqcow.testing.crash.kill_run import Mortal, Sigkills
from lvmqcow.testing.crash.kills import Killer
from lvmqcow.testing.crash.oracle import Judge
from lvmqcow.testing.real_group import needs_real_groups
from lvmqcow.testing.suites.cuts import kind_name
from lvmqcow.testing.suites.real_cuts import GROUP_BYTES

__all__ = ["KILLS", "kill_inside", "mortal_group"]

_KILLS: Final = 6
"""Of one trial."""


def kill_inside(
    real: Starts, mortal: Mortal, operation: str, kills: int, random: Random, implementation: Implementation = OURS
) -> Came:
    """Kill inside the long steps of one operation so many times, and judge what recovery makes of each.

    Raises:
        AssertionError: something is lost, left over or unfinished.
        LvmqcowError: recovery itself fails.
    """
    start, asked = ROWS[operation]
    simulated = start()
    real.build(simulated.history)
    storage = implementation.storage(real.world.host)
    plan = storage.plan(real.request(asked))
    judge = Judge(real, simulated, asked)

    def verdict(place: CrashPoint, digests: Mapping[str, bytes]) -> None:
        if not implementation.is_ours:
            judge.either(place, digests)
            return
        judge(place, digests)
        if isinstance(asked, Remove) and place.done >= plan.commit_point:
            on_disk = real.checkpoints.take().chunks.values()
            wiped = not any(bytes([SECRET]) * BLOCK_BYTES in chunk for chunk in on_disk)
            require(wiped, f"{place.path}: the disk still holds what was removed", "zeros", "the old bytes")

    done = Sigkills(mortal, partial(storage.plan_recovery, changed(asked).text), verdict).of(plan, kills, random)
    came = Came()
    came.counts.update({f"kills inside {kind}": count for kind, count in done.items()})
    came.counts["kills"] = done.total()
    came.add(kind_name(asked), KILLS.disturbance, count=done.total())
    return came


@contextmanager
def mortal_group(real: Starts, directory: Path) -> Iterator[Mortal]:
    """Yield the same volume group, with tools that can be killed."""
    killer = Killer(directory)
    with killer.ahead():
        watched = RealHost(real.world.host.vg, LvmShell(), QemuImg())
    with closing(watched):
        yield Mortal(real.world.host, watched, killer, real.checkpoints)


def _needs() -> str | None:
    return needs_real_groups() or (None if find_tool("strace") else "strace is missing (`apt-get install strace`)")


def _trials(random: Random) -> Iterator[str]:
    rows: Sequence[str] = list(ROWS)
    while True:
        yield from random.sample(rows, len(rows))


@contextmanager
def _opened(surroundings: Surroundings) -> Iterator[Trial]:
    stand_ins = surroundings.directory / "stand-ins"
    stand_ins.mkdir()
    random = Random(f"{surroundings.seed} kills")
    with (
        starts(group_name("kills"), surroundings.directory, FILES, GROUP_BYTES) as real,
        mortal_group(real, stand_ins) as mortal,
    ):
        yield lambda row: kill_inside(real, mortal, row, _KILLS, random, surroundings.implementation)


KILLS: Final = Suite(
    "kills",
    "the tool of a long step is killed inside it, and again inside the recovery",
    Place.REAL,
    "killed inside a step",
    _needs,
    _trials,
    _opened,
    lambda row: kind_name(ROWS[row][1]),
)
