"""Verbs that make a volume of another one: copy, convert, template, clone, flatten."""

from __future__ import annotations

import argparse

from lvmqcow.cli.common import add_plan_options, add_wipe_option, layer_target, new_volume, perform, target
from lvmqcow.cli.output import Output
from lvmqcow.cli.verbs import Verbs
from lvmqcow.core.names import check_snapshot_name, in_other_format
from lvmqcow.operations import Clone, Convert, Copy, Flatten, Template

__all__ = ["add_verbs"]


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module."""
    copy = verbs.add_parser(
        "copy",
        help="copy a volume or a snapshot into a new volume",
        more="The new volume is independent of the source. The name of the new volume decides its format: a name that "
        "ends in .qcow2 means qcow2, any other name means raw. A volume that is in use is refused; a snapshot can be "
        "copied while a guest runs on its volume.",
    )
    copy.add_argument("source", metavar="VG/VOLUME[@SNAPSHOT]", help="the volume or snapshot to copy")
    copy.add_argument("new", metavar="[VG/]NEWVOLUME", help="the name of the new volume, in the same volume group")
    add_plan_options(copy)
    copy.set_defaults(run=_copy)

    convert = verbs.add_parser(
        "convert",
        help="change the format of a volume: from raw to qcow2, or from qcow2 to raw",
        more="The volume gets the name that goes with the new format. A volume that has snapshots or that is in use is "
        "refused.",
    )
    convert.add_argument("volume", metavar="VG/VOLUME", help="the volume to convert")
    convert.add_argument(
        "new",
        metavar="[VG/]NEWVOLUME",
        nargs="?",
        help="the new name (default: the old name with .qcow2 added or removed)",
    )
    add_wipe_option(convert)
    add_plan_options(convert)
    convert.set_defaults(run=_convert)
    _add_clone_verbs(verbs)


def _add_clone_verbs(verbs: Verbs) -> None:
    template = verbs.add_parser(
        "template",
        help="make a volume read-only for good, so that it can be cloned",
        more="Raw volumes cannot become templates. A volume that is in use is refused.",
    )
    clone = verbs.add_parser(
        "clone",
        help="create a volume that reads through a template or through a snapshot",
        more="No data is copied. As long as the clone exists, lvmqcow refuses to merge, remove or rename what the "
        "clone reads through.",
    )
    flatten = verbs.add_parser(
        "flatten",
        help="make a clone independent of the volume that it reads through",
        more="The clone gets a copy of all data that it reads from other volumes. A clone that is in use is refused.",
    )
    for parser, run in ((template, _template), (clone, _clone), (flatten, _flatten)):
        metavar = "VG/VOLUME[@SNAPSHOT]" if parser is clone else "VG/VOLUME"
        text = "the template, or the snapshot, to clone" if parser is clone else "the volume"
        parser.add_argument("volume", metavar=metavar, help=text)
        add_plan_options(parser)
        parser.set_defaults(run=run)
    clone.add_argument("new", metavar="[VG/]NEWVOLUME", help="the name of the clone, in the same volume group")


def _copy(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume, snapshot = layer_target(arguments.source)
    return perform(arguments, vg, Copy(volume, snapshot, new_volume(arguments.new, vg)), output)


def _convert(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)
    new = new_volume(arguments.new, vg) if arguments.new else in_other_format(volume)
    return perform(arguments, vg, Convert(volume, new, arguments.wipe), output)


def _template(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)
    return perform(arguments, vg, Template(volume), output)


def _clone(arguments: argparse.Namespace, output: Output) -> int:
    text: str = arguments.volume
    source, at, snapshot = text.partition("@")
    vg, volume = target(source)
    if at:
        check_snapshot_name(snapshot)
    return perform(arguments, vg, Clone(new_volume(arguments.new, vg), volume, snapshot if at else None), output)


def _flatten(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)
    return perform(arguments, vg, Flatten(volume), output)
