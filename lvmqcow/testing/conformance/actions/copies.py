"""Actions that make a volume of another one: template, clone, flatten, copy, convert, export and import."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from lvmqcow.core.names import Format, parse_volume_name
from lvmqcow.errors import AlreadyExists, LvmqcowError, NotPossible
from lvmqcow.formats import SourceFormat
from lvmqcow.operations import Export, Import, Plan
from lvmqcow.testing.conformance.actions.base import VOLUMES, Action, Chooser, Rule, any_volume, require_steps
from lvmqcow.testing.model import (
    DiskModel,
    Disks,
    Model,
    clones,
    loosen,
    refusal_of_clone,
    refusal_of_conversion,
)
from lvmqcow.testing.worlds import World

__all__ = ["KINDS", "RULES"]


@dataclass(frozen=True)
class Template:
    """Make a volume a template."""

    kind: ClassVar[str] = "template"
    volume: str

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        return NotPossible if model.disks[self.volume].image_format is Format.RAW else None

    def on(self, world: World) -> Plan | None:
        return world.storage.volume(self.volume).template()

    def change(self, model: Model, ran: Plan | None) -> None:
        disk = model.disks[self.volume]
        require_steps(ran, not disk.template, "steps that make a template")
        disk.template = True


@dataclass(frozen=True)
class Clone:
    """Make a linked clone."""

    kind: ClassVar[str] = "clone"
    volume: str
    snapshot: str | None
    new: str

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        return refusal_of_clone(model.disks, model.disks[self.volume], self.snapshot, self.new)

    def on(self, world: World) -> Plan | None:
        world.storage.volume(self.volume).clone(self.new, self.snapshot)
        return None

    def change(self, model: Model, ran: Plan | None) -> None:
        content = model.disks[self.volume].content(self.snapshot)
        model.disks[self.new] = DiskModel(Format.QCOW2, content, base=(self.volume, self.snapshot))


@dataclass(frozen=True)
class Flatten:
    """Copy into a clone what it reads through other volumes."""

    kind: ClassVar[str] = "flatten"
    volume: str

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        disk = model.disks[self.volume]
        return NotPossible if disk.base and (disk.template or clones(model.disks, self.volume)) else None

    def on(self, world: World) -> Plan | None:
        return world.storage.volume(self.volume).flatten()

    def change(self, model: Model, ran: Plan | None) -> None:
        disk = model.disks[self.volume]
        require_steps(ran, disk.base is not None, "steps that flatten")
        loosen(model.disks, disk)
        disk.base = None


@dataclass(frozen=True)
class Copy:
    """Copy a volume, or a snapshot of it, into a new volume."""

    kind: ClassVar[str] = "copy"
    volume: str
    snapshot: str | None
    new: str

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        return AlreadyExists if self.new in model.disks else None

    def on(self, world: World) -> Plan | None:
        world.storage.volume(self.volume).copy(self.new, self.snapshot)
        return None

    def change(self, model: Model, ran: Plan | None) -> None:
        # the copy is active if its source was, which a clone may have activated
        active = model.is_active(self.volume, self.snapshot)
        model.add_copy(self.new, model.disks[self.volume].content(self.snapshot), active)


@dataclass(frozen=True)
class Convert:
    """Convert a volume to the other format."""

    kind: ClassVar[str] = "convert"
    volume: str
    new: str

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        return refusal_of_conversion(model.disks, model.disks[self.volume], self.new)

    def on(self, world: World) -> Plan | None:
        world.storage.volume(self.volume).convert(self.new)
        return None

    def change(self, model: Model, ran: Plan | None) -> None:
        disk = model.disks[self.volume]
        loosen(model.disks, disk)
        del model.disks[self.volume]
        model.add_copy(self.new, disk.current, disk.active)


@dataclass(frozen=True)
class ExportImport:
    """Export a volume, or a snapshot of it, to a file, and import the file as a new volume."""

    kind: ClassVar[str] = "export_and_import"
    volume: str
    snapshot: str | None
    new: str
    file_format: Format
    size_bytes: int

    def refusal(self, model: Model) -> type[LvmqcowError] | None:
        return AlreadyExists if self.new in model.disks else None

    def on(self, world: World) -> Plan | None:
        path = world.free_file()
        world.storage.apply(Export(parse_volume_name(self.volume), self.snapshot, path, self.file_format))
        new = parse_volume_name(self.new)
        return world.storage.apply(Import(new, self.size_bytes, path, SourceFormat(self.file_format)))

    def change(self, model: Model, ran: Plan | None) -> None:
        model.add_copy(self.new, model.disks[self.volume].content(self.snapshot), active=True)


def _template(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    yield Template(any_volume(disks, chooser)[0])


def _clone(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    name, snapshot = _any_layer(disks, chooser)
    yield Clone(name, snapshot, chooser.pick(VOLUMES, "new name"))


def _flatten(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    yield Flatten(any_volume(disks, chooser)[0])


def _copy(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    name, snapshot = _any_layer(disks, chooser)
    yield Copy(name, snapshot, chooser.pick(VOLUMES, "new name"))


def _convert(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    yield Convert(any_volume(disks, chooser)[0], chooser.pick(VOLUMES, "new name"))


def _export_and_import(disks: Disks, chooser: Chooser) -> Iterator[Action]:
    name, snapshot = _any_layer(disks, chooser)
    new, file_format = chooser.pick(VOLUMES, "new name"), chooser.pick(tuple(Format), "file format")
    yield ExportImport(name, snapshot, new, file_format, disks[name].content(snapshot).size_bytes)


def _any_layer(disks: Disks, chooser: Chooser) -> tuple[str, str | None]:
    name, disk = any_volume(disks, chooser)
    return name, chooser.pick([None, *disk.snapshots], "snapshot")


KINDS: Final = (Template, Clone, Flatten, Copy, Convert, ExportImport)
"""The actions of this module."""

RULES: Final = (
    Rule("template", frozenset({"template"}), bool, _template),
    Rule("clone", frozenset({"clone"}), bool, _clone),
    Rule("flatten", frozenset({"flatten"}), bool, _flatten),
    Rule("copy", frozenset({"copy"}), bool, _copy),
    Rule("convert", frozenset({"convert"}), bool, _convert),
    Rule("export_and_import", frozenset({"export_and_import"}), bool, _export_and_import),
)
"""How they are drawn."""
