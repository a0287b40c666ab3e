"""The list of historic defects is held to the tests that guard against them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DEFECTS = tomllib.loads((ROOT / "fixtures" / "defects.toml").read_text())["defect"]


def guards() -> set[str]:
    """Every test that some row names."""
    return {test for defect in DEFECTS for test in defect.get("guarded_by", [])}


@pytest.mark.parametrize("test", sorted(guards()))
def test_a_guard_that_is_named_exists(test: str) -> None:
    file, _, function = test.partition("::")
    assert re.search(rf"^def {function}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_every_defect_has_a_guard_or_a_reason() -> None:
    for defect in DEFECTS:
        assert set(defect) in ({"origin", "broke", "guarded_by"}, {"origin", "broke", "open"}), defect
        assert defect.get("guarded_by") or defect.get("open"), defect


def test_no_defect_is_listed_twice() -> None:
    origins = [defect["origin"] for defect in DEFECTS]
    assert len(set(origins)) == len(origins)
