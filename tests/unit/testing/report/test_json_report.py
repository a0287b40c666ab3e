"""A verdict as JSON has the documented fields, and nothing of it is lost on the way."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from lvmqcow.testing.conformance.suite import Budget, Surroundings, run_suite
from lvmqcow.testing.conformance.verdict import Finding, Layer, Status, SuiteResult, Tried, Verdict
from lvmqcow.testing.report.json_report import SCHEMA, document, merged, read_json, write_json
from lvmqcow.testing.specimens.registry import specimen
from lvmqcow.testing.suites.sequences import SEQUENCES
from tests.support.verdicts import EMPTY, FAILS, HOLDS, LOST

VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text()))
ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("verdict", [HOLDS, FAILS, EMPTY], ids=["holds", "fails", "empty"])
def test_json_follows_the_schema_and_reads_back_as_the_same_verdict(verdict: Verdict, tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    write_json(verdict, path)
    VALIDATOR.validate(json.loads(path.read_text()))
    assert read_json(path) == verdict


def test_json_of_a_real_finding_follows_the_schema(tmp_path: Path) -> None:
    subject = specimen("remove-ignores-snapshots").implementation
    result = run_suite(SEQUENCES, Surroundings(tmp_path, implementation=subject), Budget(60), only="4")
    assert result.status is Status.FAILED
    VALIDATOR.validate(document(replace(HOLDS, suites=(result,))))


def test_schema_has_every_field_of_every_class_and_no_other() -> None:
    schema = json.loads(SCHEMA.read_text())
    named = {SuiteResult: "suite", Tried: "tried", Finding: "finding", Layer: "layer"}
    for cls, name in named.items():
        extra = {"status"} if cls is SuiteResult else set()
        assert set(schema["$defs"][name]["properties"]) == {field.name for field in fields(cls)} | extra
    assert set(schema["properties"]) == {field.name for field in fields(Verdict)} | {"format", "status", "exit_status"}


def test_page_describes_every_field_of_the_schema() -> None:
    schema = json.loads(SCHEMA.read_text())
    page = (ROOT / "docs" / "reference" / "verdict.md").read_text()
    described = set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE))
    assert described == set(schema["properties"]).union(*(each["properties"] for each in schema["$defs"].values()))


@given(st.text())
def test_any_text_of_a_finding_survives(text: str) -> None:
    verdict = replace(HOLDS, suites=(replace(HOLDS.suites[0], findings=(replace(LOST, found=text),)),))
    assert json.loads(json.dumps(document(verdict)))["suites"][0]["findings"][0]["found"] == text


def test_merged_verdicts_add_up_and_keep_every_finding() -> None:
    both = merged([HOLDS, FAILS])
    (sequences, power, kills) = both.suites
    assert sequences.counts["operations"] == 2 * HOLDS.suites[0].counts["operations"]
    assert sum(cell.count for cell in sequences.tried) == 2 * 448 + 1
    assert sequences.findings == FAILS.suites[0].findings
    assert both.exit_status == 1
    assert power.status is kills.status is Status.NOT_PROVED


@pytest.mark.parametrize(
    ("verdict", "status"), [(HOLDS, 0), (FAILS, 1), (EMPTY, 16)], ids=["holds", "fails", "nothing ran"]
)
def test_exit_status_says_held_lost_or_unfit(verdict: Verdict, status: int) -> None:
    assert verdict.exit_status == status
