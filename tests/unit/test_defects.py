"""Every entry in the list of historic defects names existing tests, and no defect is missing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from lvmqcow.testing.specimens.registry import SPECIMENS

ROOT = Path(__file__).parents[2]
DEFECTS = tomllib.loads((ROOT / "fixtures" / "defects.toml").read_text())["defect"]


SEED = {f"seed {number}" for number in range(1, 21)}
UPSTREAM = {
    *("06016db", "f32e25f", "94b637a", "3941068", "3a7e061", "04cbc41", "44b4e42", "d0239ba", "f649f5a", "618b5bc"),
    *("4ef8ab6", "2cd4daf", "dd2efb7", "9b6e138", "aea2fca", "4f3c1d4", "db2025f", "fc63388", "f0f9054", "0864fda"),
    *("92efe5c", "728d8f3", "d5995ff", "8eabcc7", "5988ac0", "5001f03", "b6fefb0", "5c586c0", "f5a6f9b", "36ca127"),
    *("225a872", "1218bd7", "b56c2d0", "ee91a30", "a7ff389", "05032c5"),
}
HEAD = {f"head {number}" for number in range(1, 8)}


def guards() -> set[str]:
    """Every test that an entry names."""
    return {test for defect in DEFECTS for test in defect["guarded_by"]}


@pytest.mark.parametrize("test", sorted(guards()))
def test_every_named_guard_exists(test: str) -> None:
    file, _, function = test.partition("::")
    assert re.search(rf"^def {function}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_every_defect_has_a_guard() -> None:
    for defect in DEFECTS:
        assert set(defect) - {"specimens", "no_specimen"} == {"origin", "broke", "guarded_by"}, defect
        assert defect["broke"], defect
        assert defect["guarded_by"], defect


def test_no_defect_is_listed_twice() -> None:
    origins = [defect["origin"] for defect in DEFECTS]
    assert len(set(origins)) == len(origins)


def test_list_covers_every_known_defect() -> None:
    """The list covers the original patch, its later fixes, and the defects that remain in it."""
    origins = [defect["origin"] for defect in DEFECTS]
    hashes = {each for origin in origins for each in re.findall(r"\b[0-9a-f]{7}\b", origin)}
    assert {origin for origin in origins if not origin.startswith("upstream ")} == SEED | HEAD
    assert hashes == UPSTREAM


def test_every_defect_has_specimens_or_a_reason_why_not() -> None:
    named = {defect["origin"]: defect.get("specimens", []) for defect in DEFECTS}
    assert all(bool(defect.get("specimens")) != bool(defect.get("no_specimen")) for defect in DEFECTS)
    there: dict[str, list[str]] = {}
    for specimen in SPECIMENS:
        there.setdefault(specimen.origin, []).append(specimen.name)
    assert {origin: names for origin, names in named.items() if names} == there
