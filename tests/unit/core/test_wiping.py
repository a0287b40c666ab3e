from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvmqcow.core.intents import Unknown, intent_tags
from lvmqcow.core.wiping import WIPE_PREFIX, Wipe, Wiping, parse_wiping, wipe_tags

records = st.builds(Wiping, st.sampled_from([Wipe.ZERO, Wipe.DISCARD]), st.integers(0, 1 << 60))


@given(record=records)
def test_a_record_is_read_back_from_among_other_tags_and_is_no_intent(record: Wiping) -> None:
    assert parse_wiping({record.tag, "pve-vm-100", "lvmqcow.size=1", "lvmqcow.intent=remove"}) == record
    assert intent_tags([record.tag]) == ()


@given(record=records)
def test_a_record_is_a_tag_that_lvm_accepts(record: Wiping) -> None:
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
def test_no_wipe_leaves_no_record(wipe: Wipe | None, tags: tuple[str, ...]) -> None:
    assert wipe_tags(wipe) == tags


def test_without_a_record_there_is_none() -> None:
    assert parse_wiping({"pve-vm-100", "lvmqcow.wiped=zero"}) is None


@pytest.mark.parametrize("rest", ["", "none", "shred", "zero/", "zero/0", "zero/-1", "zero/x", "zero/1/2", "ZERO"])
def test_what_this_version_cannot_read_is_unknown_and_not_ignored(rest: str) -> None:
    assert parse_wiping({f"{WIPE_PREFIX}{rest}"}) == Unknown(f"{WIPE_PREFIX}{rest}")


def test_two_records_are_unknown() -> None:
    assert isinstance(parse_wiping({"lvmqcow.wipe=zero", "lvmqcow.wipe=zero/512"}), Unknown)
