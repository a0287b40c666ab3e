"""Destructive verbs ask for confirmation, only at a terminal, and only y or yes confirms."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lvmqcow.cli.confirm import destroy_question, discard_question, remove_question
from lvmqcow.errors import SnapshotNotFound, VolumeNotFound
from lvmqcow.lvm.loopvg import LoopVolumeGroup
from lvmqcow.operations import Newer
from lvmqcow.testing.cases.scenarios import (
    DISK,
    NEIGHBOUR,
    RAW,
    branched,
    chain,
    foreign,
    grown,
    inactive,
    raw_volume,
    storage,
)
from lvmqcow.testing.simulated.host import SimHost
from tests.support.terminal import CTRL_C, CTRL_D, PROMPT, answer

VOLUME = "vg0/vm-100-disk-0.qcow2"
ASKING = [("remove", VOLUME), ("rollback", VOLUME, "s1", "--discard-newer"), ("loopvg", "destroy", "vg0")]
EVERY_ASKING = pytest.mark.parametrize("verb", ASKING, ids=lambda verb: verb[0])
PROGRAM = """
import sys
from lvmqcow.cli.confirm import confirmed
from lvmqcow.cli.main import parser
from lvmqcow.cli.output import Output
arguments = parser().parse_args(sys.argv[1:])
sys.exit(0 if confirmed(arguments, Output(arguments.json, False), lambda: "remove it?") else 1)
"""
"""Asks like the verb, but does nothing."""


def program(*verb: str) -> tuple[str, ...]:
    return (sys.executable, "-c", PROGRAM, *verb)


@EVERY_ASKING
@pytest.mark.parametrize("keys", ["y\n", "yes\n", "Y\n", " YES \n"])
def test_y_or_yes_confirms(verb: tuple[str, ...], keys: str) -> None:
    status, shown = answer(program(*verb), keys)
    assert (status, "remove it? [y/N]" in shown) == (0, True), shown


@EVERY_ASKING
@pytest.mark.parametrize(
    "keys", ["n\n", "\n", "no\n", "yep\n", "yes please\n", "\xff\n", CTRL_D, f"y{CTRL_D}{CTRL_D}", CTRL_C]
)
def test_any_other_answer_cancels(verb: tuple[str, ...], keys: str) -> None:
    status, shown = answer(program(*verb), keys)
    assert (status, "remove it? [y/N]" in shown, "nothing was touched" in shown) == (1, True, True), shown


@EVERY_ASKING
@pytest.mark.parametrize("option", ["--yes", "-y", "--json", "--dry-run"])
def test_options_yes_json_and_dry_run_skip_the_question(verb: tuple[str, ...], option: str) -> None:
    if option == "--dry-run" and verb[0] == "loopvg":
        verb = ASKING[0]  # loopvg has no dry run
    status, shown = answer(program(*verb, option), "n\n")
    assert (status, PROMPT in shown) == (0, False), shown


@EVERY_ASKING
@pytest.mark.parametrize("away", ["</dev/null", "2>/dev/null"], ids=["stdin", "stderr"])
def test_no_question_without_a_terminal(verb: tuple[str, ...], away: str) -> None:
    status, shown = answer(("/bin/sh", "-c", f'"$@" {away}', "sh", *program(*verb)), "n\n")
    assert (status, PROMPT in shown) == (0, False), shown


@EVERY_ASKING
def test_script_runs_without_a_question(verb: tuple[str, ...]) -> None:
    done = subprocess.run(program(*verb), input=b"n\n", capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_remove_question_names_the_volume_and_its_snapshots() -> None:
    assert remove_question(chain(0).observe(), DISK) == f"remove sim/{DISK}?"
    assert remove_question(chain(1).observe(), DISK) == f"remove sim/{DISK} with its snapshot s1?"
    assert (
        remove_question(inactive(foreign(chain(2))).observe(), DISK) == f"remove sim/{DISK} with its snapshots s1, s2?"
    )
    assert remove_question(raw_volume().observe(), RAW) == f"remove sim/{RAW}?"
    with pytest.raises(VolumeNotFound):
        remove_question(chain(1).observe(), NEIGHBOUR)


@pytest.mark.parametrize(
    ("host", "snapshot"),
    [
        *((chain(3), snapshot) for snapshot in ("s1", "s2", "s3")),
        *((branched((3, at)), f"s{at}") for at in (1, 2)),
        (grown(2), "s1"),
    ],
)
def test_rollback_question_names_the_snapshots_to_be_removed(host: SimHost, snapshot: str) -> None:
    asked = discard_question(storage(host).picture(), DISK, snapshot)
    before = storage(host).volume(DISK.text).info().snapshots
    storage(host).volume(DISK.text).rollback(snapshot, Newer.DISCARD)
    gone = [each for each in before if each not in storage(host).volume(DISK.text).info().snapshots]
    going = f"its snapshot{'s' if len(gone) > 1 else ''} {', '.join(gone)}"
    assert asked == (f"roll back sim/{DISK} to {snapshot}, and remove {going}?" if gone else None)


def test_rollback_question_for_an_unread_volume_names_all_candidates() -> None:
    asked = discard_question(inactive(foreign(chain(3))).observe(), DISK, "s2")
    assert asked == f"roll back sim/{DISK} to s2, and remove every newer snapshot (it also has s1, s3)?"
    with pytest.raises(SnapshotNotFound):
        discard_question(chain(1).observe(), DISK, "s9")


def test_destroy_question_names_the_vg_its_volumes_and_its_file() -> None:
    group = LoopVolumeGroup("vg0", 1, 1, "/dev/loop0", Path("/srv/vg0.img"))
    assert destroy_question(group, ()) == "destroy volume group vg0, which is empty, and its file /srv/vg0.img?"
    assert "vg0 with vm-1-a, vm-1-b and its file" in destroy_question(group, ("vm-1-a", "vm-1-b"))
    many = destroy_question(group, [f"vm-1-{number}" for number in range(25)])
    assert "vm-1-19 and 5 more and its file" in many
