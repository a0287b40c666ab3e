"""Reports for people and for CI systems: they show everything, and no text in a finding can break them."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvmqcow.testing.conformance.verdict import Layer, Verdict
from lvmqcow.testing.report.html.chains import drawing
from lvmqcow.testing.report.html.page import page, write_html
from lvmqcow.testing.report.junit import junit, write_junit
from lvmqcow.testing.report.text import text
from tests.support.verdicts import EMPTY, FAILS, HOLDS, LAYERS, LOST


class Tags(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def parsed(markup: str) -> Tags:
    tags = Tags()
    tags.feed(markup)
    return tags


def with_text(hostile: str) -> Verdict:
    finding = replace(LOST, what=hostile, found=hostile, operation=hostile, commands=(hostile,))
    return replace(HOLDS, subject=hostile, suites=(replace(HOLDS.suites[0], findings=(finding,)),))


@pytest.mark.parametrize("verdict", [HOLDS, FAILS, EMPTY], ids=["holds", "fails", "nothing ran"])
def test_text_says_what_was_not_proved(verdict: Verdict) -> None:
    said = text(verdict)
    assert "not proved  power, real: real volume groups need root" in said
    for finding in verdict.findings:
        assert finding.reproduce in said


def test_first_line_is_the_verdict() -> None:
    assert text(HOLDS).startswith("lvmqcow holds: 448 operations were tried, and nothing was lost; 2 of 3 suites")
    assert text(FAILS).startswith("lvmqcow does not hold: 2 things do not hold")
    assert text(EMPTY).startswith("lvmqcow is not proved")


def test_junit_counts_its_cases_and_skips_what_is_not_proved(tmp_path: Path) -> None:
    write_junit(FAILS, tmp_path / "junit.xml")
    root = ET.parse(tmp_path / "junit.xml").getroot()
    suites = root.findall("testsuite")
    for suite in suites:
        assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
        assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure[1]"))
    assert [suite.get("skipped") for suite in suites] == ["0", "1", "1"]
    assert root.get("failures") == "2"


@given(st.text(max_size=200))
def test_no_text_breaks_the_xml(hostile: str) -> None:
    ET.fromstring(ET.tostring(junit(with_text(hostile)), encoding="utf-8"))


@given(st.text(max_size=200) | st.just("</script><script>alert(1)</script>") | st.just("\" onload='x"))
def test_no_text_breaks_the_page_or_adds_an_element(hostile: str) -> None:
    assert parsed(page(with_text(hostile))).opened == parsed(page(with_text("plain"))).opened


def test_page_shows_every_fact_of_a_finding(tmp_path: Path) -> None:
    write_html(FAILS, tmp_path / "report.html")
    shown = "".join(parsed((tmp_path / "report.html").read_text()).texts)
    for fact in (LOST.expected, LOST.reproduce, *LOST.commands, "real volume groups need root", "2.03.16(2)"):
        assert fact in shown
    assert '{"op": "snapshot", "volume": "vm-100-disk-0.qcow2", "snapshot": "s1"}' in shown


def test_page_loads_nothing() -> None:
    markup = page(FAILS)
    assert "src=" not in markup
    assert "@import" not in markup
    assert "url(" not in markup


@given(st.lists(st.sampled_from(LAYERS), unique=True))
def test_any_set_of_layers_can_be_drawn(layers: list[Layer]) -> None:
    image = drawing(layers, "layers")
    if layers:
        assert ET.fromstring(image).tag.endswith("svg")
        assert image.count("<rect") == len(layers)


def test_chain_that_leads_in_a_circle_can_be_drawn() -> None:
    one = Layer("v", None, "a", "b", 1)
    assert drawing([one, replace(one, name="s", lv="b", parent="a")], "layers").count("<rect") == 2
