"""The HTML report in a real browser. It runs in the environment `browser`, with Debian's Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from lvmqcow.testing.report.html.page import write_html
from tests.support.verdicts import FAILS, HOLDS

QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
"""A browser as root, that asks the network for nothing."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(QUIET))
        yield started
        started.close()


class Seen:
    """A page, and what a page must not do: errors, and requests of anything but itself."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.wrong: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda message: self.wrong.append(message.text))
        page.on("request", lambda request: self.wrong.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_html(FAILS, path)
    return path


def test_page_renders_without_errors_or_requests(browser: Browser, report: Path) -> None:
    seen = Seen(browser.new_page(), report)
    assert seen.page.locator("h1").inner_text().startswith("✘ lvmqcow does not hold")
    assert seen.page.locator("article").count() == 2
    assert seen.page.locator("svg").first.bounding_box() is not None
    assert seen.wrong == []


def test_page_that_holds_says_so_and_names_what_is_not_proved(browser: Browser, tmp_path: Path) -> None:
    write_html(HOLDS, tmp_path / "held.html")
    page = Seen(browser.new_page(), tmp_path / "held.html").page
    assert page.locator("h1").inner_text().startswith("✔ lvmqcow holds")
    assert page.get_by_text("real volume groups need root").first.is_visible()


def test_filter_filters_by_words_and_by_outcome(browser: Browser, report: Path) -> None:
    page = Seen(browser.new_page(), report).page
    rows = page.locator("#matrix tbody tr:visible")
    assert rows.count() == 3
    page.get_by_label("Filter").fill("snapshot dies")
    assert rows.count() == 1
    page.get_by_label("Filter").fill("")
    page.get_by_label("Outcome").select_option("refused")
    assert [row.inner_text().split("\t")[0] for row in rows.all()] == ["create"]
    assert page.locator("#shown").inner_text() == "1 of 3 rows"


def test_trace_can_be_saved_as_it_is(browser: Browser, report: Path, tmp_path: Path) -> None:
    page = Seen(browser.new_page(), report).page
    with page.expect_download() as download:
        page.get_by_text("Save as a file").click()
    download.value.save_as(tmp_path / "trace.jsonl")
    lines = (tmp_path / "trace.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert lines[1].startswith('{"op": "create"')


def test_page_fits_a_phone(browser: Browser, report: Path) -> None:
    page = Seen(browser.new_page(viewport={"width": 360, "height": 740}), report).page
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_text_can_be_read_in_dark_mode(browser: Browser, report: Path) -> None:
    page = Seen(browser.new_page(color_scheme="dark"), report).page
    colours = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    ink, paper = ([int(part) for part in colour[4:-1].split(",")] for colour in colours)
    assert min(ink) > 200
    assert max(paper) < 40


def test_print_shows_all_rows_whatever_is_filtered(browser: Browser, report: Path) -> None:
    page = Seen(browser.new_page(), report).page
    page.get_by_label("Filter").fill("no such row")
    assert page.locator("#matrix tbody tr:visible").count() == 0
    page.emulate_media(media="print")
    assert page.locator("#matrix tbody tr:visible").count() == 3
    assert not page.locator(".filter").is_visible()


def test_page_is_readable_without_scripts(browser: Browser, report: Path) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(report.as_uri())
    assert page.locator("#matrix tbody tr:visible").count() == 3
    assert not page.locator(".filter").is_visible()
    assert page.locator("details.trace pre").first.is_visible()
