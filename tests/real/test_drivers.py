"""The judge of drivers: our command line holds, and what the RFC patch does wrong is found without its help."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import lvmqcow
from lvmqcow.testing.conformance.suite import Budget, Surroundings, run_suite
from lvmqcow.testing.conformance.verdict import SuiteResult
from lvmqcow.testing.drivers.client import DriverDied, DriverProcess
from lvmqcow.testing.drivers.shims import At, Shims
from lvmqcow.testing.drivers.suites import driver_suites

pytestmark = pytest.mark.lvmqcow_real

SHIPPED = Path(lvmqcow.__file__).parent / "testing" / "drivers" / "shipped"
OURS = shlex.join((sys.executable, "-P", "-m", "lvmqcow.testing.drivers.shipped.lvmqcow_cli"))


def judged(command: str, scenario: str, directory: Path) -> SuiteResult:
    scenarios, *_ = driver_suites(command)
    return run_suite(scenarios, Surroundings(directory), Budget(0), only=scenario)


def test_our_command_line_holds_as_a_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(lvmqcow.__file__).parents[1]))
    result = judged(OURS, "snapshot over 0", tmp_path)
    assert result.findings == ()
    assert result.counts["places"] == 4
    record_property("drivers: commands disturbed", result.counts["places"])


WORKING = """while read -r line; do
    {session} dd if=/dev/null of={directory}/first 2>/dev/null
    {session} dd if=/dev/null of={directory}/second 2>/dev/null
    echo went on >{directory}/after
    echo '{{"ok": true}}'
done"""


@pytest.mark.parametrize("session", ["", "setsid -w"], ids=["in its session", "in sessions of their own"])
@pytest.mark.parametrize(
    ("number", "act", "ran"),
    [
        (1, At.BEFORE, set()),
        (1, At.AFTER, {"first"}),
        (2, At.BEFORE, {"first"}),
        (2, At.AFTER, {"first", "second"}),
        (3, At.BEFORE, {"first", "second", "after"}),
    ],
)
def test_driver_dies_with_all_of_its_children_at_the_chosen_command(
    number: int, act: At, ran: set[str], session: str, tmp_path: Path
) -> None:
    state, files = tmp_path / "shims", tmp_path / "files"
    state.mkdir()
    files.mkdir()
    shims = Shims.made(state)
    shims.choose(number, act)
    script = WORKING.format(session=session, directory=files)
    with closing(DriverProcess(shims.covered(("sh", "-c", script)), "vg0", tmp_path / "stderr")) as driver:
        if "after" in ran:
            driver.ask({"op": "hello"})
        else:
            with pytest.raises(DriverDied):
                driver.ask({"op": "hello"})
    assert {path.name for path in files.iterdir()} == ran, (tmp_path / "stderr").read_text()
    assert len(shims.commands()) == min(number, 2)


@pytest.mark.parametrize(
    ("driver", "scenario", "shows"),
    [
        ("rfc.sh", "create", "holds something else"),
        ("rfc.sh", "create a large volume", "No space left"),
        ("rfc.sh", "delete of an inactive volume", ""),
    ],
)
def test_defects_of_a_driver_are_found_without_its_help(driver: str, scenario: str, shows: str, tmp_path: Path) -> None:
    result = judged(f"sh {shlex.quote(str(SHIPPED / driver))}", scenario, tmp_path)
    assert result.findings
    assert any(shows in finding.what for finding in result.findings), result.findings
