"""Verbs on snapshots: snapshot, rename-snapshot, rollback, delete-snapshot."""

from __future__ import annotations

import argparse

from lvmqcow.cli.common import add_plan_options, add_wipe_option, open_storage, perform, target
from lvmqcow.cli.confirm import DECLINED, add_yes_option, confirmed, discard_question
from lvmqcow.cli.output import Output
from lvmqcow.cli.verbs import Verbs
from lvmqcow.operations import DeleteSnapshot, Merge, Newer, RenameSnapshot, Rollback, Snapshot

__all__ = ["add_verbs"]


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module."""
    snapshot = verbs.add_parser(
        "snapshot",
        help="freeze the present content of a volume under a name",
        more="The current LV becomes the snapshot, and a new qcow2 overlay takes its place. Raw volumes have no "
        "snapshots. A volume that is in use is refused.",
    )
    rollback = verbs.add_parser(
        "rollback",
        help="return a volume to a snapshot",
        more="What was written after the snapshot is lost. The size of the volume returns too. If newer snapshots "
        "exist, rollback refuses unless --discard-newer or --keep-newer is given. A volume that is in use is refused.",
    )
    delete = verbs.add_parser(
        "delete-snapshot",
        help="delete a snapshot; the volume and the other snapshots keep their content",
        more="The data of the snapshot is merged with the data of its child: the image that reads through the "
        "snapshot. A snapshot that several images read through is refused.",
    )
    rename = verbs.add_parser(
        "rename-snapshot",
        help="give a snapshot another name",
        more="Layers and clones that read through the snapshot follow. A snapshot that is in use is refused.",
    )
    for parser, run in ((snapshot, _snapshot), (rollback, _rollback), (delete, _delete), (rename, _rename)):
        parser.add_argument("volume", metavar="VG/VOLUME", help="the volume")
        parser.add_argument("snapshot", metavar="SNAPSHOT", help="the name of the snapshot")
        add_plan_options(parser)
        parser.set_defaults(run=run)
    rename.add_argument("new", metavar="NEW", help="the new name of the snapshot")
    for removing in (rollback, delete):
        add_wipe_option(removing)
    add_yes_option(rollback)
    newer = rollback.add_mutually_exclusive_group()
    for option, chosen, text in (
        ("--discard-newer", Newer.DISCARD, "remove the newer snapshots after the rollback"),
        ("--keep-newer", Newer.KEEP, "keep the newer snapshots as a branch; a later rollback can return to them"),
    ):
        newer.add_argument(option, dest="newer", action="store_const", const=chosen, default=Newer.REFUSE, help=text)
    delete.add_argument(
        "--merge",
        choices=[*Merge],
        default=Merge.AUTO.value,
        help="how to merge. pull: copy the data of the snapshot into its child; push: copy the data of the child into "
        "the snapshot; rfc: push into the oldest snapshot, pull from any other; auto: choose the one that copies less "
        "(default: auto)",
    )


def _snapshot(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)
    return perform(arguments, vg, Snapshot(volume, arguments.snapshot), output)


def _rename(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)
    return perform(arguments, vg, RenameSnapshot(volume, arguments.snapshot, arguments.new), output)


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
