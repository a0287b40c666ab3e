"""The tag that records the mode and the progress of a wipe."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvmqcow.core.intents import Unknown, intent_tags
from lvmqcow.core.wiping import WIPE_PREFIX, Wipe, Wiping, parse_wiping, wipe_tags

records = st.builds(Wiping, st.sampled_from([Wipe.ZERO, Wipe.DISCARD]), st.integers(0, 1 << 60))


@given(record=records)
def test_wipe_record_round_trips_among_other_tags(record: Wiping) -> None:
    assert parse_wiping({record.tag, "pve-vm-100", "lvmqcow.size=1", "lvmqcow.intent=remove"}) == record
    assert intent_tags([record.tag]) == ()


@given(record=records)
def test_wipe_record_is_accepted_by_lvm(record: Wiping) -> None:
    assert set(record.tag) <= set(string.ascii_letters + string.digits + "_+.-/=!:#&")


@pytest.mark.parametrize(
    ("wipe", "tags"),
    [
        (None, ()),
        (Wipe.NONE, ()),
        (Wipe.ZERO, ("lvmqcow.wipe=zero",)),
        (Wipe.DISCARD, ("lvmqcow.wipe=discard",)),
    ],
)
def test_wipe_mode_none_has_no_record(wipe: Wipe | None, tags: tuple[str, ...]) -> None:
    assert wipe_tags(wipe) == tags


def test_other_tags_are_not_a_wipe_record() -> None:
    assert parse_wiping({"pve-vm-100", "lvmqcow.wiped=zero"}) is None


@pytest.mark.parametrize("rest", ["", "none", "shred", "zero/", "zero/0", "zero/-1", "zero/x", "zero/1/2", "ZERO"])
def test_unreadable_wipe_record_is_unknown_and_not_ignored(rest: str) -> None:
    assert parse_wiping({f"{WIPE_PREFIX}{rest}"}) == Unknown(f"{WIPE_PREFIX}{rest}")


def test_two_wipe_records_are_unknown() -> None:
    assert isinstance(parse_wiping({"lvmqcow.wipe=zero", "lvmqcow.wipe=zero/512"}), Unknown)
