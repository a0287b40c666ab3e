"""Traces replay: what failed once holds now, and still fails in the specimen that it was found in."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from lvmqcow.core.names import Layout
from lvmqcow.errors import InvalidRequest
from lvmqcow.testing.conformance.actions import KINDS, RandomChooser
from lvmqcow.testing.conformance.implementation import OURS
from lvmqcow.testing.conformance.replay import Failure, replay, shrink
from lvmqcow.testing.conformance.session import Session
from lvmqcow.testing.conformance.trace import Trace, from_document, parse_trace, to_document
from lvmqcow.testing.specimens.registry import specimen
from lvmqcow.testing.suites.sequences import Bench, random_sequence

TRACES = sorted((Path(__file__).parents[2] / "fixtures" / "traces").glob("*.jsonl"))


def loaded(path: Path) -> Trace:
    return parse_trace(path.read_text().splitlines())


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_past_failure_holds_in_lvmqcow_and_fails_in_its_specimen(path: Path) -> None:
    trace = loaded(path)
    assert replay(Bench(OURS, trace.layout).subject, trace.actions) is None
    failure = replay(Bench(specimen(path.stem).implementation, trace.layout).subject, trace.actions)
    assert failure is not None
    assert failure.actions == trace.actions, "the trace goes on after its failure"


def test_there_are_traces() -> None:
    assert len(TRACES) >= 15


def test_every_drawn_action_survives_a_trace() -> None:
    kinds = set[str]()
    for seed in range(40):
        session = Session(Bench(OURS, Layout.RFC).subject())
        chooser = RandomChooser(Random(seed))
        for _ in range(30):
            session.follow(chooser.pick(session.possible(), "rule"), chooser)
        for action in session.done:
            assert from_document(to_document(action)) == action
        kinds |= {action.kind for action in session.done}
        trace = Trace(tuple(session.done), Layout.PVE9, seed, "real", "lvmqcow", {"kernel": "6.1"})
        assert parse_trace(trace.lines().splitlines()) == trace
    assert kinds == KINDS.keys()


def test_same_seed_gives_the_same_sequence() -> None:
    ours = Bench(OURS, Layout.RFC).subject
    assert random_sequence(ours, "7", 20) == random_sequence(ours, "7", 20)
    assert random_sequence(ours, "7", 20) != random_sequence(ours, "8", 20)


def test_shrunk_sequence_still_fails_and_no_operation_of_it_can_go() -> None:
    subject = Bench(specimen("remove-ignores-snapshots").implementation, Layout.RFC).subject
    failure = next(
        found for seed in range(100) if (found := random_sequence(subject, str(seed), 30)[1]) and len(found.actions) > 6
    )
    short = shrink(subject, failure, lambda: False)
    assert len(short.actions) < len(failure.actions)
    for gone in range(len(short.actions) - 1):
        rest = short.actions[:gone] + short.actions[gone + 1 :]
        assert replay(subject, rest) is None, f"operation {gone} is not needed"
    assert isinstance(short, Failure)


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "{}",
        "no json",
        '{"trace": 2}',
        '{"trace": 1}\n{"op": "explode"}',
        '{"trace": 1}\n{"op": "create", "volume": "vm-1-a"}',
        '{"trace": 1}\n{"op": "create", "volume": 7, "size_bytes": 512}',
        '{"trace": 1}\n{"op": "write", "volume": "vm-1-a", "writes": 3}',
    ],
)
def test_what_is_no_trace_is_refused_with_a_reason(lines: str) -> None:
    with pytest.raises(InvalidRequest, match=r"trace|action"):
        parse_trace(lines.splitlines())
