"""The verbs of ``loopvg``: create, list, destroy."""

from __future__ import annotations

import argparse
from pathlib import Path

from lvmqcow.cli.common import add_options
from lvmqcow.cli.confirm import DECLINED, add_yes_option, confirmed, destroy_question
from lvmqcow.cli.output import Output
from lvmqcow.cli.verbs import VERB, Verbs, sentences
from lvmqcow.core.sizing import LARGEST_FILE_BYTES, parse_size
from lvmqcow.lvm import loopvg
from lvmqcow.units import format_size

__all__ = ["add_verbs"]


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module."""
    group = verbs.add_parser(
        "loopvg",
        help="create, list and destroy volume groups on sparse files",
        more="Such a volume group is for trying lvmqcow out, and for tests.",
    )
    inner = group.add_subparsers(dest="verb", metavar=VERB, required=True)

    def add(name: str, help: str) -> argparse.ArgumentParser:
        return inner.add_parser(name, help=help, description=sentences(help))

    create = add("create", "create a volume group on a new sparse file")
    create.add_argument("name", metavar="NAME", help="the name of the volume group")
    create.add_argument("--size", required=True, help="the size of the file, for example 20G")
    create.add_argument(
        "--file", type=Path, metavar="PATH", help=f"the file (default: {loopvg.DEFAULT_DIRECTORY}/NAME.img)"
    )
    create.set_defaults(run=_create)

    listing = add("list", "list the volume groups that loopvg created")
    listing.set_defaults(run=_list)

    destroy = add("destroy", "remove a volume group that loopvg created, with all its volumes and its file")
    destroy.add_argument("name", metavar="NAME", help="the name of the volume group")
    add_yes_option(destroy)
    destroy.set_defaults(run=_destroy)

    for parser in (create, listing, destroy):
        add_options(parser)


def _create(arguments: argparse.Namespace, output: Output) -> int:
    group = loopvg.create(arguments.name, parse_size(arguments.size, LARGEST_FILE_BYTES), arguments.file)
    output.data(_document(group))
    output.say(f"volume group {group.name}, {format_size(group.size_bytes)}, on {group.file} ({group.device})")
    return 0


def _list(arguments: argparse.Namespace, output: Output) -> int:
    groups = loopvg.existing()
    output.data({"volume_groups": [_document(group) for group in groups]}, "\n".join(_line(group) for group in groups))
    return 0


def _destroy(arguments: argparse.Namespace, output: Output) -> int:
    if not confirmed(arguments, output, lambda: _question(arguments.name)):
        return DECLINED
    loopvg.destroy(arguments.name)
    output.data({"destroyed": arguments.name})
    output.say(f"volume group {arguments.name} and its file are gone")
    return 0


def _question(name: str) -> str:
    group = loopvg.find(name)
    return destroy_question(group, loopvg.contents(group))


def _line(group: loopvg.LoopVolumeGroup) -> str:
    sizes = f"{format_size(group.size_bytes)}, {format_size(group.free_bytes)} free"
    return f"{group.name}  {sizes}, {group.device}  {group.file}"


def _document(group: loopvg.LoopVolumeGroup) -> dict[str, object]:
    return {
        "name": group.name,
        "size_bytes": group.size_bytes,
        "free_bytes": group.free_bytes,
        "device": group.device,
        "file": str(group.file),
    }
