"""A verdict as JUnit XML, which GitLab and Jenkins read as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from lvmqcow.testing.conformance.verdict import Finding, Outcome, Status, SuiteResult, Verdict
from lvmqcow.testing.report.text import headline

__all__ = ["junit", "write_junit"]

_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 allows in no form."""


def junit(verdict: Verdict) -> ET.Element:
    """Return the document: a test suite for each suite, a test case for each cell of the matrix."""
    suites = [_suite(verdict, suite) for suite in verdict.suites]
    root = ET.Element("testsuites", {"name": _clean(headline(verdict)), "time": f"{verdict.seconds:.3f}"})
    for total in ("tests", "failures", "errors", "skipped"):
        root.set(total, str(sum(int(suite.get(total, "0")) for suite in suites)))
    root.extend(suites)
    return root


def write_junit(verdict: Verdict, path: Path) -> None:
    """Write the document to a file."""
    ET.ElementTree(junit(verdict)).write(path, encoding="utf-8", xml_declaration=True)


def _suite(verdict: Verdict, suite: SuiteResult) -> ET.Element:
    cases = list(_cases(suite))
    element = ET.Element(
        "testsuite",
        {
            "name": _clean(f"lvmqcow verify: {suite.name}"),
            "timestamp": verdict.started[:19],
            "time": f"{suite.seconds:.3f}",
            "tests": str(len(cases)),
            "failures": str(sum(case.find("failure") is not None for case in cases)),
            "errors": "0",
            "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        },
    )
    properties = ET.SubElement(element, "properties")
    for name, value in (*verdict.versions.items(), *suite.counts.items(), ("seed", verdict.seed)):
        ET.SubElement(properties, "property", {"name": _clean(name), "value": _clean(str(value))})
    element.extend(cases)
    return element


def _cases(suite: SuiteResult) -> list[ET.Element]:
    if suite.status is Status.NOT_PROVED:
        case = _case(suite, suite.name)
        ET.SubElement(case, "skipped", {"message": _clean(f"not proved: {suite.why_not or 'nothing was tried'}")})
        return [case]
    places = dict.fromkeys((cell.operation, cell.disturbance) for cell in suite.tried)
    found: dict[tuple[str, str], list[Finding]] = {place: [] for place in places}
    for finding in suite.findings:
        found.setdefault((finding.operation, finding.disturbance), []).append(finding)
    cases = []
    for (operation, disturbance), findings in found.items():
        cells = [cell for cell in suite.tried if (cell.operation, cell.disturbance) == (operation, disturbance)]
        case = _case(suite, f"{operation}: {disturbance}")
        lost = sum(cell.count for cell in cells if cell.outcome is Outcome.LOST)
        for finding in findings:
            text = f"{finding.what}\nexpected: {finding.expected}\nfound: {finding.found}\n{finding.reproduce}"
            ET.SubElement(case, "failure", {"message": _clean(finding.what), "type": "finding"}).text = _clean(text)
        if lost and not findings:
            ET.SubElement(case, "failure", {"message": f"{lost} times lost", "type": "finding"})
        ET.SubElement(case, "system-out").text = "\n".join(f"{cell.outcome}: {cell.count}" for cell in cells)
        cases.append(case)
    return cases


def _case(suite: SuiteResult, name: str) -> ET.Element:
    return ET.Element("testcase", {"classname": _clean(f"lvmqcow.{suite.name}"), "name": _clean(name), "time": "0"})


def _clean(text: str) -> str:
    """Replace what XML does not allow."""
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)
