"""The parser, and how an error becomes an exit status."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from io import FileIO, TextIOWrapper
from typing import Final, NoReturn, TextIO

from lvmqcow.cli import activation, copies, health, loop, snapshots, transfer, verify, volumes
from lvmqcow.cli.output import Output
from lvmqcow.cli.verbs import VERB, Parser, Verbs
from lvmqcow.errors import Interrupted, InvalidRequest, LvmqcowError, OperationCut
from lvmqcow.lab import cli as lab

__all__ = ["exit_status", "main", "parser"]

_GROUPS: Final = (
    ("disks", (volumes, activation)),
    ("snapshots", (snapshots,)),
    ("copies", (copies,)),
    ("moving data", (transfer,)),
    ("health", (health,)),
    ("proof", (verify,)),
)
_EXAMPLES: Final = """\
examples:
  lvmqcow create vg0/vm-100-disk-0.qcow2 --size 10G
  lvmqcow snapshot vg0/vm-100-disk-0.qcow2 before-upgrade
  lvmqcow rollback vg0/vm-100-disk-0.qcow2 before-upgrade --dry-run

Volumes are named VG/VOLUME: vg0/vm-100-disk-0.qcow2, or vg0/vm-100-disk-0 for raw.
`lvmqcow VERB --help` describes a verb. `man lvmqcow` lists the exit statuses.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    _open_standard_streams()
    signal.signal(signal.SIGTERM, _interrupt)  # as Ctrl-C: what runs is told to stop, and the volume stays recoverable
    arguments = parser().parse_args(argv)
    if arguments.group == "lab":
        return lab.execute(arguments)
    output = Output(as_json=arguments.json, verbose=arguments.verbose)
    try:
        status: int = arguments.run(arguments, output)
    except KeyboardInterrupt:
        return _failed(output, Interrupted(f"lvmqcow {arguments.group}"))
    except LvmqcowError as error:
        return _failed(output, error)
    return status


def exit_status(error: LvmqcowError) -> int:
    """What the process exits with: for an operation cut midway, the status of what cut it."""
    return (error.cause if isinstance(error, OperationCut) else error).exit_status


class _Version(argparse.Action):
    """Looks the version up only when somebody asks: no other verb needs the package's metadata."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version  # a tenth of the time of a start

        try:
            parser.exit(message=f"lvmqcow {version('lvmqcow')}\n")
        except PackageNotFoundError:
            parser.error("the version is not known: lvmqcow runs without being installed")


def parser() -> Parser:
    """The whole command line."""
    top = Parser(
        prog="lvmqcow",
        usage=f"%(prog)s [-h] [--version] {VERB} ...",
        description="Manage virtual-machine disks: qcow2 images, with snapshots, on LVM logical volumes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    verbs = Verbs(top, dest="group")
    for title, rooms in _GROUPS:
        with verbs.group(title):
            for room in rooms:
                room.add_verbs(verbs)
    with verbs.group("lab"):
        loop.add_verbs(verbs)
        lab_parser = verbs.add_parser(
            "lab",
            help="run a command where it has root, device-mapper and loop devices",
            more="Where this machine has all three, the command runs on this machine, in private mount and LVM "
            "directories. Elsewhere the command runs under User-mode Linux.",
        )
        lab.add_parsers(lab_parser.add_subparsers(dest="verb", metavar=VERB, required=True))
    top.epilog = f"{verbs.listed()}\n{_EXAMPLES}"
    return top


def _failed(output: Output, error: LvmqcowError) -> int:
    status = exit_status(error)
    output.error(error, status)
    if isinstance(error, InvalidRequest):
        output.say("`lvmqcow --help` shows how to ask")
    return status


def _open_standard_streams() -> None:
    """Where one is closed, the next device that is opened would take its number, and get what is printed."""

    def nowhere() -> TextIO:  # the lowest free number, so that of the stream
        return TextIOWrapper(FileIO(os.open(os.devnull, os.O_RDWR), "r+"), write_through=True)

    sys.stdin = sys.stdin or nowhere()
    sys.stdout = sys.stdout or nowhere()
    sys.stderr = sys.stderr or nowhere()


def _interrupt(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
