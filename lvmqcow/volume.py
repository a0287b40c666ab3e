"""A handle on one volume: each of its verbs is a request that the engine carries out."""

from __future__ import annotations

from pathlib import Path

from lvmqcow.checks.run_checks import check, check_activating
from lvmqcow.checks.structure import Finding
from lvmqcow.core.names import Format, VolumeName, device_path, in_other_format, parse_volume_name
from lvmqcow.core.wiping import Wipe
from lvmqcow.engine.executor import Executor
from lvmqcow.engine.exports import whole_file
from lvmqcow.errors import RecoveryNeeded
from lvmqcow.info import LayerInfo, VolumeInfo, layer_infos, volume_info
from lvmqcow.operations import (
    Activate,
    Clone,
    Convert,
    Copy,
    Deactivate,
    DeleteSnapshot,
    Export,
    ExportStream,
    Flatten,
    Grow,
    Merge,
    Newer,
    Plan,
    Remove,
    Rename,
    RenameSnapshot,
    Resize,
    Rollback,
    Snapshot,
    StreamFormat,
    Template,
)
from lvmqcow.operations.recovery import unfinished

__all__ = ["Volume"]


class Volume:
    """A handle on one volume of a storage."""

    def __init__(self, executor: Executor, name: VolumeName) -> None:
        """`lvmqcow.Storage` makes handles."""
        self._executor = executor
        self._name = name

    @property
    def name(self) -> str:
        return self._name.text

    def info(self) -> VolumeInfo:
        """Name, format, sizes and snapshots. Raises VolumeNotFound."""
        picture = self._executor.seen(self._name)
        return volume_info(picture.volume(self._name))

    def layers(self) -> tuple[LayerInfo, ...]:
        """Its layers, current first, then newest to oldest, then other branches. Raises VolumeNotFound or Corrupt."""
        return layer_infos(self._executor, self._name)

    def path(self, snapshot: str | None = None) -> Path:
        """The device to give to QEMU.

        Raises:
            RecoveryNeeded: an operation was cut; a guest could read what is half done, and recovery undo what it wrote.
            VolumeNotFound, SnapshotNotFound.
        """
        volume = self._executor.seen(self._name).volume(self._name)
        if unfinished(volume):
            raise RecoveryNeeded(volume.target, self._executor.plan_recovery(self._name).operation)
        layer = volume.snapshot(snapshot) if snapshot else volume.current
        return Path(device_path(self._executor.host.vg, layer.lv.name))

    def snapshot(self, snapshot: str) -> Plan:
        """Freeze the content under a name. Raises InvalidName, AlreadyExists, NoSpace, NotPossible (raw)."""
        return self._executor.apply(Snapshot(self._name, snapshot))

    def rename_snapshot(self, snapshot: str, new: str) -> Plan:
        """Give a snapshot another name; clones that read through it follow.

        Raises:
            InvalidName, SnapshotNotFound, AlreadyExists, InUse, NotPossible (raw).
        """
        return self._executor.apply(RenameSnapshot(self._name, snapshot, new))

    def rollback(self, snapshot: str, newer: Newer = Newer.REFUSE, wipe: Wipe | None = None) -> Plan:
        """Return to a snapshot; ``newer`` says what becomes of those that are left behind.

        ``wipe``, of those that are discarded, is as the storage does where it is None.

        Raises:
            NewerSnapshots: with them, where nothing was said.
            SnapshotHasChildren: one that is to be discarded has a branch.
            SnapshotNotFound, NotPossible, NoSpace.
        """
        return self._executor.apply(Rollback(self._name, snapshot, newer, wipe))

    def delete_snapshot(self, snapshot: str, merge: Merge = Merge.AUTO, wipe: Wipe | None = None) -> Plan:
        """Forget a snapshot. ``wipe`` None is as the storage does.

        Raises:
            SnapshotNotFound, SnapshotHasChildren, NoSpace.
        """
        return self._executor.apply(DeleteSnapshot(self._name, snapshot, merge, wipe))

    def template(self) -> Plan:
        """Freeze it for good, so that it can be cloned. Raises InUse, NotPossible (raw)."""
        return self._executor.apply(Template(self._name))

    def clone(self, new: str, snapshot: str | None = None) -> Volume:
        """A new volume that reads through this one, a template, or through a snapshot of it; returns the new volume.

        Raises:
            NotPossible: it is raw, or no template and no snapshot is named.
            SnapshotNotFound, InvalidName, FormatMismatch, AlreadyExists, NoSpace.
        """
        name = parse_volume_name(new)
        self._executor.apply(Clone(name, self._name, snapshot))
        return Volume(self._executor, name)

    def flatten(self) -> Plan:
        """Make a clone a volume of its own. No clone: nothing to do, the plan is empty. Raises NoSpace, InUse."""
        return self._executor.apply(Flatten(self._name))

    def resize(self, size_bytes: int) -> Plan:
        """Grow it, LV and image; what is new reads as zeros.

        To the size it has, the plan is empty; unless the LV is too small for the image, which it then is no more.

        Raises:
            NotPossible: it is larger already.
            InvalidSize, NoSpace.
        """
        return self._executor.apply(Resize(self._name, size_bytes))

    def grow(self, more_bytes: int) -> Plan:
        """Make it larger by so much; asked again, it grows again.

        Raises:
            InvalidSize, NoSpace.
        """
        return self._executor.apply(Grow(self._name, more_bytes))

    def rename(self, new: str) -> Volume:
        """Give it, with all its snapshots, another name of the same format; returns the volume of that name.

        Raises:
            InvalidName, FormatMismatch, AlreadyExists, InUse.
        """
        name = parse_volume_name(new)
        self._executor.apply(Rename(self._name, name))
        return Volume(self._executor, name)

    def copy(self, new: str, snapshot: str | None = None) -> Volume:
        """Copy it, or what it held at a snapshot, into a new volume of the format that the new name says.

        Raises:
            InvalidName, SnapshotNotFound, AlreadyExists, NoSpace, InUse.
        """
        name = parse_volume_name(new)
        self._executor.apply(Copy(self._name, snapshot, name))
        return Volume(self._executor, name)

    def export_file(
        self, path: Path, format: Format = Format.RAW, snapshot: str | None = None, replace: bool = False
    ) -> Plan:
        """Write what it holds, or held at a snapshot, to a new file, which is whole or not there.

        ``replace``: the file may be there already.

        Raises:
            AlreadyExists, SnapshotNotFound, InUse.
        """
        with whole_file(path, replace) as partial:
            return self._executor.apply(Export(self._name, snapshot, str(partial), format))

    def export_stream(self, stream: int, format: StreamFormat = StreamFormat.RAW, snapshot: str | None = None) -> Plan:
        """Send what it holds, or held at a snapshot, down a stream; ``stream`` is a file descriptor.

        Raises:
            OperationCut: whoever reads the stream stopped, among other things.
            SnapshotNotFound, InUse.
        """
        return self._executor.apply(ExportStream(self._name, snapshot, stream, format))

    def convert(self, new: str | None = None, wipe: Wipe | None = None) -> Volume:
        """Give it the other format, and the name that says so; returns the volume of that name.

        ``wipe``, of what it was before, is as the storage does where it is None.

        Raises:
            NotPossible: it has snapshots.
            InvalidName, FormatMismatch, AlreadyExists, NoSpace, InUse.
        """
        name = parse_volume_name(new) if new else in_other_format(self._name)
        self._executor.apply(Convert(self._name, name, wipe))
        return Volume(self._executor, name)

    def activate(self) -> Plan:
        """Make its devices, and those of its snapshots, there and up to date on this host alone."""
        return self._executor.apply(Activate(self._name))

    def deactivate(self) -> Plan:
        """Take them away. Raises InUse, with what holds them."""
        return self._executor.apply(Deactivate(self._name))

    def remove(self, wipe: Wipe | None = None) -> Plan:
        """Remove the volume with all its snapshots. ``wipe`` None is as the storage does. Raises VolumeNotFound."""
        return self._executor.apply(Remove(self._name, wipe))

    def check(self) -> tuple[Finding, ...]:
        """Everything that is wrong with it, as far as it is active."""
        return check(self._executor, self.name)

    def check_activating(self) -> tuple[Finding, ...]:
        """Everything that is wrong with it: what is not active is activated for as long as it takes."""
        return check_activating(self._executor, self.name)

    def recover(self) -> tuple[Plan, ...]:
        """Finish or undo what was cut."""
        return self._executor.recover(self._name)
