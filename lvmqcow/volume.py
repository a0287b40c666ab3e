"""A handle on one volume. Each method makes a request that the engine carries out."""

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
        """Return name, format, sizes and snapshots of the volume. Raises VolumeNotFound."""
        picture = self._executor.seen(self._name)
        return volume_info(picture.volume(self._name))

    def layers(self) -> tuple[LayerInfo, ...]:
        """Return the layers: current, snapshots from newest to oldest, branches. Raises VolumeNotFound, Corrupt."""
        return layer_infos(self._executor, self._name)

    def path(self, snapshot: str | None = None) -> Path:
        """Return the path of the device that QEMU opens: that of the current layer, or of a snapshot.

        Raises:
            RecoveryNeeded: an operation was cut. A guest could read unfinished data, and lose its writes to recovery.
            VolumeNotFound, SnapshotNotFound.
        """
        volume = self._executor.seen(self._name).volume(self._name)
        if unfinished(volume):
            raise RecoveryNeeded(volume.target, self._executor.plan_recovery(self._name).operation)
        layer = volume.snapshot(snapshot) if snapshot else volume.current
        return Path(device_path(self._executor.host.vg, layer.lv.name))

    def snapshot(self, snapshot: str) -> Plan:
        """Take a snapshot. Raises InvalidName, AlreadyExists, NoSpace, NotPossible (the volume is raw)."""
        return self._executor.apply(Snapshot(self._name, snapshot))

    def rename_snapshot(self, snapshot: str, new: str) -> Plan:
        """Give a snapshot another name. Clones and snapshots that read through it follow.

        Raises:
            InvalidName, SnapshotNotFound, AlreadyExists, InUse, NotPossible (the volume is raw).
        """
        return self._executor.apply(RenameSnapshot(self._name, snapshot, new))

    def rollback(self, snapshot: str, newer: Newer = Newer.REFUSE, wipe: Wipe | None = None) -> Plan:
        """Roll back to a snapshot. ``newer`` says what happens to the snapshots that are newer than it.

        ``wipe`` says how discarded snapshots are wiped; None: as the storage does by default.

        Raises:
            NewerSnapshots: newer snapshots exist, and ``newer`` is REFUSE; with their names.
            SnapshotHasChildren: a snapshot that would be discarded has a branch or a clone.
            SnapshotNotFound, NotPossible, NoSpace.
        """
        return self._executor.apply(Rollback(self._name, snapshot, newer, wipe))

    def delete_snapshot(self, snapshot: str, merge: Merge = Merge.AUTO, wipe: Wipe | None = None) -> Plan:
        """Delete a snapshot and merge its data with that of its child. The content of the volume stays.

        ``merge`` says which way the data moves. ``wipe`` says how the LV that goes is wiped; None: as the storage does
        by default.

        Raises:
            SnapshotNotFound, SnapshotHasChildren, NoSpace.
        """
        return self._executor.apply(DeleteSnapshot(self._name, snapshot, merge, wipe))

    def template(self) -> Plan:
        """Make the volume a template, which never changes and can be cloned. Raises InUse, NotPossible (it is raw)."""
        return self._executor.apply(Template(self._name))

    def clone(self, new: str, snapshot: str | None = None) -> Volume:
        """Make a linked clone: a new volume that reads through this template, or through a snapshot of this volume.

        Returns:
            The new volume.

        Raises:
            NotPossible: the volume is raw; or it is no template, and no snapshot is named.
            SnapshotNotFound, InvalidName, FormatMismatch, AlreadyExists, NoSpace.
        """
        name = parse_volume_name(new)
        self._executor.apply(Clone(name, self._name, snapshot))
        return Volume(self._executor, name)

    def flatten(self) -> Plan:
        """Copy into a clone all data that it reads through other volumes, so that it no longer depends on them.

        If the volume is no clone, the plan is empty.

        Raises:
            NoSpace, InUse, NotPossible (a template), SnapshotHasChildren.
        """
        return self._executor.apply(Flatten(self._name))

    def resize(self, size_bytes: int) -> Plan:
        """Grow the volume to ``size_bytes``. The new part reads as zeros.

        If the volume has that size already, the plan is empty, unless the LV is too small for its image. Then the LV is
        extended.

        Raises:
            NotPossible: the volume is larger than ``size_bytes``.
            InvalidSize, NoSpace.
        """
        return self._executor.apply(Resize(self._name, size_bytes))

    def grow(self, more_bytes: int) -> Plan:
        """Grow the volume by ``more_bytes``. Each call grows it again.

        Raises:
            InvalidSize, NoSpace.
        """
        return self._executor.apply(Grow(self._name, more_bytes))

    def rename(self, new: str) -> Volume:
        """Rename the volume with all its snapshots. The new name means the same format.

        Returns:
            The volume under its new name.

        Raises:
            InvalidName, FormatMismatch, AlreadyExists, InUse.
        """
        name = parse_volume_name(new)
        self._executor.apply(Rename(self._name, name))
        return Volume(self._executor, name)

    def copy(self, new: str, snapshot: str | None = None) -> Volume:
        """Copy the content of the volume or of a snapshot into a new volume. The new name says the format.

        Returns:
            The new volume.

        Raises:
            InvalidName, SnapshotNotFound, AlreadyExists, NoSpace, InUse.
        """
        name = parse_volume_name(new)
        self._executor.apply(Copy(self._name, snapshot, name))
        return Volume(self._executor, name)

    def export_file(
        self, path: Path, format: Format = Format.RAW, snapshot: str | None = None, replace: bool = False
    ) -> Plan:
        """Write the content of the volume or of a snapshot to a file, which appears only when it is complete.

        ``replace``: an existing file is replaced.

        Raises:
            AlreadyExists, SnapshotNotFound, InUse, NotPossible (the path).
        """
        with whole_file(path, replace) as partial:
            return self._executor.apply(Export(self._name, snapshot, str(partial), format))

    def export_stream(self, stream: int, format: StreamFormat = StreamFormat.RAW, snapshot: str | None = None) -> Plan:
        """Send the content of the volume or of a snapshot to a stream; ``stream`` is a file descriptor.

        Raises:
            OperationCut: the reader closed the stream, or a step failed.
            SnapshotNotFound, InUse.
        """
        return self._executor.apply(ExportStream(self._name, snapshot, stream, format))

    def convert(self, new: str | None = None, wipe: Wipe | None = None) -> Volume:
        """Convert the volume to the other format and rename it.

        ``new`` None: the old name with ``.qcow2`` added or removed. ``wipe`` says how the old LV is wiped; None: as the
        storage does by default.

        Returns:
            The volume under its new name.

        Raises:
            NotPossible: the volume has snapshots.
            InvalidName, FormatMismatch, AlreadyExists, NoSpace, InUse.
        """
        name = parse_volume_name(new) if new else in_other_format(self._name)
        self._executor.apply(Convert(self._name, name, wipe))
        return Volume(self._executor, name)

    def activate(self) -> Plan:
        """Activate the volume and its snapshots exclusively on this host, and refresh those that are active."""
        return self._executor.apply(Activate(self._name))

    def deactivate(self) -> Plan:
        """Deactivate the volume and its snapshots. Raises InUse, with what uses them."""
        return self._executor.apply(Deactivate(self._name))

    def remove(self, wipe: Wipe | None = None) -> Plan:
        """Remove the volume with all its snapshots. ``wipe`` None: as the storage does by default.

        Raises:
            VolumeNotFound, InUse, NotPossible (clones read through the volume).
        """
        return self._executor.apply(Remove(self._name, wipe))

    def check(self) -> tuple[Finding, ...]:
        """Check the volume as `Storage.check` does."""
        return check(self._executor, self.name)

    def check_activating(self) -> tuple[Finding, ...]:
        """Check the volume as `Storage.check_activating` does."""
        return check_activating(self._executor, self.name)

    def recover(self) -> tuple[Plan, ...]:
        """Finish or undo the operation that was cut on the volume; returns the plans that ran."""
        return self._executor.recover(self._name)
