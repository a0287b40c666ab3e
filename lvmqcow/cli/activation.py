"""Verbs that say where a volume's devices are: activate, deactivate."""

from __future__ import annotations

import argparse

from lvmqcow.cli.common import add_plan_options, perform, target
from lvmqcow.cli.output import Output
from lvmqcow.cli.verbs import Verbs
from lvmqcow.operations import Activate, Deactivate

__all__ = ["add_verbs"]


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module."""
    activate = verbs.add_parser(
        "activate",
        help="make the devices of a volume available on this host",
        more="The devices of its snapshots become available too. A device that is available already is refreshed: "
        "its size follows the LV. Nothing is made available on another host.",
    )
    deactivate = verbs.add_parser(
        "deactivate",
        help="remove the devices of a volume from this host",
        more="The devices of its snapshots go too. The data stays. A volume that is in use is refused, and lvmqcow "
        "names what uses the volume.",
    )
    for parser, run in ((activate, _activate), (deactivate, _deactivate)):
        parser.add_argument("volume", metavar="VG/VOLUME", help="the volume")
        add_plan_options(parser)
        parser.set_defaults(run=run)


def _activate(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)
    return perform(arguments, vg, Activate(volume), output)


def _deactivate(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)
    return perform(arguments, vg, Deactivate(volume), output)
