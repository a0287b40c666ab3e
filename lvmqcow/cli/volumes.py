"""Verbs on volumes: create, import, list, info, path, resize, rename, remove."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from lvmqcow.cli.common import (
    add_plan_options,
    add_storage_options,
    add_wipe_option,
    new_volume,
    open_storage,
    perform,
    target,
    vg_or_target,
)
from lvmqcow.cli.confirm import DECLINED, add_yes_option, confirmed, remove_question
from lvmqcow.cli.output import Output, plan_document
from lvmqcow.cli.verbs import Verbs
from lvmqcow.core.names import Format, disk_name, parse_volume_name
from lvmqcow.core.sizing import format_size, parse_size
from lvmqcow.errors import InvalidName, LvmqcowError, UnfitMachine
from lvmqcow.info import GroupInfo, LayerInfo, VolumeInfo, group_info, volume_info
from lvmqcow.lvm.commands import LvmProcesses
from lvmqcow.lvm.groups import groups_with_volumes
from lvmqcow.operations import Create, Grow, Remove, Rename, Request, Resize

if TYPE_CHECKING:
    from rich.table import Table
    from rich.tree import Tree

__all__ = ["add_verbs", "group_table", "layer_tree", "volume_table"]

_COLUMNS: Final = ("volume", "format", "size", "on LVM", "snapshots", "clone of")


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs of this module."""
    create = verbs.add_parser(
        "create",
        help="create a volume that reads as zeros",
        more="The name of the volume decides its format: a name that ends in .qcow2 means qcow2, any other name means "
        "raw.",
    )
    create.add_argument("volume", metavar="VG/VOLUME", help="the new volume; with --vmid, only VG")
    create.add_argument(
        "--vmid",
        type=int,
        metavar="ID",
        help="choose the lowest free disk name of this virtual machine, and print the name",
    )
    create.add_argument("--size", required=True, help="the size that the guest sees, for example 10G or 512M")
    create.add_argument(
        "--format",
        choices=[*Format],
        help="the format of the volume; it must agree with the name (default: the format that the name says; with "
        "--vmid: qcow2)",
    )
    add_plan_options(create)
    create.set_defaults(run=_create)

    listing = verbs.add_parser(
        "list",
        help="list the volumes of one volume group, or of all volume groups",
        more="list activates nothing.",
    )
    listing.add_argument(
        "vg", metavar="VG", nargs="?", help="the volume group (default: every volume group that has volumes)"
    )
    add_storage_options(listing)
    listing.set_defaults(run=_list)

    info = verbs.add_parser(
        "info",
        help="show a volume and its layers",
        more="Each layer reads through the layer above it in the tree.",
    )
    info.add_argument("volume", metavar="VG/VOLUME", help="the volume")
    add_storage_options(info)
    info.set_defaults(run=_info)

    path = verbs.add_parser(
        "path",
        help="print the device of a volume or of a snapshot",
        more="This is the device to give to QEMU. A volume with an interrupted operation is refused: run `lvmqcow "
        "recover` first.",
    )
    path.add_argument("volume", metavar="VG/VOLUME", help="the volume")
    path.add_argument(
        "snapshot", metavar="SNAPSHOT", nargs="?", help="the snapshot (default: the current content of the volume)"
    )
    add_storage_options(path)
    path.set_defaults(run=_path)

    resize = verbs.add_parser(
        "resize",
        help="grow a volume; the added space reads as zeros",
        more="A volume never shrinks. With the size that the volume already has, resize only repairs an LV that is too "
        "small for its image.",
    )
    resize.add_argument("volume", metavar="VG/VOLUME", help="the volume")
    resize.add_argument(
        "--size", required=True, help="the new size that the guest sees, for example 20G; or how much to add: +5G"
    )
    add_plan_options(resize)
    resize.set_defaults(run=_resize)

    rename = verbs.add_parser(
        "rename",
        help="rename a volume together with all its snapshots",
        more="The new name must mean the same format. It may have the VMID of another virtual machine. A volume that "
        "is in use is refused.",
    )
    rename.add_argument("volume", metavar="VG/VOLUME", help="the volume")
    rename.add_argument("new", metavar="[VG/]NEWVOLUME", help="the new name, in the same volume group")
    add_plan_options(rename)
    rename.set_defaults(run=_rename)

    remove = verbs.add_parser(
        "remove",
        help="remove a volume with all its snapshots",
        more="At a terminal, remove names what it will remove and asks first. A volume that is in use, or that clones "
        "read through, is refused.",
    )
    remove.add_argument("volume", metavar="VG/VOLUME", help="the volume")
    add_plan_options(remove)
    add_wipe_option(remove)
    add_yes_option(remove)
    remove.set_defaults(run=_remove)


def layer_tree(info: VolumeInfo, layers: tuple[LayerInfo, ...]) -> Tree:
    """The chain, oldest at the root: each layer reads through the one above it."""
    from rich.tree import Tree

    def add_readers(node: Tree, parent: str | None) -> None:
        for layer in layers:
            if (layer.parent if layer.parent in present else None) == parent:
                add_readers(node.add(_label(info, layer).replace("[", "\\[")), layer.lv)

    present = {layer.lv for layer in layers}
    kind = ", template" if info.template else ""
    kind += f", clone of {info.base}" if info.base else ""
    tree = Tree(f"{info.name}  {info.format}, {_size(info.virtual_size_bytes)}{kind}")
    add_readers(tree, None)
    return tree


def _label(info: VolumeInfo, layer: LayerInfo) -> str:
    size = "" if layer.virtual_size_bytes == info.virtual_size_bytes else f"{_size(layer.virtual_size_bytes)}, "
    allocated = "not active" if layer.allocated_bytes is None else f"{format_size(layer.allocated_bytes)} allocated"
    of = "" if info.format is Format.RAW else f", {allocated}"
    clones = f"  cloned by {', '.join(layer.clones)}" if layer.clones else ""
    return f"{layer.snapshot or 'current'}  [{size}{format_size(layer.lv_size_bytes)} LV{of}]{clones}"


def _size(size_bytes: int | None) -> str:
    return "size unknown" if size_bytes is None else format_size(size_bytes)


def _create(arguments: argparse.Namespace, output: Output) -> int:
    if arguments.vmid is not None:
        return _create_disk(arguments, output)
    vg, named = target(arguments.volume)
    volume = parse_volume_name(named.text, Format(arguments.format) if arguments.format else None)
    return perform(arguments, vg, Create(volume, parse_size(arguments.size)), output)


def _create_disk(arguments: argparse.Namespace, output: Output) -> int:
    vg, named = vg_or_target(arguments.volume)
    if named is not None:
        raise InvalidName("volume group", arguments.volume, "with --vmid the volume's name is found: give only VG")
    image_format, size_bytes = Format(arguments.format or Format.QCOW2), parse_size(arguments.size)
    disk_name(arguments.vmid, 0, image_format)  # refuses what can be no machine's number
    with open_storage(arguments, vg, output) as storage:
        if arguments.dry_run:
            output.commands(storage.plan(Create(storage.free_name(arguments.vmid, image_format), size_bytes)))
        else:
            plan = storage.allocate(arguments.vmid, size_bytes, image_format)
            output.data(plan_document(plan, dry_run=False), plan.target)
            output.say(f"{plan.operation} of {plan.target} done")
    return 0


def _list(arguments: argparse.Namespace, output: Output) -> int:
    if arguments.vg is None:
        return _list_all(arguments, output)
    vg, named = vg_or_target(arguments.vg)
    if named is not None:
        raise InvalidName("volume group", arguments.vg, "give only VG; `lvmqcow info` shows one volume")
    group, volumes = _listed(arguments, vg, output)
    document = {**_document({vg: volumes}), "volume_group": asdict(group)}
    output.data(document, "" if output.as_json else volume_table(volumes))
    output.conditions(vg, group.conditions)
    return 0


def _list_all(arguments: argparse.Namespace, output: Output) -> int:
    groups: dict[str, GroupInfo] = {}
    listed: dict[str, tuple[VolumeInfo, ...]] = {}
    failed: list[LvmqcowError] = []
    for vg in groups_with_volumes(LvmProcesses(trace=output.trace, waiting=output.waiting)):
        try:
            groups[vg], listed[vg] = _listed(arguments, vg, output)
        except UnfitMachine:
            raise
        except LvmqcowError as error:  # the others are listed all the same
            error.add_note(f"the volumes of {vg} are not listed")
            failed.append(error)
    document = {**_document(listed), "volume_groups": [asdict(group) for group in groups.values()]}
    output.data(document, "" if output.as_json else group_table(listed))
    for vg, group in groups.items():
        output.conditions(vg, group.conditions)
    for each in failed:
        output.error(each, each.exit_status)
    return failed[0].exit_status if failed else 0


def _listed(arguments: argparse.Namespace, vg: str, output: Output) -> tuple[GroupInfo, tuple[VolumeInfo, ...]]:
    with open_storage(arguments, vg, output) as storage:
        return storage.listing()


def _document(listed: Mapping[str, tuple[VolumeInfo, ...]]) -> dict[str, object]:
    return {"volumes": [{"vg": vg, **asdict(info)} for vg, volumes in listed.items() for info in volumes]}


def _info(arguments: argparse.Namespace, output: Output) -> int:
    vg, name = target(arguments.volume)
    with open_storage(arguments, vg, output) as storage:
        picture = storage.picture(name)
        group, info, layers = group_info(picture), volume_info(picture.volume(name)), storage.layers(name)
    document = {
        "vg": vg,
        **asdict(info),
        "layers": [asdict(layer) for layer in layers],
        "volume_group": asdict(group),
    }
    output.data(document, "" if output.as_json else layer_tree(info, layers))
    output.conditions(group.name, group.conditions)
    return 0


def _path(arguments: argparse.Namespace, output: Output) -> int:
    vg, name = target(arguments.volume)
    with open_storage(arguments, vg, output) as storage:
        path = str(storage.volume(name.text).path(arguments.snapshot))
    output.data({"path": path}, path)
    return 0


def _resize(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)
    size: str = arguments.size
    size_bytes = parse_size(size.removeprefix("+"))
    request: Request = Grow(volume, size_bytes) if size.startswith("+") else Resize(volume, size_bytes)
    return perform(arguments, vg, request, output)


def _rename(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)
    return perform(arguments, vg, Rename(volume, new_volume(arguments.new, vg)), output)


def _remove(arguments: argparse.Namespace, output: Output) -> int:
    vg, volume = target(arguments.volume)

    def question() -> str:
        with open_storage(arguments, vg, output) as storage:
            return remove_question(storage.picture(), volume)

    if not confirmed(arguments, output, question):
        return DECLINED
    return perform(arguments, vg, Remove(volume, arguments.wipe), output)


def volume_table(volumes: tuple[VolumeInfo, ...]) -> Table:
    """All volumes, each clone below what it reads through."""
    from rich.table import Table

    table = Table(*_COLUMNS, box=None, pad_edge=False)
    for row in _rows(volumes):
        table.add_row(*row)
    return table


def group_table(listed: Mapping[str, tuple[VolumeInfo, ...]]) -> Table:
    """The same, of several volume groups."""
    from rich.table import Table

    table = Table("VG", *_COLUMNS, box=None, pad_edge=False)
    for vg, volumes in listed.items():
        for row in _rows(volumes):
            table.add_row(vg, *row)
    return table


def _rows(volumes: tuple[VolumeInfo, ...]) -> Iterator[tuple[str, ...]]:
    for guide, info in _with_clones(volumes):
        sizes = (_size(info.virtual_size_bytes), format_size(info.lv_size_bytes))
        kind = info.base or ("- (template)" if info.template else "-")
        yield (guide + info.name, info.format.value, *sizes, ", ".join(info.snapshots) or "-", kind)


def _with_clones(volumes: tuple[VolumeInfo, ...]) -> list[tuple[str, VolumeInfo]]:
    """Every volume with what leads to it in the tree of clones; in a circle, which is damage, one is at the root."""
    rows: dict[str, tuple[str, VolumeInfo]] = {}

    def add(info: VolumeInfo, lead: str, below: str) -> None:
        rows[info.name] = (lead, info)
        clones = [each for each in volumes if _read_through(each) == info.name and each.name not in rows]
        for clone in clones:
            last = clone is clones[-1]
            add(clone, below + ("└── " if last else "├── "), below + ("    " if last else "│   "))

    names = {info.name for info in volumes}
    for info in sorted(
        volumes, key=lambda info: _read_through(info) in names
    ):  # stable: by name, but what is no clone first
        if info.name not in rows:
            add(info, "", "")
    return list(rows.values())


def _read_through(clone: VolumeInfo) -> str | None:
    """The volume that it reads through."""
    return clone.base.partition("@")[0] if clone.base else None
