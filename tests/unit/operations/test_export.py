"""Export of volumes and snapshots to files and streams, and import of streams."""

from __future__ import annotations

import pytest

from lvmqcow.core.holder import Holder, HolderKind
from lvmqcow.core.names import Format
from lvmqcow.errors import CommandFailed, Corrupt, InUse, LvmqcowError, OperationCut, SnapshotNotFound, VolumeNotFound
from lvmqcow.operations import Export, ExportStream, StreamFormat
from lvmqcow.steps import ImageExport, ImageSend, LvRemove, Step
from lvmqcow.system.callbacks import Progress
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    RAW,
    STREAM,
    VARIANTS,
    chain,
    commands,
    contents,
    grown,
    inactive,
    planned,
    raw_volume,
    refused,
    run,
    state,
    storage,
)
from lvmqcow.testing.content import Content
from lvmqcow.testing.simulated.host import SimHost
from lvmqcow.testing.simulated.state import stream_path

S1, S2 = f"snap-s1-{DISK}", f"snap-s2-{DISK}"
PATH = "/srv/out"


def test_export_writes_the_guest_content_not_the_lv_bytes() -> None:
    assert commands(planned(chain(1), Export(DISK, None, PATH, Format.RAW))) == [
        f"qemu-img convert -p -f qcow2 -O raw /dev/sim/{DISK} {PATH}"
    ]
    assert commands(planned(raw_volume(), Export(RAW, None, PATH, Format.QCOW2))) == [
        f"qemu-img convert -p -f raw -O qcow2 /dev/sim/{RAW} {PATH}"
    ]
    for stream in StreamFormat:
        assert commands(planned(chain(1), ExportStream(DISK, None, STREAM, stream))) == [
            f"qemu-nbd --read-only --format qcow2 /dev/sim/{DISK}"
        ]


def test_export_activates_an_inactive_volume_temporarily() -> None:
    assert commands(planned(inactive(chain(3)), Export(DISK, "s2", PATH, Format.RAW))) == [
        f"lvchange --activate ey sim/{S2} sim/{S1}",
        f"qemu-img convert -p -f qcow2 -O raw /dev/sim/{S2} {PATH}",
        f"lvchange --activate n sim/{S2} sim/{S1}",
    ]


@pytest.mark.parametrize("met", VARIANTS)
@pytest.mark.parametrize("snapshot", [None, "s1"])
@pytest.mark.parametrize("format", StreamFormat)
def test_exported_snapshot_has_its_own_size_and_volume_is_unchanged(
    met: str, snapshot: str | None, format: StreamFormat
) -> None:
    host = VARIANTS[met](grown(1))
    before, holds = state(host), contents(host)[snapshot]
    storage(host).apply(Export(DISK, snapshot, PATH, Format.RAW))
    storage(host).volume(DISK.text).export_stream(STREAM, format, snapshot)
    assert host.exported(PATH) == host.exported(stream_path(STREAM)) == holds
    assert holds.size_bytes == (4 if snapshot else 64) * MIB
    assert state(host) == before


def test_sized_stream_starts_with_its_little_endian_size() -> None:
    (send,) = planned(chain(1), ExportStream(DISK, None, STREAM, StreamFormat.RAW_SIZE)).steps
    assert isinstance(send, ImageSend)
    assert send.head == bytes([0, 0, 0x40, 0, 0, 0, 0, 0])
    (send,) = planned(chain(1), ExportStream(DISK, None, STREAM, StreamFormat.RAW)).steps
    assert isinstance(send, ImageSend)
    assert send.head == b""


def test_exported_stream_can_be_imported() -> None:
    host = chain(2)
    storage(host).volume(DISK.text).export_stream(STREAM, snapshot="s1")
    made = storage(host).import_stream(STREAM, "vm-200-x.qcow2", 4 * MIB)
    assert host.read(made.name) == host.read(S1)


@pytest.mark.parametrize("size_bytes", [4 * MIB - 512, 4 * MIB + 512])
def test_import_of_a_stream_with_wrong_size_fails_and_is_undone(size_bytes: int) -> None:
    host = chain(1)
    before = state(host)
    with pytest.raises(OperationCut, match="undoes the import"):
        storage(host).import_stream(STREAM, "vm-200-x.qcow2", size_bytes)
    storage(host).recover()
    assert state(host) == before


def test_imported_stream_is_padded_with_zeros_to_a_sector() -> None:
    host = SimHost(files={stream_path(STREAM): Content(4 * MIB + 100)})
    made = storage(host).import_stream(STREAM, DISK.text, 4 * MIB + 100)
    assert made.info().virtual_size_bytes == 4 * MIB + 512


def test_export_of_a_volume_in_use_is_refused_but_its_snapshot_works() -> None:
    host = chain(1)
    host.hold(DISK.text, Holder(HolderKind.PROCESS, "kvm", 7))
    host.hold(S1, Holder(HolderKind.PROCESS, "kvm", 7))
    for request in (
        Export(DISK, None, PATH, Format.RAW),
        ExportStream(DISK, None, STREAM, StreamFormat.RAW),
    ):
        assert isinstance(refused(host, request), InUse)
    storage(host).apply(Export(DISK, "s1", PATH, Format.RAW))
    assert host.exported(PATH) == contents(host)["s1"]


class Full(SimHost):
    """A host whose file system is full."""

    def run(self, step: Step, progress: Progress | None = None) -> None:
        if isinstance(step, ImageExport | ImageSend):
            raise CommandFailed(step.argv(self.vg), 1, "No space left on device")
        super().run(step, progress)


@pytest.mark.parametrize(
    "request_", [Export(DISK, "s1", PATH, Format.RAW), ExportStream(DISK, None, STREAM, StreamFormat.RAW)]
)
def test_failed_export_leaves_an_inactive_volume_inactive(request_: Export | ExportStream) -> None:
    host = Full()
    host.__dict__.update(inactive(chain(2)).__dict__)
    before = state(host)
    with pytest.raises(OperationCut, match="No space left"):
        storage(host).apply(request_)
    assert state(host) == before


@pytest.mark.parametrize(
    ("host", "request_", "error"),
    [
        (chain(1), Export(RAW, None, PATH, Format.RAW), VolumeNotFound),
        (chain(1), Export(DISK, "s2", PATH, Format.RAW), SnapshotNotFound),
        (run(chain(2), LvRemove((S1,))), Export(DISK, None, PATH, Format.RAW), Corrupt),
        (chain(1), ExportStream(RAW, None, STREAM, StreamFormat.RAW), VolumeNotFound),
    ],
)
def test_impossible_export_is_refused(
    host: SimHost, request_: Export | ExportStream, error: type[LvmqcowError]
) -> None:
    assert type(refused(host, request_)) is error
