"""A test that needs device-mapper says so before it makes anything, and names the line that helps."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["pytester"]

NEEDS = """
import pytest

def test_fixture(lvmqcow_vg):
    raise AssertionError("there is no volume group")

def test_world(lvmqcow_world):
    raise AssertionError("there is no world")

@pytest.mark.lvmqcow_real
def test_marker():
    raise AssertionError("there is no lab")
"""
LINE = "*no device-mapper here: run it with `lvmqcow lab run -- pytest ...`*"


@pytest.fixture
def mine(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # who is not root can activate nothing, on any machine
    pytester.makepyfile(NEEDS)
    return pytester


def test_without_device_mapper_the_test_is_skipped_with_the_line_that_helps(mine: pytest.Pytester) -> None:
    result = mine.runpytest_inprocess("-rs", "-p", "no:xdist")
    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines([LINE])


def test_with_require_lab_it_fails_with_that_line(mine: pytest.Pytester) -> None:
    result = mine.runpytest_inprocess("--lvmqcow-require-lab", "-p", "no:xdist")
    outcomes = result.parseoutcomes()
    assert outcomes.get("passed", 0) == 0
    assert outcomes.get("failed", 0) + outcomes.get("errors", 0) == 3
    result.stdout.fnmatch_lines([LINE])
