"""The judge of drivers: our command line holds, and what the RFC patch does wrong is found without its help."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import lvmqcow
from lvmqcow.testing.conformance.suite import Budget, Surroundings, run_suite
from lvmqcow.testing.conformance.verdict import SuiteResult
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
