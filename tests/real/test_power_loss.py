"""Power loss at any write of any operation. Only data in the volatile cache of the disk may be lost."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import wraps
from pathlib import Path

import pytest

from lvmqcow.operations import Plan
from lvmqcow.testing.cases.real_operations import OPERATIONS
from lvmqcow.testing.cases.scenarios import MIB
from lvmqcow.testing.crash.block_log import Event, Flush, Mark, State, Write
from lvmqcow.testing.crash.power_loss import Recorder, record
from lvmqcow.testing.crash.power_loss_run import METADATA, Running, recorded, replayed
from lvmqcow.testing.specimens.planted import (
    freed_then_renamed,
    intent_dropped_too_early,
    rebased_with_the_default_cache,
    renamed_then_created,
    without_intents,
)
from lvmqcow.testing.suites.power import lose_power

pytestmark = pytest.mark.lvmqcow_real

STATES = int(os.environ.get("LVMQCOW_REPLAY_STATES", "72"))
"""The number of states of each operation: all at flushes and marks, and others up to this number."""
LVM_BLOCK_BYTES = 128 * 1024
"""LVM writes a metadata text with its whole block, and a header alone."""
SEED = int(os.environ.get("LVMQCOW_REPLAY_SEED", "0"))


MOST_TO_FIND = 30
"""The number of states within which a wrong operation must be found: fewer than CI tests of each."""
FEW = {
    "rename snapshot 1 of 2": 40,
    "rollback of 2": 25,
    "resize over 1": 20,
    "rename raw": 18,
    "remove with 2": 28,
    "remove raw": 10,
}
"""The least number of states of operations that write little and therefore have few states."""


@pytest.mark.parametrize("operation", OPERATIONS)
def test_volume_is_old_or_new_after_any_power_loss(
    operation: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    came = lose_power(operation, tmp_path, STATES, SEED)
    states = came.counts["states of the disk"]
    record_property("states", states)
    assert states >= least(operation), "the recording has become empty"


def test_at_least_1000_states_are_tested() -> None:
    assert OPERATIONS.keys() >= FEW.keys()
    assert sum(least(operation) for operation in OPERATIONS) >= 1000


def least(operation: str) -> int:
    return min(STATES, FEW.get(operation, STATES))


def without_flushes(running: Running) -> None:
    """Neither LVM nor the operating system sends a flush."""
    vg = running.host.vg
    for step in running.storage.plan(running.request).steps:
        if step.argv(vg)[0].startswith("lv"):
            running.lvm.change(step.argv(vg))
        else:
            subprocess.run(step.argv(vg), check=True, capture_output=True)


def planned(wrong: Callable[[Plan], Plan]) -> Callable[[Running], None]:
    """An operation with a wrong plan."""

    @wraps(wrong)
    def run(running: Running) -> None:
        for step in wrong(running.storage.plan(running.request)).steps:
            running.host.run(step)

    return run


def rebased_as_the_seed_does(plan: Plan) -> Plan:
    """No intent, and a rebase with a header that may reach the disk before its tables."""
    return rebased_with_the_default_cache(without_intents(plan))


@pytest.mark.parametrize(
    ("wrong", "operation", "shows"),
    [
        (without_flushes, "snapshot over 1", "after it was reported as done"),
        (without_flushes, "resize raw", "wrong content"),
        (planned(rebased_as_the_seed_does), "delete 2 of 2 by pull", "wrong content"),
        (planned(renamed_then_created), "snapshot over 1", "neither as before nor as after"),
        (planned(freed_then_renamed), "delete 2 of 2 by push", "is not there"),
        (planned(intent_dropped_too_early), "rollback of 2", "no readable qcow2 header"),
    ],
)
def test_wrong_operation_is_found(wrong: Callable[[Running], None], operation: str, shows: str, tmp_path: Path) -> None:
    case, file = recorded(OPERATIONS[operation], tmp_path, wrong)
    with closing(replayed(case, file, most=MOST_TO_FIND)) as outcomes:
        assert any(shows in problem for outcome in outcomes for problem in outcome.problems)


@pytest.mark.parametrize("operation", ["rename raw", "snapshot over 0"])
def test_lost_cache_breaks_only_an_lvm_commit_that_pvck_repairs(operation: str, tmp_path: Path) -> None:
    """LVM writes a metadata text and then a header that points to it, without a flush between the two.

    If a disk then loses the text but not the header, the volume group is unreadable. This can happen to any user of
    LVM. The older texts are still there. After `pvck` has restored the newest one, recovery works as usual.
    """
    case, file = recorded(OPERATIONS[operation], tmp_path)
    torn = 0
    for outcome in replayed(case, file, most=60, ordered=range(0)):
        if outcome.problems:
            assert [problem for problem in outcome.problems if "was not found" not in problem] == []
            assert header_without_its_text(case.recording.events, outcome.state), outcome
            put_back_the_newest_text(outcome.device, tmp_path / "metadata")
            assert outcome.judged_again() == (), outcome
            torn += 1
    assert torn > 0


def header_without_its_text(events: Sequence[Event], state: State) -> bool:
    """Whether a metadata text of LVM is lost, although the newest header is on the disk."""
    written = [(index, event) for index, event in enumerate(events[: state.position]) if isinstance(event, Write)]
    metadata = [(index, len(event.data)) for index, event in written if event.offset_bytes in METADATA]
    headers = [index for index, length_bytes in metadata if length_bytes < LVM_BLOCK_BYTES]
    texts = [index for index, length_bytes in metadata if length_bytes == LVM_BLOCK_BYTES]
    return headers[-1] not in state.lost and texts[-1] in state.lost


def put_back_the_newest_text(device: str, file: Path) -> None:
    """Repair as documented in pvck(8)."""
    search = ("pvck", "--dump", "metadata_search", device)
    found = re.findall(r"^ *metadata at .* seqno (\d+) ", tool(*search), re.MULTILINE)
    tool(*search[:-1], "--settings", f"seqno={max(map(int, found))}", "--file", str(file), device)
    tool("pvck", "--yes", "--repair", "--file", str(file), device)


def tool(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def test_write_that_bypasses_the_recorder_is_detected(tmp_path: Path) -> None:
    file = tmp_path / "disk.img"
    file.write_bytes(bytes(MIB))

    def around(recorder: Recorder) -> None:
        with file.open("r+b") as disk:
            disk.write(b"x" * 512)

    with pytest.raises(ValueError, match="does not lead to what"):
        record(file, around)
    assert list(tmp_path.iterdir()) == [file]


def test_recording_has_all_writes_flushes_and_marks(tmp_path: Path) -> None:
    file = tmp_path / "disk.img"
    file.write_bytes(bytes(MIB))

    def work(recorder: Recorder) -> None:
        for number in (1, 2):
            argv = ("dd", "if=/dev/zero", f"of={recorder.device}", "bs=4k", "count=1", f"seek={number}", "oflag=direct")
            subprocess.run(argv, check=True, capture_output=True)
            recorder.flush()
            recorder.mark(f"written-{number}")

    events = record(file, work).events
    told = [event for event in events if not isinstance(event, Flush)]
    assert told[:4] == [Write(4096, bytes(4096)), Mark("written-1"), Write(8192, bytes(4096)), Mark("written-2")]
    assert isinstance(events[events.index(Mark("written-1")) - 1], Flush)
