"""The whole page: the verdict, the versions, the suites, the matrix, and every finding."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

from lvmqcow.testing.conformance.verdict import Finding, Outcome, Status, Verdict
from lvmqcow.testing.report.html.chains import drawing
from lvmqcow.testing.report.html.markup import attribute, cells, definitions, element, text
from lvmqcow.testing.report.text import headline, title_of

__all__ = ["page", "write_html"]

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_MARKS: Final = {Status.HELD: "✔", Status.FAILED: "✘", Status.NOT_PROVED: "?"}


def write_html(verdict: Verdict, path: Path) -> None:
    """Write the page to a file."""
    path.write_text(page(verdict), encoding="utf-8")


def page(verdict: Verdict) -> str:
    """Return the page. It needs no network, and no script to be read."""
    title = text(headline(verdict))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{attribute(_POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>lvmqcow verify: {title}</title><style>{_asset('style.css')}</style></head>"
        f"<body>{_header(verdict)}<main>{''.join(_sections(verdict))}</main>"
        f"<script>{_asset('script.js')}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return files("lvmqcow.testing.report.html").joinpath(name).read_text(encoding="utf-8")


def _header(verdict: Verdict) -> str:
    status = verdict.status
    mark = element("span", _MARKS[status], class_="mark", aria_hidden="true")
    line = element("h1", f"{mark} {text(headline(verdict))}")
    command = element("p", f"<code>{text(verdict.command)}</code>")
    return element("header", line + command, class_=status.value.replace(" ", "-"))


def _sections(verdict: Verdict) -> Iterator[str]:
    if verdict.findings:
        found = "".join(_finding(number, each) for number, each in enumerate(verdict.findings, 1))
        yield _section("What does not hold", found)
    if verdict.not_proved:
        rows = "".join(
            element("li", f"<b>{text(suite.name)}</b>: {text(suite.why_not or 'nothing was tried')}")
            for suite in verdict.not_proved
        )
        yield _section("What is not proved", f"<p>These suites did not run. They prove nothing.</p><ul>{rows}</ul>")
    yield _section("What was tried", _matrix(verdict))
    yield _section("The suites", _suites(verdict))
    facts = [("subject", text(verdict.subject)), ("place", text(verdict.place)), ("seed", str(verdict.seed))]
    facts += [("started", text(verdict.started)), ("took", f"{verdict.seconds:.0f} s")]
    facts += [(name, text(version)) for name, version in verdict.versions.items()]
    yield _section("Versions", definitions(facts))


def _section(title: str, content: str) -> str:
    return element("section", element("h2", text(title)) + content)


def _suites(verdict: Verdict) -> str:
    head = cells(["suite", "answer", "tried", "seconds", "what it does"], "th")
    rows = "".join(
        cells(
            [
                text(suite.name),
                element("span", text(suite.status.value), class_=f"status {suite.status.value.replace(' ', '-')}"),
                "<br>".join(f"{count:,} {text(what)}" for what, count in suite.counts.items()),
                f"{suite.seconds:.0f}",
                text(suite.about),
            ]
        )
        for suite in verdict.suites
    )
    return _table(head, rows, "suites")


def _matrix(verdict: Verdict) -> str:
    totals: Counter[tuple[str, str, str, Outcome]] = Counter()
    for suite in verdict.suites:
        for cell in suite.tried:
            totals[cell.operation, cell.disturbance, suite.name, cell.outcome] += cell.count
    if not totals:
        return "<p>Nothing was tried.</p>"
    head = cells(["operation", "what was done to it", "suite", *(outcome.value for outcome in Outcome)], "th")
    rows = []
    for operation, disturbance, suite_name in sorted({place[:3] for place in totals}):
        counts = [totals[operation, disturbance, suite_name, outcome] for outcome in Outcome]
        outcomes = " ".join(outcome.value for outcome, count in zip(Outcome, counts, strict=True) if count)
        numbers = "".join(
            element("td", f"{count:,}" if count else "·", class_=f"number {outcome.value if count else 'none'}")
            for outcome, count in zip(Outcome, counts, strict=True)
        )
        names = "".join(element("td", text(name)) for name in (operation, disturbance, suite_name))
        rows.append(element("tr", names + numbers, data_outcomes=outcomes))
    options = "".join(f'<option value="{outcome.value}">{outcome.value}</option>' for outcome in Outcome)
    filters = (
        '<form class="filter" hidden><label>Filter <input type="search" id="filter" autocomplete="off"></label> '
        f'<label>Outcome <select id="outcome"><option value="">any</option>{options}</select></label> '
        '<output id="shown" aria-live="polite"></output></form>'
    )
    return filters + _table(head, "".join(rows), "matrix")


def _table(head: str, rows: str, name: str) -> str:
    table = element("table", f"<thead>{head}</thead><tbody>{rows}</tbody>", id=name)
    return element("div", table, class_="wide", tabindex="0", role="region", aria_label=name)


def _finding(number: int, finding: Finding) -> str:
    title = element("h3", f"{number}. {text(title_of(finding))}: {text(finding.what)}")
    facts = [
        ("expected", f"<pre>{text(finding.expected)}</pre>"),
        ("found", f"<pre>{text(finding.found)}</pre>"),
        ("reproduce", f"<pre>{text(finding.reproduce)}</pre>"),
        ("suite", text(finding.suite)),
    ]
    parts = [title, definitions(facts)]
    if finding.before or finding.after:
        chains = _figure(
            "before the last operation", drawing(finding.before, "The layers before the last operation")
        ) + _figure("after it", drawing(finding.after, "The layers after the last operation"))
        parts.append(element("div", chains, class_="chains"))
    if finding.trace:
        lines = "\n".join(json.dumps(each) for each in finding.trace)
        summary = element("summary", f"The shortest trace: {len(finding.trace) - 1} operations")
        keep = '<p class="actions" hidden><button type="button" class="copy">Copy</button> '
        keep += f'<a class="save" download="trace-{number}.jsonl">Save as a file</a></p>'
        parts.append(element("details", f"{summary}<pre>{text(lines)}</pre>{keep}", open="", class_="trace"))
    if finding.commands:
        listed = element("pre", text("\n".join(finding.commands)))
        parts.append(element("details", f"<summary>The commands of the last operation</summary>{listed}", open=""))
    return element("article", "".join(parts), id=f"finding-{number}")


def _figure(caption: str, image: str) -> str:
    region = element("div", image, class_="wide", tabindex="0", role="region", aria_label=caption)
    return element("figure", f"<figcaption>{text(caption)}</figcaption>{region}")
