"""What several verbs share: the options, ``VG/VOLUME``, opening the storage, running a request or printing its plan."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from lvmqcow.cli.output import Output, plan_document
from lvmqcow.core.fitness import ACCEPTABLE, State
from lvmqcow.core.names import Layout, VolumeName, check_vg_name, parse_volume_name
from lvmqcow.core.sizing import parse_size
from lvmqcow.core.wiping import Wipe
from lvmqcow.engine.events import Events
from lvmqcow.errors import InvalidName
from lvmqcow.operations import Request
from lvmqcow.storage import Storage
from lvmqcow.system.flock import FlockLocks

__all__ = [
    "COMMON_OPTIONS",
    "Options",
    "add_accept_option",
    "add_dry_run",
    "add_options",
    "add_plan_options",
    "add_storage_options",
    "add_wipe_option",
    "add_wipe_rate_option",
    "layer_target",
    "new_volume",
    "open_storage",
    "perform",
    "target",
    "vg_or_target",
]

COMMON_OPTIONS = "common options"
"""The title below which the help of a verb lists the options that it shares with most other verbs."""

Options = argparse._ActionsContainer
"""A parser, or a group of its options."""

_LOCKS = Path("/run/lock/lvmqcow")


def add_options(parser: argparse.ArgumentParser) -> Options:
    """Add the options of every verb. Returns their group, to which other shared options can be added."""
    common = parser.add_argument_group(COMMON_OPTIONS)
    common.add_argument(
        "--json", action="store_true", help="write the result to stdout as JSON, and an error to stderr as JSON"
    )
    common.add_argument(
        "--verbose", action="store_true", help="print every external command to stderr before the command runs"
    )
    return common


def add_storage_options(parser: argparse.ArgumentParser) -> Options:
    """Add the options of every verb that opens a volume group. Returns their group."""
    common = add_options(parser)
    common.add_argument(
        "--lvm",
        choices=("shell", "process"),
        default="process",
        help="process: start one lvm process for each LVM command; shell: run all LVM commands in one lvm shell "
        "(default: %(default)s)",
    )
    common.add_argument(
        "--layout",
        choices=[*Layout],
        help="how to name the first snapshot of a volume (default: like the other snapshots in the volume group; "
        "rfc if there are none)",
    )
    common.add_argument(
        "--wait",
        type=float,
        default=0,
        metavar="SECONDS",
        help="wait up to this long if another operation holds the lock of the volume (default: %(default)s)",
    )
    return common


def add_dry_run(options: Options) -> None:
    """Add the option of every verb that changes a volume."""
    options.add_argument("--dry-run", action="store_true", help="print the commands that would run, and run none")


def add_accept_option(options: Options) -> None:
    """Add the option of every verb that changes a volume, for a volume group that is not as it should be."""
    options.add_argument(
        "--accept",
        action="append",
        type=State,
        choices=sorted(ACCEPTABLE),
        metavar="{" + ",".join(sorted(ACCEPTABLE)) + "}",
        default=[],
        help="change the volume group although it is in this state, in this one call (`lvmqcow list VG` names the "
        "states of a volume group)",
    )


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every verb that carries out a request."""
    common = add_storage_options(parser)
    add_dry_run(common)
    add_wipe_rate_option(common)
    add_accept_option(common)
    common.add_argument(
        "--no-recover",
        action="store_true",
        help="refuse a volume with an interrupted operation (without this option, lvmqcow first finishes or undoes "
        "that operation)",
    )


def add_wipe_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of every verb that removes what held a guest's data."""
    parser.add_argument(
        "--wipe",
        type=Wipe,
        choices=[*Wipe],
        metavar="{" + ",".join(Wipe) + "}",
        default=os.environ.get("LVMQCOW_WIPE") or Wipe.NONE.value,
        help="erase the data of every LV that is removed, before its space becomes free. none: erase nothing; zero: "
        "overwrite the LV with zeros; discard: discard the LV, or overwrite it with zeros if its device cannot discard "
        "(default: $LVMQCOW_WIPE, or none)",
    )


def add_wipe_rate_option(options: Options) -> None:
    """Add the option of every verb that may wipe. A verb may have to finish the wipe that an earlier one began."""
    options.add_argument(
        "--wipe-rate",
        metavar="SIZE",
        default=os.environ.get("LVMQCOW_WIPE_RATE"),
        help="erase at most this much per second, for example 100M (default: $LVMQCOW_WIPE_RATE, or no limit)",
    )


def target(text: str) -> tuple[str, VolumeName]:
    """Read ``VG/VOLUME``. Raises InvalidName."""
    vg, volume = vg_or_target(text)
    if volume is None:
        raise InvalidName("volume", text, "write it as VG/VOLUME")
    return vg, volume


def layer_target(text: str) -> tuple[str, VolumeName, str | None]:
    """Read ``VG/VOLUME`` or ``VG/VOLUME@SNAPSHOT``. Raises InvalidName."""
    named, at, snapshot = text.partition("@")
    if at and not snapshot:
        raise InvalidName("snapshot", snapshot, "write it as VG/VOLUME@SNAPSHOT, or VG/VOLUME for what it holds now")
    return (*target(named), snapshot or None)


def vg_or_target(text: str) -> tuple[str, VolumeName | None]:
    """Read ``VG`` or ``VG/VOLUME``. Raises InvalidName."""
    vg, slash, volume = text.removeprefix("/dev/").partition("/")
    check_vg_name(vg)
    return vg, parse_volume_name(volume) if slash else None


def new_volume(text: str, vg: str) -> VolumeName:
    """Read the name of a volume that is to be made in ``vg``: ``NEWVOLUME``, or ``VG/NEWVOLUME`` as lvm2 takes it too.

    Raises:
        InvalidName: it is no volume's name, or in another volume group.
    """
    if "/" not in text:
        return parse_volume_name(text)
    named, new = target(text)
    if named != vg:
        advice = "to take a volume to another one, use `lvmqcow export` and `lvmqcow import`"
        raise InvalidName("volume", text, f"it must be in {vg}, the same volume group as the source; {advice}")
    return new


def open_storage(arguments: argparse.Namespace, vg: str, output: Output) -> Storage:
    """The storage, telling ``output`` what happens. Raises InvalidSize."""
    wipe_rate: str | None = getattr(arguments, "wipe_rate", None)
    storage = Storage.open(
        vg,
        lvm=arguments.lvm,
        locks=FlockLocks(_LOCKS, wait_seconds=arguments.wait),
        events=Events(
            output.recovering, output.postponed, output.begun, output.progress, output.waiting, warned=output.warned
        ),
        trace=output.trace,
        recover_first=not getattr(arguments, "no_recover", False),
        layout=Layout(arguments.layout) if arguments.layout else None,
        wipe_bytes_per_second=parse_size(wipe_rate) if wipe_rate else None,
    )
    return storage.accepting(*getattr(arguments, "accept", ()))


def perform(arguments: argparse.Namespace, vg: str, request: Request, output: Output) -> int:
    """Run a request and say so, or with ``--dry-run`` print its plan."""
    with open_storage(arguments, vg, output) as storage:
        if arguments.dry_run:
            output.commands(storage.plan(request))
        else:
            plan = storage.apply(request)
            output.data(plan_document(plan, dry_run=False))
            output.say(f"{plan.operation} of {plan.target} done")
    return 0
