"""Every specimen is found by every suite that must find it, and the list of them is up to date."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lvmqcow.testing.conformance.suite import Place
from lvmqcow.testing.specimens.hunt import hunt
from lvmqcow.testing.specimens.page import row
from lvmqcow.testing.specimens.registry import SPECIMENS
from lvmqcow.testing.specimens.specimen import Specimen
from lvmqcow.testing.suites.registry import chosen

ROOT = Path(__file__).parents[2]
PAGE, TRACES = ROOT / "docs" / "reference" / "specimens.md", ROOT / "fixtures" / "traces"
ROWS = PAGE.read_text().splitlines(keepends=True)
BUDGET_SECONDS = 600.0
"""More than any needs, on any machine: a hunt ends when the specimen is found."""


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.name)
def test_suites_find_the_specimen_as_the_page_says(specimen: Specimen, tmp_path: Path) -> None:
    for hunted in hunt(specimen, tmp_path, BUDGET_SECONDS):
        assert hunted.result.findings, f"{hunted.suite} does not find {specimen.name}"
        assert row(hunted) in ROWS
        trace = hunted.result.findings[0].trace
        if trace:
            kept = (TRACES / f"{specimen.name}.jsonl").read_text().splitlines()
            assert [json.loads(line) for line in kept] == list(trace)


def test_page_lists_every_specimen_and_no_other() -> None:
    listed = {line.split("`")[1] for line in ROWS if line.startswith("| `")}
    assert listed == {specimen.name for specimen in SPECIMENS}


def test_every_simulated_suite_must_find_a_specimen() -> None:
    hunting = {name for specimen in SPECIMENS for name in specimen.suites}
    assert hunting == {suite.name for suite in chosen((), Place.SIMULATED)}
