"""A verdict as JSON: for programs, and to pass it from one process to another.

``verdict.schema.json`` beside this module is the schema. docs/reference/verdict.md describes the fields.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from lvmqcow.testing.conformance.verdict import Finding, Json, Layer, Outcome, SuiteResult, Tried, Verdict

__all__ = ["FORMAT", "SCHEMA", "document", "merged", "read_json", "write_json"]

FORMAT: Final = 1
"""The version of the format. It grows when a field is taken away or changes its meaning."""

SCHEMA: Final = Path(__file__).with_name("verdict.schema.json")
"""The JSON Schema of the format."""


def document(verdict: Verdict) -> dict[str, Json]:
    """Return a verdict as a JSON object."""
    suites: list[Json] = [
        {**_plain(suite), "status": suite.status.value, "tried": list(map(_plain, suite.tried))}
        for suite in verdict.suites
    ]
    head: dict[str, Json] = {"format": FORMAT, "status": verdict.status.value, "exit_status": verdict.exit_status}
    return {**head, **_plain(verdict), "suites": suites}


def write_json(verdict: Verdict, path: Path) -> None:
    """Write a verdict to a file."""
    path.write_text(json.dumps(document(verdict), indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> Verdict:
    """Return the verdict of a file that `write_json`, or a process of a verification, wrote."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    fields = {name: value for name, value in found.items() if name not in ("format", "status", "exit_status")}
    return Verdict(**{**fields, "suites": tuple(_suite(each) for each in found["suites"])})


def merged(verdicts: Sequence[Verdict]) -> Verdict:
    """Return one verdict of several that were found side by side: by processes, and in several places."""
    suites: dict[str, SuiteResult] = {}
    for verdict in verdicts:
        for suite in verdict.suites:
            name = suite.name
            suites[name] = _added(suites[name], suite) if name in suites else suite
    return replace(
        verdicts[0],
        place=" and ".join(sorted({verdict.place for verdict in verdicts})),
        seconds=max(verdict.seconds for verdict in verdicts),
        versions=_versions(verdicts),
        suites=tuple(suites.values()),
    )


def _versions(verdicts: Sequence[Verdict]) -> Mapping[str, str]:
    """Return the versions of all. What only some of them used is what those say."""
    found: dict[str, str] = {}
    for verdict in verdicts:
        for name, text in verdict.versions.items():
            if found.get(name) in (None, "not used"):
                found[name] = text
    return found


def _added(one: SuiteResult, other: SuiteResult) -> SuiteResult:
    cells = Counter[tuple[str, str, Outcome]]()
    for cell in (*one.tried, *other.tried):
        cells[cell.operation, cell.disturbance, cell.outcome] += cell.count
    return replace(
        one,
        seconds=max(one.seconds, other.seconds),
        why_not=one.why_not if one.why_not and other.why_not else None,
        counts=dict(sorted((Counter(one.counts) + Counter(other.counts)).items())),
        tried=tuple(Tried(*cell, count) for cell, count in sorted(cells.items())),
        findings=(*one.findings, *other.findings),
    )


def _plain(value: Verdict | SuiteResult | Tried) -> dict[str, Json]:
    """Return the fields as JSON has them: tuples are lists."""
    plain: dict[str, Json] = json.loads(json.dumps(asdict(value)))
    return plain


def _suite(found: Mapping[str, Any]) -> SuiteResult:
    fields = {name: value for name, value in found.items() if name != "status"}
    cells = (
        Tried(each["operation"], each["disturbance"], Outcome(each["outcome"]), each["count"])
        for each in found["tried"]
    )
    return SuiteResult(
        **{**fields, "tried": tuple(cells), "findings": tuple(_finding(each) for each in found["findings"])}
    )


def _finding(found: Mapping[str, Any]) -> Finding:
    return Finding(
        **{
            **found,
            "trace": tuple(found["trace"]),
            "commands": tuple(found["commands"]),
            "before": tuple(Layer(**each) for each in found["before"]),
            "after": tuple(Layer(**each) for each in found["after"]),
        }
    )
