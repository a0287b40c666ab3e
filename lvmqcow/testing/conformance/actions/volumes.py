"""Actions on whole volumes: create, write, resize, rename, remove, activate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import ClassVar, Final

from lvmqcow.core.names import Format, disk_name, parse_volume_name
from lvmqcow.core.wiping import Wipe
from lvmqcow.errors import AlreadyExists, FormatMismatch, LvmqcowError, NoSpace, NotPossible
from lvmqcow.operations import Plan
from lvmqcow.testing.conformance.actions.base import (
    BEYOND_BYTES,
    GROWTHS_BYTES,
    LARGEST_BYTES,
    SIZES_BYTES,
    VOLUMES,
    Action,
    Chooser,
    Rule,
    any_volume,
    draw_writes,
    require_steps,
)
from lvmqcow.testing.conformance.violation import require
from lvmqcow.testing.content import BLOCK_BYTES, Content, Write
from lvmqcow.testing.model import DiskModel, Disks, Model, changing, clones, loosen, writable
from lvmqcow.testing.worlds import World

__all__ = ["KINDS", "RULES", "Create", "WriteTo", "write_to"]

_LAST_DISK: Final = 2
"""The highest number of a disk of one machine. The volume group is small."""
_MACHINES: Final = (100, 1000)


@dataclass(frozen=True)
class Create:
    """Create a volume."""

    kind: ClassVar[str] = "create"
    volume: str
    size_bytes: int

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        if self.volume in model.disks:
            return AlreadyExists
        return NoSpace if self.size_bytes >= BEYOND_BYTES else None

    def on(self, world: World) -> Plan | None:
        world.storage.create(self.volume, self.size_bytes)
        return None

    def change(self, model: Model, ran: Plan | None) -> None:
        image_format = parse_volume_name(self.volume).format
        size_bytes = model.visible_bytes(image_format, self.size_bytes)
        model.disks[self.volume] = DiskModel(image_format, Content(size_bytes))


@dataclass(frozen=True)
class Allocate:
    """Create a volume under the lowest free disk name of a machine."""

    kind: ClassVar[str] = "allocate"
    vmid: int
    size_bytes: int
    format: Format

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        return None

    def on(self, world: World) -> Plan | None:
        return world.storage.allocate(self.vmid, self.size_bytes, self.format)

    def change(self, model: Model, ran: Plan | None) -> None:
        name = disk_name(self.vmid, _free_number(model.disks, self.vmid), self.format).text
        if ran is not None:
            require(ran.volume.text == name, "a volume has another name than the lowest free one", name, ran.volume)
        model.disks[name] = DiskModel(self.format, Content(model.visible_bytes(self.format, self.size_bytes)))


@dataclass(frozen=True)
class WriteTo:
    """A guest writes to a volume."""

    kind: ClassVar[str] = "write"
    volume: str
    writes: tuple[Write, ...]

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        return None

    def on(self, world: World) -> Plan | None:
        volume = world.storage.volume(self.volume)
        if volume.info().base:  # an operation on the volume of the base may have deactivated the base
            volume.activate()
        world.write(self.volume, parse_volume_name(self.volume).format, self.writes)
        return None

    def change(self, model: Model, ran: Plan | None) -> None:
        disk = model.disks[self.volume]
        disk.current = disk.current.written(self.writes)


@dataclass(frozen=True)
class Resize:
    """Grow a volume to a size."""

    kind: ClassVar[str] = "resize"
    volume: str
    size_bytes: int

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        disk = model.disks[self.volume]
        smaller = model.visible_bytes(disk.image_format, self.size_bytes) < disk.current.size_bytes
        return NotPossible if disk.template or smaller else None

    def on(self, world: World) -> Plan | None:
        return world.storage.volume(self.volume).resize(self.size_bytes)

    def change(self, model: Model, ran: Plan | None) -> None:
        disk = model.disks[self.volume]
        new_bytes = model.visible_bytes(disk.image_format, self.size_bytes)
        require_steps(ran, new_bytes > disk.current.size_bytes, f"resize from {disk.current.size_bytes} to {new_bytes}")
        disk.current = replace(disk.current, size_bytes=new_bytes)


@dataclass(frozen=True)
class Grow:
    """Grow a volume by a number of bytes."""

    kind: ClassVar[str] = "grow"
    volume: str
    more_bytes: int

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        return NotPossible if model.disks[self.volume].template else None

    def on(self, world: World) -> Plan | None:
        return world.storage.volume(self.volume).grow(self.more_bytes)

    def change(self, model: Model, ran: Plan | None) -> None:
        disk = model.disks[self.volume]
        asked_bytes = disk.current.size_bytes + self.more_bytes
        disk.current = replace(disk.current, size_bytes=model.visible_bytes(disk.image_format, asked_bytes))


@dataclass(frozen=True)
class Rename:
    """Rename a volume with its snapshots."""

    kind: ClassVar[str] = "rename"
    volume: str
    new: str

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        if clones(model.disks, self.volume):
            return NotPossible
        if parse_volume_name(self.new).format is not model.disks[self.volume].image_format:
            return FormatMismatch
        return AlreadyExists if self.new in model.disks else None

    def on(self, world: World) -> Plan | None:
        world.storage.volume(self.volume).rename(self.new)
        return None

    def change(self, model: Model, ran: Plan | None) -> None:
        model.disks[self.new] = model.disks.pop(self.volume)


@dataclass(frozen=True)
class Remove:
    """Remove a volume with its snapshots."""

    kind: ClassVar[str] = "remove"
    volume: str
    wipe: Wipe | None = None

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        return NotPossible if clones(model.disks, self.volume) else None

    def on(self, world: World) -> Plan | None:
        return world.storage.volume(self.volume).remove(self.wipe)

    def change(self, model: Model, ran: Plan | None) -> None:
        loosen(model.disks, model.disks.pop(self.volume))


@dataclass(frozen=True)
class Activate:
    """Activate a volume with its snapshots."""

    kind: ClassVar[str] = "activate"
    volume: str

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        return None

    def on(self, world: World) -> Plan | None:
        return world.storage.volume(self.volume).activate()

    def change(self, model: Model, ran: Plan | None) -> None:
        disk = model.disks[self.volume]
        disk.active, disk.loose = True, False


@dataclass(frozen=True)
class Deactivate:
    """Deactivate a volume with its snapshots."""

    kind: ClassVar[str] = "deactivate"
    volume: str

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        return None

    def on(self, world: World) -> Plan | None:
        return world.storage.volume(self.volume).deactivate()

    def change(self, model: Model, ran: Plan | None) -> None:
        disk = model.disks[self.volume]
        disk.active = disk.loose = False


@dataclass(frozen=True)
class Recover:
    """Recover all volumes, none of which needs it."""

    kind: ClassVar[str] = "recover"

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        return None

    def on(self, world: World) -> Plan | None:
        plans = world.storage.recover()
        require(plans == (), "recovery changed healthy volumes", "no plan", plans)
        return None

    def change(self, model: Model, ran: Plan | None) -> None:
        pass


def write_to(disks: Disks, name: str, chooser: Chooser) -> WriteTo:
    """Draw writes to a volume."""
    return WriteTo(name, draw_writes(disks[name].current.size_bytes // BLOCK_BYTES, chooser))


def _free_number(disks: Disks, vmid: int) -> int:
    taken = {name.removesuffix(".qcow2") for name in disks}
    return next(number for number in count() if f"vm-{vmid}-disk-{number}" not in taken)


def _create(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    yield Create(chooser.pick(VOLUMES, "volume"), chooser.pick(SIZES_BYTES, "size_bytes"))


def _create_beyond_space(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    yield Create(chooser.pick(VOLUMES, "volume"), BEYOND_BYTES)


def _allocate(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    vmid = chooser.pick(_MACHINES, "vmid")
    if _free_number(disks, vmid) <= _LAST_DISK:
        yield Allocate(vmid, chooser.pick(SIZES_BYTES, "size_bytes"), chooser.pick(tuple(Format), "format"))


def _write(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    yield write_to(disks, chooser.pick(writable(disks), "volume"), chooser)


def _resize(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    name = chooser.pick(changing(disks), "volume")
    grown_bytes = disks[name].current.size_bytes + chooser.pick(GROWTHS_BYTES, "more_bytes")
    yield Resize(name, max(512, min(grown_bytes, LARGEST_BYTES)))


def _grow(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    name, more_bytes = chooser.pick(changing(disks), "volume"), chooser.pick(GROWTHS_BYTES, "more_bytes")
    if more_bytes >= 0 and disks[name].current.size_bytes + more_bytes <= LARGEST_BYTES:
        yield Grow(name, more_bytes)


def _rename(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    yield Rename(any_volume(disks, chooser)[0], chooser.pick(VOLUMES, "new name"))


def _remove(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    yield Remove(any_volume(disks, chooser)[0], chooser.pick((None, *Wipe), "wipe"))


def _activate(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    yield Activate(any_volume(disks, chooser)[0])


def _deactivate(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    yield Deactivate(any_volume(disks, chooser)[0])


def _recover(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    yield Recover()


KINDS: Final = (Create, Allocate, WriteTo, Resize, Grow, Rename, Remove, Activate, Deactivate, Recover)
"""The actions of this module."""

RULES: Final = (
    Rule("create", frozenset({"create"}), lambda disks: True, _create),
    Rule("create_beyond_space", frozenset({"create"}), lambda disks: True, _create_beyond_space),
    Rule("create_under_a_free_name", frozenset({"allocate"}), lambda disks: True, _allocate),
    Rule("write", frozenset({"write"}), writable, _write),
    Rule("resize", frozenset({"resize"}), changing, _resize),
    Rule("grow", frozenset({"grow"}), changing, _grow),
    Rule("rename", frozenset({"rename"}), bool, _rename),
    Rule("remove", frozenset({"remove"}), bool, _remove),
    Rule("activate", frozenset({"activate"}), bool, _activate),
    Rule("deactivate", frozenset({"deactivate"}), bool, _deactivate),
    Rule("recovery_of_healthy_volumes", frozenset({"recover"}), bool, _recover),
)
"""How they are drawn."""
