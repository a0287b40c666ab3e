"""How many free extents each policy can allocate. ``tests/real/test_group_states.py`` compares with LVM."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lvmqcow.core.physical import PhysicalVolume, Segment, allocatable_extents, free_extents

FIRST = PhysicalVolume("1", "/dev/a", (Segment(0, 4, "x"), Segment(4, 3), Segment(7, 1, "y"), Segment(8, 5)))
SECOND = PhysicalVolume("2", "/dev/b", (Segment(0, 9),))


@pytest.mark.parametrize(
    ("policy", "new", "x", "y"),
    [("normal", 17, 17, 17), ("anywhere", 17, 17, 17), ("contiguous", 9, 3, 5), ("cling", 9, 8, 8)],
)
def test_allocatable_extents_for_new_and_existing_lvs(policy: str, new: int, x: int, y: int) -> None:
    both = (FIRST, SECOND)
    assert [allocatable_extents(both, policy, lv) for lv in ("", "x", "y")] == [new, x, y]


def test_cling_policy_treats_pvs_with_a_shared_tag_as_one() -> None:
    both = tuple(replace(each, tags=frozenset({"@rack1"})) for each in (FIRST, SECOND))
    assert [allocatable_extents(both, "cling", lv) for lv in ("", "x")] == [17, 17]
    assert allocatable_extents(both, "contiguous", "x") == 3


@pytest.mark.parametrize("policy", ["normal", "contiguous", "cling"])
def test_missing_or_non_allocatable_pv_gives_no_extents(policy: str) -> None:
    for away in (replace(SECOND, allocatable=False), replace(SECOND, missing=True)):
        assert free_extents((FIRST, away)) == 8
        assert allocatable_extents((away,), policy) == 0
    assert allocatable_extents((), policy) == 0


def test_device_is_too_small_only_if_extents_lie_beyond_its_end() -> None:
    fits = replace(FIRST, needed_bytes=100, device_bytes=100)
    assert not fits.too_small
    assert replace(fits, device_bytes=99).too_small
    assert not replace(fits, device_bytes=0, missing=True).too_small
