"""A verdict for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from lvmqcow.testing.conformance.verdict import Finding, Status, SuiteResult, Verdict

__all__ = ["headline", "text", "title_of"]


def headline(verdict: Verdict) -> str:
    """Return the verdict in one sentence."""
    tried = sum(cell.count for suite in verdict.suites for cell in suite.tried)
    match verdict.status:
        case Status.HELD:
            return f"{verdict.subject} holds: {tried:,} operations were tried, and nothing was lost{_rest(verdict)}"
        case Status.FAILED:
            count = len(verdict.findings)
            found = "1 thing does" if count == 1 else f"{count} things do"
            return f"{verdict.subject} does not hold: {found} not hold in {tried:,} operations{_rest(verdict)}"
        case Status.NOT_PROVED:
            return f"{verdict.subject} is not proved: no suite could run"
        case _:
            assert_never(verdict.status)


def text(verdict: Verdict) -> str:
    """Return the whole verdict."""
    return "\n".join(_lines(verdict)) + "\n"


def title_of(finding: Finding) -> str:
    """Return what was done when it was found: ``snapshot``, or ``snapshot, cut at a step``."""
    return finding.operation if finding.disturbance == "nothing" else f"{finding.operation}, {finding.disturbance}"


def _rest(verdict: Verdict) -> str:
    missing = len(verdict.not_proved)
    return f"; {missing} of {len(verdict.suites)} suites proved nothing" if missing else ""


def _lines(verdict: Verdict) -> Iterator[str]:
    yield headline(verdict)
    yield ""
    for suite in verdict.suites:
        yield _suite_line(suite)
    for finding in verdict.findings:
        yield from ("", *_finding_lines(finding))
    yield ""
    yield ", ".join(f"{name} {version}" for name, version in verdict.versions.items())
    yield f"seed {verdict.seed}, {verdict.seconds:.0f} s"


def _suite_line(suite: SuiteResult) -> str:
    if suite.why_not is not None:
        return f"{suite.status:11} {suite.name}: {suite.why_not}"
    counts = ", ".join(f"{count:,} {what}" for what, count in suite.counts.items() if not _is_detail(what))
    return f"{suite.status:11} {suite.name}: {counts or 'nothing was tried'} ({suite.seconds:.0f} s)"


def _is_detail(what: str) -> bool:
    """Return whether a count is a part of another one, which JSON and HTML show."""
    return ":" in what or " inside " in what


def _finding_lines(finding: Finding) -> Iterator[str]:
    yield f"{title_of(finding)}: {finding.what}"
    yield f"    expected   {finding.expected}"
    yield f"    found      {finding.found}"
    if finding.trace:
        yield f"    trace      {len(finding.trace) - 1} operations"
    yield f"    reproduce  {finding.reproduce}"
