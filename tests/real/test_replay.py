"""The power goes at any write of any operation, and whatever the disk had cached may be lost: nothing else is."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import wraps
from pathlib import Path

import pytest

from lvmqcow.operations import Plan
from lvmqcow.testing.crash.block_log import Event, Flush, Mark, State, Write
from lvmqcow.testing.crash.power_loss import Recorder, record
from tests.support.planted_bugs import (
    freed_then_renamed,
    intent_dropped_too_early,
    rebased_with_the_default_cache,
    renamed_then_created,
    without_intents,
)
from tests.support.power_loss_run import METADATA, Running, recorded, replayed
from tests.support.real_operations import OPERATIONS
from tests.support.scenarios import MIB

pytestmark = pytest.mark.lvmqcow_real

STATES = int(os.environ.get("LVMQCOW_REPLAY_STATES", "72"))
"""Of each operation: those at flushes and marks, and more until there are so many."""
LVM_BLOCK_BYTES = 128 * 1024
"""LVM writes a text with the whole block that it is in, a header alone."""
SEED = int(os.environ.get("LVMQCOW_REPLAY_SEED", "0"))


MOST_TO_FIND = 30
"""States within which an operation that is done wrongly must be found: fewer than CI looks at of each."""
FEW = {"rollback of 2": 25, "resize over 1": 20, "rename raw": 18, "remove with 2": 28, "remove raw": 10}
"""Operations that write so little that there are not so many different states: how many there are at least."""


@pytest.mark.parametrize("operation", OPERATIONS)
def test_after_a_power_cut_a_volume_is_as_before_or_as_after(
    operation: str, tmp_path: Path, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    case, file = recorded(OPERATIONS[operation], tmp_path)
    losses: Counter[str] = Counter()
    for outcome in replayed(case, file, most=STATES, seed=SEED):
        assert not outcome.problems, outcome
        losses[outcome.state.loss.name.lower()] += 1
    record_property("states", losses.total())
    with capsys.disabled():
        print(f"\n{operation}: {losses.total()} states of the disk, by what was lost: {dict(losses)}")
    assert losses.total() >= least(operation), "the recording has become empty"


def test_the_states_are_a_thousand() -> None:
    assert OPERATIONS.keys() >= FEW.keys()
    assert sum(least(operation) for operation in OPERATIONS) >= 1000


def least(operation: str) -> int:
    return min(STATES, FEW.get(operation, STATES))


def without_flushes(running: Running) -> None:
    """LVM sends no flush, and the operating system does not either."""
    vg = running.host.vg
    for step in running.storage.plan(running.request).steps:
        if step.argv(vg)[0].startswith("lv"):
            running.lvm.change(step.argv(vg))
        else:
            subprocess.run(step.argv(vg), check=True, capture_output=True)


def planned(wrong: Callable[[Plan], Plan]) -> Callable[[Running], None]:
    """An operation whose plan is another than it should be."""

    @wraps(wrong)
    def run(running: Running) -> None:
        for step in wrong(running.storage.plan(running.request)).steps:
            running.host.run(step)

    return run


def rebased_as_the_seed_does(plan: Plan) -> Plan:
    """No intent, and a rebase whose header may reach the disk before its tables."""
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
def test_an_operation_that_is_done_wrongly_is_found(
    wrong: Callable[[Running], None], operation: str, shows: str, tmp_path: Path
) -> None:
    case, file = recorded(OPERATIONS[operation], tmp_path, wrong)
    with closing(replayed(case, file, most=MOST_TO_FIND)) as outcomes:
        assert any(shows in problem for outcome in outcomes for problem in outcome.problems)


@pytest.mark.parametrize("operation", ["rename raw", "snapshot over 0"])
def test_all_that_a_lost_cache_can_break_is_a_commit_of_lvms_own_which_pvck_mends(
    operation: str, tmp_path: Path
) -> None:
    """LVM writes a text and then a header that points to it, and sends no flush between the two.

    A disk that loses its cache just then, the text and not the header, is left without a volume group: whoever uses
    LVM. The texts before are still there, and once `pvck` has put the newest back, recovery goes on as ever.
    """
    case, file = recorded(OPERATIONS[operation], tmp_path)
    torn = 0
    for outcome in replayed(case, file, most=60, ordered=range(0)):
        if outcome.problems:
            assert [problem for problem in outcome.problems if "no volume group" not in problem] == []
            assert header_without_its_text(case.recording.events, outcome.state), outcome
            put_back_the_newest_text(outcome.device, tmp_path / "metadata")
            assert outcome.judged_again() == (), outcome
            torn += 1
    assert torn > 0


def header_without_its_text(events: Sequence[Event], state: State) -> bool:
    """Whether a text of LVM's metadata is lost, and the header that was written last has arrived."""
    written = [(index, event) for index, event in enumerate(events[: state.position]) if isinstance(event, Write)]
    metadata = [(index, len(event.data)) for index, event in written if event.offset_bytes in METADATA]
    headers = [index for index, length_bytes in metadata if length_bytes < LVM_BLOCK_BYTES]
    texts = [index for index, length_bytes in metadata if length_bytes == LVM_BLOCK_BYTES]
    return headers[-1] not in state.lost and texts[-1] in state.lost


def put_back_the_newest_text(device: str, file: Path) -> None:
    """As pvck(8) says."""
    search = ("pvck", "--dump", "metadata_search", device)
    found = re.findall(r"^ *metadata at .* seqno (\d+) ", tool(*search), re.MULTILINE)
    tool(*search[:-1], "--settings", f"seqno={max(map(int, found))}", "--file", str(file), device)
    tool("pvck", "--yes", "--repair", "--file", str(file), device)


def tool(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def test_a_disk_that_was_written_to_behind_the_recorders_back_is_no_recording(tmp_path: Path) -> None:
    file = tmp_path / "disk.img"
    file.write_bytes(bytes(MIB))

    def around(recorder: Recorder) -> None:
        with file.open("r+b") as disk:
            disk.write(b"x" * 512)

    with pytest.raises(ValueError, match="does not lead to what"):
        record(file, around)
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_recorded_is_what_was_written_with_its_flushes_and_marks(tmp_path: Path) -> None:
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
