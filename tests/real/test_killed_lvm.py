"""SIGKILL inside an LVM command, before every call that changes a disk, a device or a name in /dev.

Recovery leaves no stray device and no stray name in /dev. The volume is as before the operation or as after it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial

import pytest

from lvmqcow.checks.structure import Severity
from lvmqcow.core.names import VolumeName
from lvmqcow.engine.host import Host
from lvmqcow.lvm.commands import LvmProcesses
from lvmqcow.qemu.img import QemuImg
from lvmqcow.real_host import RealHost
from lvmqcow.steps import LvmStep, LvRefresh, Step
from lvmqcow.testing.cases.expected import changed
from lvmqcow.testing.cases.operation_table import OPERATIONS
from lvmqcow.testing.cases.scenarios import FILES, MIB, planned, run
from lvmqcow.testing.cases.starts import Starts, starts
from lvmqcow.testing.crash.checkpoints import Checkpoint
from lvmqcow.testing.crash.crash_points import CrashPoint
from lvmqcow.testing.crash.kills import Call, Killer
from lvmqcow.testing.crash.oracle import Judge
from lvmqcow.testing.simulated.host import SimHost

pytestmark = pytest.mark.lvmqcow_real


def trait(host: SimHost, step: Step) -> str:
    """The cases that lvm2 handles differently: active LVs have devices, and several LVs are changed in turn."""
    lvs = getattr(step, "lvs", ()) or (getattr(step, "lv", ""),)
    active = any(lv.active for name in lvs if (lv := host.observe().lv(name)))
    words = (type(step).__name__, *(["several"] if len(lvs) > 1 else []), "active" if active else "inactive")
    return ", ".join(words)


def first_of_each() -> dict[str, tuple[str, int]]:
    """For every trait, an operation and the number of steps before the step with the trait."""
    found: dict[str, tuple[str, int]] = {}
    for operation, (start, request) in OPERATIONS.items():
        host = start()
        for done, step in enumerate(planned(host, request).steps):
            if isinstance(step, LvmStep):
                found.setdefault(trait(host, step), (operation, done))
            host = run(host, step)
    return found


ROWS = first_of_each()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starts]:
    name = f"killed-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}"
    with starts(name, tmp_path_factory.mktemp("killed"), FILES, 768 * MIB) as made:
        yield made


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Killer:
    return Killer(tmp_path_factory.mktemp("lvm"), ("lvm",))


@pytest.fixture(scope="module")
def watched(real: Starts, killer: Killer) -> Iterator[Host]:
    """The same volume group, with LVM commands that can be killed."""
    with ExitStack() as opened:
        with killer.ahead():
            lvm = LvmProcesses()
        lvm.physical_volumes = tuple(row["pv_name"] for row in LvmProcesses().report(("pvs", "-o", "pv_name"))["pv"])
        yield opened.enter_context(closing(RealHost(real.world.host.vg, lvm, QemuImg())))


class Killing:
    """One step of one operation, which is killed at any call and judged."""

    def __init__(self, real: Starts, killer: Killer, watched: Host, operation: str, done: int) -> None:
        start, self._request = OPERATIONS[operation]
        simulated = start()
        self._real, self._killer, self._watched, self._done = real, killer, watched, done
        self._judge = Judge(real, simulated, self._request)
        real.build(simulated.history)
        plan = real.world.storage.plan(real.request(self._request))
        for step in plan.steps[:done]:
            real.world.host.run(step)
        self._plan, self._step = plan, plan.steps[done]
        self._before: Checkpoint = real.checkpoints.take()

    @property
    def names(self) -> list[VolumeName]:
        """Every volume that the request names. The one that it changes comes first."""
        first = changed(self._request)
        named = {value for value in vars(self._request).values() if isinstance(value, VolumeName)}
        return [first, *sorted(named - {first})]

    def calls(self) -> tuple[Call, ...]:
        """The calls before which the command is killed: each call that changes something."""
        self._real.checkpoints.put_back(self._before)
        return self._killer.watch(partial(self._watched.run, self._step)).every

    def kill(self, call: Call) -> str:
        """Kill the command before this call. Return a description for messages."""
        self._real.checkpoints.put_back(self._before)
        what = f"{self._plan.operation}, {type(self._step).__name__} (step {self._done + 1}) killed {call}"
        assert self._killer.kill(call, partial(self._watched.run, self._step)), f"{what}: it ended before"
        return what

    def require_recovery(self, what: str) -> None:
        """Check names the problem before the recovery, and one recovery repairs everything."""
        world = self._real.world
        left, found = world.leftovers(), world.storage.check()
        named = {finding.severity for finding in found}
        assert Severity.UNFINISHED in named or not left, f"{what}: nothing names {left}; check says {found}"
        assert Severity.DAMAGED not in named, f"{what}: {found}"
        for name in self.names:
            world.storage.recover(name.text)
        assert world.leftovers() == (), what
        digests = self._real.checkpoints.take().digests
        try:
            self._judge(CrashPoint(self._done, what), digests)
        except AssertionError:
            if self._done + 1 != self._plan.commit_point:
                raise
            self._judge(CrashPoint(self._done + 1, f"{what}, after LVM's commit"), digests)

    def first_recovery(self) -> tuple[Step, ...]:
        return self._real.world.storage.plan_recovery(self.names[0].text).steps

    def calls_of(self, step: Step) -> tuple[Call, ...]:
        return self._killer.watch(partial(self._watched.run, step)).every

    def kill_in_recovery(self, step: Step, call: Call) -> None:
        assert self._killer.kill(call, partial(self._watched.run, step)), f"{step} ended before {call}"


@pytest.mark.parametrize("row", ROWS)
def test_recovery_repairs_an_lvm_command_killed_at_any_call(
    real: Starts, killer: Killer, watched: Host, row: str, record_property: Callable[[str, object], None]
) -> None:
    killing = Killing(real, killer, watched, *ROWS[row])
    calls = killing.calls()
    assert calls, f"{row}: it changes nothing"
    for call in calls:
        killing.require_recovery(killing.kill(call))
    record_property("lvm killed before a call", len(calls))


def test_recovery_repairs_a_recovery_killed_at_any_call(
    real: Starts, killer: Killer, watched: Host, record_property: Callable[[str, object], None]
) -> None:
    killing = Killing(real, killer, watched, *ROWS["LvRename, active"])
    (cut,) = [
        call for call in killing.calls() if call.name == "rename"
    ]  # the device has the new name, /dev still the old one
    killing.kill(cut)
    (refresh,) = [step for step in killing.first_recovery() if isinstance(step, LvRefresh)]
    calls = killing.calls_of(refresh)
    assert calls
    killing.require_recovery("not killed")
    for call in calls:
        what = killing.kill(cut)
        killing.kill_in_recovery(refresh, call)
        killing.require_recovery(f"{what}; {refresh} killed {call}")
    record_property("lvm killed before a call, in recovery", len(calls))


def test_rows_cover_every_lvm_step() -> None:
    kinds = {row.partition(",")[0] for row in ROWS}
    used = {type(step).__name__ for start, request in OPERATIONS.values() for step in planned(start(), request).steps}
    assert kinds == {kind for kind in used if kind.startswith("Lv")} - {"LvZero", "LvZeroRange", "LvDiscardRange"}
    assert "LvRename, active" in ROWS
