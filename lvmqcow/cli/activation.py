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
    activate = verbs.add_parser("activate", help="make a volume's devices there and up to date, on this host alone")
    deactivate = verbs.add_parser("deactivate", help="take a volume's devices away from this host")
    for parser, run in ((activate, _activate), (deactivate, _deactivate)):
        parser.add_argument("volume", metavar="VG/VOLUME")
        add_plan_options(parser)
        parser.set_defaults(run=run)


def _activate(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)
    return perform(arguments, vg, Activate(volume), output)


def _deactivate(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)
    return perform(arguments, vg, Deactivate(volume), output)
