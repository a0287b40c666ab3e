"""A driver is a program: what it answers wrongly, or not at all, is a named error, and nothing of it stays."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lvmqcow.core.names import Layout
from lvmqcow.testing.drivers.client import DriverDied, DriverProcess, Refused
from lvmqcow.testing.drivers.scenarios import SCENARIOS, neighbour
from lvmqcow.testing.model import Model


@contextmanager
def driver(script: str, directory: Path) -> Iterator[DriverProcess]:
    process = DriverProcess(("sh", "-c", script), "vg0", directory / "stderr")
    try:
        yield process
    finally:
        process.close()


def test_reply_and_volume_group_reach_the_driver_and_back(tmp_path: Path) -> None:
    script = """while read -r line; do echo "{\\"ok\\": true, \\"vg\\": \\"$LVMQCOW_DRIVER_VG\\"}"; done"""
    with driver(script, tmp_path) as process:
        assert process.ask({"op": "hello"}) == {"ok": True, "vg": "vg0"}


def test_refusal_has_its_kind_and_message(tmp_path: Path) -> None:
    script = """read -r line; echo '{"ok": false, "kind": "exists", "message": "there is one"}'"""
    with driver(script, tmp_path) as process, pytest.raises(Refused, match=r"\(exists\): there is one"):
        process.ask({"op": "create"})


@pytest.mark.parametrize(
    ("script", "why"),
    [("exit 3", "status 3"), ("read -r line; echo nonsense; cat", "no JSON"), ("echo '[1]'; cat", 'has no "ok"')],
    ids=["it ends", "no JSON", "no object"],
)
def test_driver_without_a_reply_is_named(script: str, why: str, tmp_path: Path) -> None:
    with driver(script, tmp_path) as process, pytest.raises(DriverDied, match=why):
        process.ask({"op": "hello"})


def test_children_of_a_driver_end_with_it(tmp_path: Path) -> None:
    script = """sleep 1000 & echo "{\\"ok\\": true, \\"child\\": $!}"; wait"""
    with driver(script, tmp_path) as process:
        child = int(process.ask({"op": "hello"})["child"])
    state = subprocess.run(("ps", "-o", "stat=", "-p", str(child)), capture_output=True, text=True, check=False)
    assert state.stdout.strip() in ("", "Z")
    assert os.getpid() != child


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_can_be_built_in_the_model(name: str) -> None:
    scenario, model = SCENARIOS[name], Model(4 * 1024**2, Layout.RFC)
    if scenario.may_be_refused:
        return
    for action in (*neighbour(), *scenario.before):
        assert action.refusal(model) is None, action
        action.change(model, None)
    if scenario.request.refusal(model) is None:
        scenario.request.change(model, None)
        assert scenario.again is None or scenario.again.refusal(model) is None
