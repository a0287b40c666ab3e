"""Verbs on templates and linked clones: template, clone, flatten."""

from __future__ import annotations

import argparse

from lvmqcow.cli.common import add_plan_options, new_volume, perform, target
from lvmqcow.cli.output import Output
from lvmqcow.cli.verbs import Verbs
from lvmqcow.core.names import check_snapshot_name
from lvmqcow.operations import Clone, Flatten, Template

__all__ = ["add_verbs"]


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module."""
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
