"""After a failed first step, lvmqcow looks whether anything has changed, and does not guess."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from lvmqcow.cli.main import exit_status
from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import StrayKind
from lvmqcow.core.wiping import Wipe
from lvmqcow.errors import (
    CommandFailed,
    Interrupted,
    LvmqcowError,
    NoSpace,
    NothingChanged,
    OperationCut,
    UnfitMachine,
    VolumeGroupNotFound,
)
from lvmqcow.operations import Create, Deactivate, Remove, Request, Snapshot
from lvmqcow.steps import LvTag, Step
from lvmqcow.system.callbacks import Progress
from lvmqcow.testing.cases.scenarios import DISK, MIB, chain, planned, run, storage
from lvmqcow.testing.simulated.host import SimHost

CREATE = Create(DISK, 4 * MIB)
SNAPSHOT = Snapshot(DISK, "s9")


class Broken(SimHost):
    """A volume group whose next step does ``damage`` and fails with ``error``."""

    error: BaseException = CommandFailed(("lvcreate",), 5, "the machine is on fire")
    fails = True

    def run(self, step: Step, progress: Progress | None = None) -> None:
        if self.fails:
            self.damage(step)
            self.fails = False
            raise self.error
        super().run(step, progress)

    def damage(self, step: Step) -> None:
        pass


class Done(Broken):
    """The step does all its work and fails afterwards."""

    def damage(self, step: Step) -> None:
        SimHost.run(self, step)


class StrayLeft(Broken):
    def damage(self, step: Step) -> None:
        self.stray("vm-1-disk-0", StrayKind.NODE)


class Blind(Broken):
    """The volume group cannot be read after the failure."""

    blind: BaseException = CommandFailed(("lvs",), 5, "it fails as well")

    def observe(self) -> VolumeGroup:
        if not self.fails:
            raise self.blind
        return super().observe()


def cut(start: SimHost, kind: type[Broken], request: Request, error: BaseException = Broken.error) -> OperationCut:
    """The error of the operation on a volume group that fails in this way."""
    host = kind()
    host.__dict__.update(start.__dict__)
    host.error = error
    with pytest.raises(OperationCut) as raised:
        storage(host).apply(request)
    return raised.value


@pytest.mark.parametrize(
    ("start", "request_"),
    [
        (SimHost, CREATE),
        (lambda: chain(1), SNAPSHOT),
        (lambda: chain(1), Remove(DISK)),
        (lambda: chain(1), Deactivate(DISK)),
    ],
    ids=["create", "snapshot", "remove", "deactivate"],
)
@pytest.mark.parametrize(
    "error",
    [Broken.error, NoSpace("sim", 2, 1), UnfitMachine("no memory", "free some"), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
def test_error_says_that_nothing_was_changed(
    start: Callable[[], SimHost], request_: Request, error: BaseException
) -> None:
    raised = cut(start(), Broken, request_, error)
    assert isinstance(raised, NothingChanged)
    assert "Nothing was changed" in str(raised)
    assert "recover" not in str(raised)
    cause = Interrupted if isinstance(error, KeyboardInterrupt) else type(error)
    assert isinstance(raised.cause, cause)
    assert issubclass(cause, LvmqcowError)
    assert exit_status(raised) == cause.exit_status


@pytest.mark.parametrize("kind", [Done, StrayLeft, Blind])
@pytest.mark.parametrize("request_", [CREATE, SNAPSHOT], ids=["create", "snapshot"])
def test_failed_first_step_with_changes_is_a_cut_to_recover(kind: type[Broken], request_: Request) -> None:
    raised = cut(SimHost() if request_ is CREATE else chain(1), kind, request_)
    assert not isinstance(raised, NothingChanged)
    assert "lvmqcow recover" in str(raised)
    assert (raised.done, raised.outcome) == (0, "undoes")


@pytest.mark.parametrize("blind", [KeyboardInterrupt(), VolumeGroupNotFound("sim"), UnfitMachine("no memory", "")])
def test_failed_look_after_the_first_step_makes_it_a_cut(blind: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Blind, "blind", blind)
    assert not isinstance(cut(SimHost(), Blind, CREATE), NothingChanged)


def test_failed_first_step_that_writes_data_is_a_cut() -> None:
    """The tags are written already, so the wipe is the first step of the recovery."""
    request = Remove(DISK, Wipe.ZERO)
    start = chain(1)
    steps = planned(start, request).steps
    wiping = next(number for number, step in enumerate(steps) if not isinstance(step, LvTag))
    host = Broken()
    host.__dict__.update(run(start, *steps[:wiping]).__dict__)
    with pytest.raises(OperationCut) as raised:
        storage(host).recover(DISK.text)
    assert not isinstance(raised.value, NothingChanged)


def test_recovery_that_fails_at_its_first_step_is_a_cut() -> None:
    start = chain(1)
    host = Broken()
    host.__dict__.update(run(start, *planned(start, SNAPSHOT).steps[:2]).__dict__)
    with pytest.raises(OperationCut, match="lvmqcow recover") as raised:
        storage(host).recover(DISK.text)
    assert not isinstance(raised.value, NothingChanged)


class Unfit(SimHost):
    """A machine that can run only steps that change tags."""

    def require_fit(self, steps: Sequence[Step]) -> None:
        if any(not isinstance(step, LvTag) for step in steps):
            raise UnfitMachine("no device-mapper", "`lvmqcow lab run`")

    def run(self, step: Step, progress: Progress | None = None) -> None:
        raise AssertionError(f"{step} was run")


def test_unfit_machine_runs_no_step_of_the_plan() -> None:
    host = Unfit()
    host.__dict__.update(chain(1).__dict__)
    opened = storage(host)
    with pytest.raises(UnfitMachine, match="lvmqcow lab run"):
        opened.apply(SNAPSHOT)
    assert opened.plan(SNAPSHOT).steps
    assert opened.volume(DISK.text).info().snapshots == ("s1",)
    assert opened.check() == ()


def test_check_on_an_unfit_machine_does_not_activate() -> None:
    host = Unfit()
    start = chain(1)
    start.reboot()
    host.__dict__.update(start.__dict__)
    with pytest.raises(UnfitMachine):
        storage(host).check_activating()
    assert {finding.severity.value for finding in storage(host).check()} == {"unchecked"}
