"""Verbs that make a volume's content again: copy, convert."""

from __future__ import annotations

import argparse

from lvmqcow.cli.common import add_plan_options, add_wipe_option, layer_target, new_volume, perform, target
from lvmqcow.cli.output import Output
from lvmqcow.cli.verbs import Verbs
from lvmqcow.core.names import in_other_format
from lvmqcow.operations import Convert, Copy

__all__ = ["add_verbs"]


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module."""
    copy = verbs.add_parser("copy", help="a new volume with the content of another, or of a snapshot")
    copy.add_argument("source", metavar="VG/VOLUME[@SNAPSHOT]")
    copy.add_argument(
        "new",
        metavar="[VG/]NEWVOLUME",
        help="its name says its format, which may be the other one",
    )
    add_plan_options(copy)
    copy.set_defaults(run=_copy)

    convert = verbs.add_parser("convert", help="make a raw volume qcow2, or the other way round")
    convert.add_argument("volume", metavar="VG/VOLUME", help="without snapshots, and not in use")
    convert.add_argument("new", metavar="[VG/]NEWVOLUME", nargs="?", help="default: the same with, or without, .qcow2")
    add_wipe_option(convert)
    add_plan_options(convert)
    convert.set_defaults(run=_convert)


def _copy(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume, snapshot = layer_target(arguments.source)
    return perform(arguments, vg, Copy(volume, snapshot, new_volume(arguments.new, vg)), output)


def _convert(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)
    new = new_volume(arguments.new, vg) if arguments.new else in_other_format(volume)
    return perform(arguments, vg, Convert(volume, new, arguments.wipe), output)
