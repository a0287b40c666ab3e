"""Verbs on snapshots: snapshot, rollback, delete-snapshot."""

from __future__ import annotations

import argparse

from lvmqcow.cli.common import add_plan_options, add_wipe_option, open_storage, perform, target
from lvmqcow.cli.confirm import DECLINED, add_yes_option, confirmed, discard_question
from lvmqcow.cli.output import Output
from lvmqcow.cli.verbs import Verbs
from lvmqcow.operations import DeleteSnapshot, Merge, Newer, Rollback, Snapshot

__all__ = ["add_verbs"]


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module."""
    snapshot = verbs.add_parser("snapshot", help="freeze a volume's content under a name")
    rollback = verbs.add_parser("rollback", help="return a volume to a snapshot")
    delete = verbs.add_parser("delete-snapshot", help="forget a snapshot; everything else stays")
    for parser, run in ((snapshot, _snapshot), (rollback, _rollback), (delete, _delete)):
        parser.add_argument("volume", metavar="VG/VOLUME")
        parser.add_argument("snapshot", metavar="SNAPSHOT")
        add_plan_options(parser)
        parser.set_defaults(run=run)
    for removing in (rollback, delete):
        add_wipe_option(removing)
    add_yes_option(rollback)
    newer = rollback.add_mutually_exclusive_group()
    for option, chosen, text in (
        ("--discard-newer", Newer.DISCARD, "remove the newer snapshots, once the volume does not need them any more"),
        ("--keep-newer", Newer.KEEP, "leave the newer snapshots as a branch, to which one can return"),
    ):
        newer.add_argument(option, dest="newer", action="store_const", const=chosen, default=Newer.REFUSE, help=text)
    delete.add_argument(
        "--merge",
        choices=[*Merge],
        default=Merge.AUTO.value,
        help="pull: the child takes the snapshot's data; push: the snapshot takes the child's; seed: push into the "
        "oldest, else pull; auto: whichever moves less (default)",
    )


def _snapshot(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)
    return perform(arguments, vg, Snapshot(volume, arguments.snapshot), output)


def _rollback(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)

    def question() -> str | None:
        with open_storage(arguments, vg, output) as storage:
            return discard_question(storage.picture(), volume, arguments.snapshot)

    if arguments.newer is Newer.DISCARD and not confirmed(arguments, output, question):
        return DECLINED
    return perform(arguments, vg, Rollback(volume, arguments.snapshot, arguments.newer, arguments.wipe), output)


def _delete(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)
    request = DeleteSnapshot(volume, arguments.snapshot, Merge(arguments.merge), arguments.wipe)
    return perform(arguments, vg, request, output)
