"""Intents and their LVM tags."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvmqcow.core.intents import INTENT_PREFIX, Intent, intent_tags
from lvmqcow.core.lv import LogicalVolume
from lvmqcow.operations import intents_of
from lvmqcow.operations.convert import Converting
from lvmqcow.operations.delete import Pulling, Pushing
from lvmqcow.operations.flatten import Flattening
from lvmqcow.operations.remove import Removing
from lvmqcow.operations.rename import Renaming
from lvmqcow.operations.resize import Resizing
from lvmqcow.operations.rollback import Discarding, RollingBack
from lvmqcow.operations.shared.new_volume import Creating

lv_names = st.text(string.ascii_letters + string.digits + "+_.-", min_size=1, max_size=30)
intents: st.SearchStrategy[Intent] = st.one_of(
    st.just(Creating()),
    st.just(Removing()),
    st.builds(RollingBack, lv_names),
    st.builds(Discarding, lv_names),
    st.builds(Flattening, lv_names),
    st.builds(Resizing, st.integers(1, 1 << 44), st.integers(1, 1 << 44)),
    st.builds(Pulling, lv_names),
    st.builds(Pushing, lv_names, lv_names),
    st.builds(Renaming, lv_names, lv_names),
    st.builds(Converting, lv_names),
)


def read(tag: str) -> tuple[tuple[str, Intent | None], ...]:
    return intents_of(LogicalVolume("lv", "uuid", 4096, frozenset({tag, "pve-vm-100"}), active=False))


@given(intent=intents)
def test_intent_round_trips_through_its_tag(intent: Intent) -> None:
    assert read(intent.tag) == ((intent.tag, intent),)


@given(intent=intents)
def test_intent_tag_is_accepted_by_lvm(intent: Intent) -> None:
    assert set(intent.tag) <= set(string.ascii_letters + string.digits + "_+.-/=!:#&")
    assert not intent.tag.startswith("-")


@given(one=intents, other=intents)
def test_different_intents_have_different_tags(one: Intent, other: Intent) -> None:
    assert (one.tag == other.tag) == (one == other)


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "copy",
        "convert",
        "convert/a/b",
        "create/x",
        "rollback",
        "rollback/a/b",
        "pull",
        "push/a",
        "push/a/b/c",
        "remove/x",
        "rename/a",
        "rename/a/b/c",
        "CREATE",
        "resize/1",
        "resize/1/x",
        "resize/1/02",
    ],
)
def test_unknown_intent_is_parsed_as_unknown(rest: str) -> None:
    tag = INTENT_PREFIX + rest
    assert read(tag) == ((tag, None),)


@given(tag=st.text(max_size=40))
def test_only_tags_with_our_prefix_are_intents(tag: str) -> None:
    assert bool(intent_tags([tag])) == bool(read(tag)) == tag.startswith(INTENT_PREFIX)
