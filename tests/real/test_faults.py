"""I/O errors of the disk in every step of every operation: no operation reports success, and no data is lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import get_args

import pytest

from lvmqcow.cli import main
from lvmqcow.core.names import device_path
from lvmqcow.errors import OperationCut, VolumeGroupNotFound
from lvmqcow.lvm.commands import LvmShell
from lvmqcow.qemu.img import QemuImg
from lvmqcow.real_host import RealHost
from lvmqcow.steps import (
    DataStep,
    DeviceStep,
    LvmStep,
    QcowRebase,
    QcowRepairLeaks,
    Step,
)
from lvmqcow.testing.cases.expected import changed
from lvmqcow.testing.cases.operation_table import ELSEWHERE, OPERATIONS
from lvmqcow.testing.cases.scenarios import DISK, FILES, planned, run, storage
from lvmqcow.testing.cases.starts import Starts, breakable_starts, group_name
from lvmqcow.testing.crash.io_error_run import Faulted, Outcome, Trial
from lvmqcow.testing.crash.io_errors import Disk, Fault
from lvmqcow.testing.suites.real_cuts import GROUP_BYTES
from lvmqcow.testing.suites.real_faults import fail_the_disk, faults_with_every_trait

pytestmark = pytest.mark.lvmqcow_real

ALL = os.environ.get("LVMQCOW_FAULTS") == "all"


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Starts, Disk]]:
    """A volume group in any state of a simulated one, on a disk that fails on request."""
    with breakable_starts(group_name("faults"), tmp_path_factory.mktemp("faults"), FILES, GROUP_BYTES) as made:
        yield made


TRIED = dict.fromkeys(OPERATIONS) if ALL else faults_with_every_trait()


@pytest.mark.parametrize("operation", TRIED)
def test_operation_fails_on_an_io_error_and_recovery_restores_volume(
    breakable: tuple[Starts, Disk], operation: str, record_property: Callable[[str, object], None]
) -> None:
    came = fail_the_disk(*breakable, operation, TRIED[operation])
    for what, number in came.counts.items():
        record_property(what, number)
    assert came.counts


IN_RECOVERY = [
    "delete 1 of 1 by pull, active",
    "delete 1 of 1 by push, to zero, inactive",
    "rollback to 1 of 2, discard newer, active",
    "flatten over 0, of a snapshot, active",
]


def longest_recovery(operation: str) -> int:
    """The number of steps after which a cut has the longest recovery."""
    start, request = OPERATIONS[operation]
    host = start()
    steps = planned(host, request).steps

    def left(done: int) -> int:
        return len(storage(run(host, *steps[:done])).plan_recovery(changed(request).text).steps)

    return max(range(len(steps)), key=left)


@pytest.mark.parametrize("operation", OPERATIONS if ALL else IN_RECOVERY)
def test_recovery_fails_on_an_io_error_and_the_next_one_succeeds(
    breakable: tuple[Starts, Disk], operation: str, record_property: Callable[[str, object], None]
) -> None:
    real, disk = breakable
    came = Counter(Faulted(real, disk, *OPERATIONS[operation]).outcomes_in_recovery(longest_recovery(operation)))
    assert came[Outcome.RAISED] or ALL
    for outcome, number in came.items():
        record_property(f"faults in recovery, {outcome}", number)


@contextmanager
def qemu_img_with(cache: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A qemu-img for new hosts that replaces the requested cache mode by another."""
    script = directory / "qemu-img"
    script.write_text(f'#!/bin/bash\nexec {shutil.which("qemu-img")} "${{@/#directsync/{cache}}}"\n')
    script.chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", f"{directory}:{os.environ['PATH']}")
        yield


@pytest.mark.parametrize("cache", ["none", "writeback", "directsync"])
def test_rebase_reports_a_failed_last_write_only_with_directsync(
    breakable: tuple[Starts, Disk], cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, disk = breakable
    with qemu_img_with(cache, tmp_path, monkeypatch):
        host = RealHost(real.world.host.vg, LvmShell(), QemuImg())
    with closing(host):
        faulted = Faulted(real, disk, *OPERATIONS["delete 2 of 2 by pull, active"], host)
        trials = [t for t in faulted.trials() if isinstance(t.step, QcowRebase) and t.place and t.written]
        assert len(trials) >= 2
        assert ("it says that it succeeded" in map_errors(faulted, trials)) == (cache != "directsync")


def map_errors(faulted: Faulted, trials: list[Trial]) -> str:
    """The problems found in these trials."""
    said = []
    for trial in trials:
        try:
            faulted.outcome(trial)
        except AssertionError as error:
            said.append(str(error))
    return "\n".join(said)


@pytest.mark.parametrize(
    "operation",
    [
        "snapshot over 1, inactive",
        "delete 1 of 1 by push, to zero, active",
        "convert to raw, to zero, active",
        "rename with 1, active",
    ],
)
def test_killed_lvm_shell_loses_nothing(
    breakable: tuple[Starts, Disk], operation: str, record_property: Callable[[str, object], None]
) -> None:
    real, disk = breakable
    start, request = OPERATIONS[operation]
    real.world.host.close()
    known = lvm_shells()
    faulted, chance = Faulted(real, disk, start, request), random.Random(operation)
    came = Counter[str]()
    for position, step in enumerate(planned(start(), request).steps):
        if not isinstance(step, LvmStep):
            continue
        delay_seconds = chance.uniform(0, 0.03)
        killing = Killing(position, delay_seconds, known)
        what = f"lvm killed {1000 * delay_seconds:.0f} ms after the begin of {type(step).__name__} ({position + 1})"
        result = faulted.came_of(killing)
        killing.timer.join()
        if isinstance(result, OperationCut):
            assert result.done >= position, f"{what}: {result}"
            assert "died" in str(result), f"{what}: {result}"
            faulted.require_recovery(what, result.done, or_one_more=True)
        else:
            faulted.require_done(what, result)
        came["cut" if isinstance(result, OperationCut) else "too late"] += 1
    assert came["cut"]
    for how, number in came.items():
        record_property(f"lvm shells killed, {how}", number)


class Killing:
    """Kill the newest lvm shell (not a ``known`` one), some time after a step began."""

    def __init__(self, position: int, delay_seconds: float, known: set[int]) -> None:
        self.timer = threading.Timer(delay_seconds, self._kill)
        self._position = position
        self._known = known
        self._begun = 0

    def __call__(self, step: Step) -> None:
        if self._begun == self._position:
            self.timer.start()
        self._begun += 1

    def _kill(self) -> None:
        for shell in lvm_shells() - self._known:
            os.kill(shell, signal.SIGKILL)


@pytest.mark.parametrize("lvm", ["shell", "process"])
def test_unreadable_disk_is_reported_and_nothing_is_lost(
    breakable: tuple[Starts, Disk], lvm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    real, disk = breakable
    start, request = OPERATIONS["snapshot over 1, active"]
    real.build(start().history)
    vg, before = real.world.host.vg, real.checkpoints.take().key
    asked = [("list", vg), ("check", vg), ("check", "--activate", vg), ("recover", vg), ("info", f"{vg}/{DISK}")]
    asked += [
        ("recover", f"{vg}/{DISK}"),
        ("snapshot", f"{vg}/{DISK}", "s7"),
        ("create", f"{vg}/{ELSEWHERE}", "--size", "4M"),
    ]
    with disk.whole_again():
        disk.fail(Fault.READ)
        for argv in asked:
            assert main((*argv, "--lvm", lvm)) == 10, argv
            said = capsys.readouterr()
            assert said.out == ""
            assert vg in said.err
        with pytest.raises(VolumeGroupNotFound):
            real.world.storage.apply(request)
    assert real.checkpoints.take().key == before
    assert main(("check", vg, "--lvm", lvm)) == 0
    real.world.storage.apply(request)
    assert real.world.storage.check() == ()


@pytest.mark.parametrize(
    "operation",
    [
        "create vm-100-disk-0.qcow2",
        "create vm-100-disk-2",
        "import a stream as vm-100-disk-0.qcow2",
        "snapshot over 1, active",
        "delete 1 of 1 by pull, active",
        "delete 1 of 1 by push, active",
        "resize over 1, active",
        "remove with 0, to zero, active",
    ],
)
def test_vanished_device_is_an_error_and_no_file_replaces_it(breakable: tuple[Starts, Disk], operation: str) -> None:
    real, disk = breakable
    start, request = OPERATIONS[operation]
    vg, faulted = real.world.host.vg, Faulted(real, disk, start, request)
    for position, step in enumerate(planned(start(), request).steps):
        if isinstance(step, LvmStep | DeviceStep):
            continue
        path = Path(device_path(vg, step.lv))
        begun = count()

        def vanish(step: Step, path: Path = path, begun: Iterator[int] = begun, position: int = position) -> None:
            if next(begun) == position:
                path.unlink()

        came = faulted.came_of(vanish)
        made = path.exists()
        path.unlink(missing_ok=True)
        subprocess.run(("vgmknodes", vg), check=True, capture_output=True)
        assert not made, f"{path} was made by {type(step).__name__}"
        assert isinstance(came, OperationCut), f"{type(step).__name__}: it says that it succeeded"
        faulted.require_recovery(f"{type(step).__name__} without its device", came.done)


def lvm_shells() -> set[int]:
    """The lvm processes that are children of this process."""
    children = {int(child) for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
    return {child for child in children if Path(f"/proc/{child}/comm").read_text() == "lvm\n"}


def test_selected_faults_cover_every_step_with_both_faults() -> None:
    """Otherwise the tests above could become empty."""
    tried = set()
    for operation, chosen in TRIED.items():
        start, request = OPERATIONS[operation]
        steps = planned(start(), request).steps
        tried |= {
            (type(step), fault)
            for done, step in enumerate(steps)
            for fault in Fault
            if not chosen or (done, fault) in chosen
        }
    assert {step for step, _ in tried} >= {*get_args(LvmStep), *get_args(DataStep)} - {QcowRepairLeaks}
    assert {step for step, fault in tried if fault is Fault.WRITE} == {
        step for step, fault in tried if fault is Fault.READ
    }
