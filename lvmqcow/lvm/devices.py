"""Compare the names in ``/dev`` with what LVM reports of a volume group.

LVM reports logical volumes and their devices. A killed lvm may leave device nodes of an LV that was renamed,
deactivated or removed. The kernel may later give the number of such a node to another LV, and then a process that opens
the old name writes to that LV. If udev makes the nodes, it also removes them. Without udev, as in a container, LVM
removes them itself at the very end of a command.

The names are listed before LVM's report and compared after it. The report waits for any command that is changing the
volume group, and such a command corrects the nodes before it releases LVM's lock. So a name that exists both before and
after the report and does not agree with it is a leftover.

Sources: libdevmapper (``dm_mknodes``, ``rm_dev_node``), and lvm2's ``fs_del_lv``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lvmqcow.core.group import VolumeGroup
from lvmqcow.core.lv import LogicalVolume, Stray, StrayKind
from lvmqcow.core.names import device_path, dm_name, dm_uuid, lv_of_dm_name
from lvmqcow.errors import CommandFailed

__all__ = ["DeviceNames", "device_names", "with_devices"]

_DEV: Final = Path("/dev")
_NOTHING: Final = frozenset[str]()


@dataclass(frozen=True)
class DeviceNames:
    """The names in ``/dev`` that name LVs of a volume group, or could name one."""

    links: frozenset[str]
    """The names in ``/dev/VG``."""
    nodes: frozenset[str]
    """The LV names of the nodes in ``/dev/mapper``."""
    files: frozenset[str]
    """The names in both that are neither a link nor a device. A program that found no device may have made a file."""

    def __and__(self, other: DeviceNames) -> DeviceNames:
        return DeviceNames(self.links & other.links, self.nodes & other.nodes, self.files & other.files)

    @property
    def all(self) -> frozenset[str]:
        return self.links | self.nodes | self.files


def device_names(vg: str, dev: Path = _DEV) -> DeviceNames:
    """List the names that exist now. Raises CommandFailed: a directory cannot be listed."""
    links = {entry.name: entry for entry in _listed(dev / vg)}
    nodes = {lv: entry for entry in _listed(dev / "mapper") if (lv := lv_of_dm_name(vg, entry.name))}
    files = {name for names in (links, nodes) for name, entry in names.items() if _is_file(entry)}
    return DeviceNames(frozenset(links.keys() - files), frozenset(nodes.keys() - files), frozenset(files))


def with_devices(picture: VolumeGroup, before: DeviceNames) -> VolumeGroup:
    """Add to a picture what is wrong in ``/dev``. ``before`` are the names that existed before LVM's report."""
    idle = {lv.name for lv in picture.logical_volumes if not lv.active}
    if before.all <= picture.lv_names - idle:
        there = DeviceNames(_NOTHING, _NOTHING, _NOTHING)
    else:
        there = before & device_names(picture.name)
    lvs = tuple(replace(lv, wrong_in_dev=_wrong_in_dev(picture.name, lv, there)) for lv in picture.logical_volumes)
    return replace(picture, logical_volumes=lvs, strays=tuple(_strays(picture, there)))


def _wrong_in_dev(vg: str, lv: LogicalVolume, there: DeviceNames) -> bool:
    if not lv.active:
        return lv.name in there.links | there.nodes
    return lv.device_number is not None and _number(device_path(vg, lv.name)) != lv.device_number


def _strays(picture: VolumeGroup, there: DeviceNames) -> Iterator[Stray]:
    yield from (Stray(name, StrayKind.OTHER) for name in sorted(there.files))
    names = sorted((there.links | there.nodes) - picture.lv_names)
    mapped = _mapped() if names else {}
    own = {dm_uuid(picture.uuid, lv.uuid) for lv in picture.logical_volumes}
    for name in names:
        uuid = mapped.get(dm_name(picture.name, name))
        if uuid in own:
            continue  # the device of an LV, suspended under its old name; a refresh renames it
        if uuid is None:
            yield Stray(name, StrayKind.NODE if name in there.nodes else StrayKind.LINK)
        else:
            made_by_lvm = uuid.startswith(dm_uuid(picture.uuid, ""))
            yield Stray(name, StrayKind.DEVICE if made_by_lvm else StrayKind.OTHER)


def _is_file(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)


def _listed(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CommandFailed(("ls", str(directory)), error.errno or 1, error.strerror or str(error)) from error


def _number(path: str) -> tuple[int, int] | None:
    try:
        number = os.stat(path).st_rdev
    except OSError:
        return None
    return os.major(number), os.minor(number)


def _mapped() -> Mapping[str, str]:
    """Return the UUID of every device-mapper device by its name."""
    found: dict[str, str] = {}
    for device in Path("/sys/block").glob("dm-*/dm"):
        with suppress(OSError):  # the device was removed meanwhile
            found[(device / "name").read_text().strip()] = (device / "uuid").read_text().strip()
    return found
