"""Real volume groups in every state that forbids changes: each change is refused with its exit status.

Each state is made with lvm2 itself or with tools of the kernel, below a volume with a snapshot. The lvm shell and
single lvm processes must see the same.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lvmqcow.cli import main
from lvmqcow.core.fitness import State, conditions
from lvmqcow.engine.events import Events
from lvmqcow.engine.locks import NoLocks
from lvmqcow.errors import NoSpace, NotPossible, Unchangeable, VolumeGroupNotFound
from lvmqcow.lvm.commands import LvmProcesses, LvmShell
from lvmqcow.lvm.look import read_volume_group
from lvmqcow.operations import Activate, Create, Grow, Remove, Request, Snapshot
from lvmqcow.storage import Storage
from lvmqcow.testing.cases.scenarios import DISK, MIB, NEIGHBOUR

pytestmark = pytest.mark.lvmqcow_real

PV_MIB = 64
OURS = 'local{system_id="other"}global{system_id_source="lvmlocal"}'
"""Configuration that makes us the host that owns the volume group, to give it back."""


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@dataclass
class Group:
    """A volume group on two loop devices, with an inactive volume that has one snapshot."""

    name: str
    directory: Path
    devices: list[str] = field(default_factory=list)

    @property
    def target(self) -> str:
        return f"{self.name}/{DISK}"

    def file(self, number: int) -> Path:
        return self.directory / f"pv{number}.img"

    def attach(self, file: Path) -> str:
        device = run("losetup", "--find", "--show", str(file)).strip()
        self.devices.append(device)
        return device

    def detach(self, device: str) -> None:
        run("losetup", "--detach", device)
        self.devices.remove(device)

    def metadata(self) -> tuple[bytes, ...]:
        """The first MiB of each device, where LVM keeps its metadata."""
        return tuple(Path(device).open("rb", buffering=0).read(MIB) for device in sorted(self.devices))

    def edited(self, change: Callable[[str], str]) -> None:
        """Edit the metadata of the group as text and restore it, for states that no lvm2 command makes."""
        file = self.directory / "metadata"
        run("vgcfgbackup", "-f", str(file), self.name)
        file.write_text(change(file.read_text()))
        run("vgcfgrestore", "-f", str(file), self.name)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    made = Group(f"states-{os.getpid()}", tmp_path)
    for number in (0, 1):
        made.file(number).touch()
        os.truncate(made.file(number), PV_MIB * MIB)
        made.attach(made.file(number))
    run("vgcreate", "--yes", made.name, *made.devices)
    with Storage.open(made.name, locks=NoLocks()) as storage:
        volume = storage.create(DISK.text, 4 * MIB)
        volume.snapshot("s1")
        volume.deactivate()
    yield made
    for node in Path("/dev/mapper").glob(f"{made.name.replace('-', '--')}-*"):  # LVM may refuse to deactivate these
        run("dmsetup", "remove", "--retry", node.name)
    shutil.rmtree(f"/dev/{made.name}", ignore_errors=True)  # only LVM would remove these links
    for device in made.devices:
        run("blockdev", "--setrw", device)  # otherwise the next user of this loop device cannot write to it
        run("losetup", "--detach", device)


@pytest.fixture(params=["shell", "process"])
def lvm(request: pytest.FixtureRequest) -> str:
    """The way to run LVM: shell or process."""
    kind: str = request.param
    return kind


def exported(group: Group) -> None:
    run("vgexport", group.name)


def anothers(group: Group) -> None:
    run("vgchange", "--yes", "--config", 'local/extra_system_ids=["other"]', "--systemid", "other", group.name)


def shared(group: Group) -> None:
    locked = '\tlock_type = "sanlock"\n\tlock_args = "1.0.0:lvmlock"\n\tseqno'
    group.edited(lambda text: text.replace("\tseqno", locked, 1))


def read_only(group: Group) -> None:
    group.edited(lambda text: text.replace('"READ", "WRITE"', '"READ"', 1))


def a_read_only_device(group: Group) -> None:
    run("blockdev", "--setro", group.devices[1])


def a_clone(group: Group) -> None:
    copy = group.directory / "clone.img"
    run("cp", str(group.file(1)), str(copy))
    group.attach(copy)


def a_missing_device(group: Group) -> None:
    group.detach(group.devices[1])


def a_shorter_device(group: Group) -> None:
    group.detach(group.devices[1])
    os.truncate(group.file(1), PV_MIB // 2 * MIB)
    group.attach(group.file(1))


def a_device_that_missed_a_change(group: Group) -> None:
    """Restore one device to its content before a change by LVM, as if it had been absent."""
    old = group.file(1).with_name("old.img")
    run("cp", str(group.file(1)), str(old))
    run("lvchange", "--addtag", "changed", group.target)
    group.detach(group.devices[1])
    group.attach(old)


MAKE: Mapping[State, Callable[[Group], None]] = {
    State.EXPORTED: exported,
    State.ANOTHER_HOST: anothers,
    State.SHARED: shared,
    State.READ_ONLY: read_only,
    State.READ_ONLY_DEVICE: a_read_only_device,
    State.DUPLICATE: a_clone,
    State.MISSING: a_missing_device,
    State.DEVICE_TOO_SMALL: a_shorter_device,
    State.OLD_METADATA: a_device_that_missed_a_change,
}
SAYS = {
    State.EXPORTED: "vgimport",
    State.ANOTHER_HOST: "system ID is 'other'",
    State.SHARED: "sanlock",
    State.READ_ONLY: "read-only",
    State.READ_ONLY_DEVICE: "/dev/loop",
    State.DUPLICATE: "/dev/loop",
    State.MISSING: "missing",
    State.DEVICE_TOO_SMALL: "/dev/loop",
    State.OLD_METADATA: "/dev/loop",
}
EVERY_REFUSAL = pytest.mark.parametrize("kind", MAKE, ids=str)
REQUESTS: list[Request] = [
    Create(NEIGHBOUR, 4 * MIB),
    Snapshot(DISK, "s2"),
    Grow(DISK, 4 * MIB),
    Activate(DISK),
    Remove(DISK),
]


@EVERY_REFUSAL
def test_every_change_is_refused_by_state_and_nothing_changes(group: Group, lvm: str, kind: State) -> None:
    MAKE[kind](group)
    before = group.metadata()
    with Storage.open(group.name, lvm=lvm, locks=NoLocks()) as storage:  # type: ignore[arg-type]
        picture = storage.picture()
        assert [condition.state for condition in conditions(picture) if condition.refuses] == [kind]
        for request in REQUESTS:
            with pytest.raises(Unchangeable, match=re.escape(SAYS[kind])) as refused:
                storage.apply(request)
            assert set(refused.value.states) == {kind.value}
        with pytest.raises(Unchangeable, match=re.escape(SAYS[kind])):
            storage.recover()
        assert [info.snapshots for info in storage.volumes()] == [("s1",)]
        storage.check_activating()
        assert storage.picture() == picture
    assert group.metadata() == before


@EVERY_REFUSAL
def test_command_line_names_the_vg_state_with_its_exit_status(
    group: Group, kind: State, capsys: pytest.CaptureFixture[str]
) -> None:
    MAKE[kind](group)
    before = group.metadata()

    def called(*argv: str) -> tuple[int, str, str]:
        status = main([*argv])
        return (status, *capsys.readouterr())

    for argv in (("snapshot", group.target, "s2"), ("recover", group.name), ("activate", group.target)):
        status, _, err = called(*argv)
        assert (status, f"[{kind}]" in err) == (13, True), err
    status, out, err = called("check", group.name)
    assert (status in {13, 14}, SAYS[kind] in out) == (True, True), out
    for argv in (("list", group.name), ("info", group.target)):
        status, out, err = called(*argv)
        assert (status, f"[{kind}]" in err) == (0, True), err
        status, out, err = called(*argv, "--json")
        document = json.loads(out)["volume_group"]
        assert [each["state"] for each in document["conditions"]] == [kind], document
        assert all(list(json.loads(line)) == ["warning"] for line in err.splitlines()), err
    status, _, err = called("remove", group.target, "--json")
    assert json.loads(err.splitlines()[-1])["error"] == "Unchangeable"
    assert group.metadata() == before


def test_duplicate_pv_is_named_until_one_device_is_gone(group: Group, lvm: str) -> None:
    first, second = group.devices
    a_clone(group)
    copy = group.devices[2]
    warned: list[str] = []
    with Storage.open(group.name, lvm=lvm, locks=NoLocks(), events=Events(warned=warned.append)) as storage:  # type: ignore[arg-type]
        for _ in range(3):
            with pytest.raises(Unchangeable, match=f"{first}|{second} and {copy}|{copy} and {second}"):
                storage.volume(DISK.text).remove()
        assert sum("Not using device" in line for line in warned) == 1, "each line once for a storage"
        assert any(copy in line for line in warned)
        group.detach(copy)
        storage.volume(DISK.text).snapshot("s2")  # takes effect at once: nothing is cached
        assert storage.volume(DISK.text).info().snapshots == ("s1", "s2")


def test_open_storage_keeps_its_devices_if_a_duplicate_pv_appears(group: Group, lvm: str) -> None:
    with Storage.open(group.name, lvm=lvm, locks=NoLocks()) as storage:  # type: ignore[arg-type]
        storage.volume(DISK.text).snapshot("s2")
        a_clone(group)
        copy = group.devices[2]
        untouched = Path(copy).read_bytes()
        storage.volume(DISK.text).snapshot("s3")
        assert storage.volume(DISK.text).info().snapshots == ("s1", "s2", "s3")
        assert Path(copy).read_bytes() == untouched
    with Storage.open(group.name, lvm=lvm, locks=NoLocks()) as another, pytest.raises(Unchangeable):  # type: ignore[arg-type]
        another.volume(DISK.text).snapshot("s4")


@pytest.mark.parametrize("kind", [State.DEVICE_TOO_SMALL, State.OLD_METADATA], ids=str)
def test_accepted_vg_state_allows_changes(
    group: Group, lvm: str, kind: State, capsys: pytest.CaptureFixture[str]
) -> None:
    MAKE[kind](group)
    assert main(["snapshot", group.target, "s2", "--lvm", lvm, "--accept", kind]) == 0
    said = capsys.readouterr()
    assert said.err.count("LVM says: WARNING:") >= 1
    with Storage.open(group.name, lvm=lvm, locks=NoLocks()) as storage:  # type: ignore[arg-type]
        assert storage.volume(DISK.text).info().snapshots == ("s1", "s2")
        left = {condition.state for condition in conditions(storage.picture())}
        assert left == ({kind} if kind is State.DEVICE_TOO_SMALL else set()), (
            "the next change of LVM writes all metadata"
        )


def test_vg_with_our_system_id_can_be_changed(group: Group) -> None:
    anothers(group)
    run("vgchange", "--yes", "--config", OURS, "--systemid", "", group.name)
    with Storage.open(group.name, locks=NoLocks()) as storage:
        storage.volume(DISK.text).snapshot("s2")


def test_vg_hidden_by_lvm_is_not_found_with_the_reason(group: Group, lvm: str) -> None:
    group.edited(lambda text: text.replace('"RESIZEABLE"', '"CLUSTERED", "RESIZEABLE"', 1))
    with (
        Storage.open(group.name, lvm=lvm, locks=NoLocks()) as storage,  # type: ignore[arg-type]
        pytest.raises(VolumeGroupNotFound, match="clustered VG"),
    ):
        storage.volumes()


def test_space_on_a_non_allocatable_pv_is_not_free(group: Group, lvm: str) -> None:
    run("pvchange", "--allocatable", "n", group.devices[1])
    before = group.metadata()
    with Storage.open(group.name, lvm=lvm, locks=NoLocks()) as storage:  # type: ignore[arg-type]
        with pytest.raises(NoSpace):
            storage.create("vm-1-disk-0", 48 * MIB)
        assert group.metadata() == before
        free_bytes = storage.listing()[0].free_bytes
        storage.create("vm-1-disk-0", free_bytes)
        assert storage.listing()[0].free_bytes == 0
        assert [finding.severity.value for finding in storage.check() if not finding.lv] == ["noted"]


@pytest.mark.parametrize("policy", ["contiguous", "cling"])
def test_free_space_under_an_allocation_policy_agrees_with_lvm(group: Group, lvm: str, policy: str) -> None:
    run("vgchange", "--alloc", policy, group.name)
    with Storage.open(group.name, lvm=lvm, locks=NoLocks()) as storage:  # type: ignore[arg-type]
        picture = storage.picture()
        room = picture.room_extents() * picture.extent_size_bytes
        assert 0 < room < picture.free_bytes
        before = group.metadata()
        with pytest.raises(NoSpace, match=policy):
            storage.create("vm-1-disk-0", room + 4 * MIB)
        assert group.metadata() == before
        storage.create("vm-1-disk-0", room)  # LVM allows it
        made = storage.picture().lv("vm-1-disk-0")
        assert made is not None
        assert storage.picture().room_extents(made) == 0
        with pytest.raises(NoSpace, match=policy):
            storage.volume("vm-1-disk-0").grow(4 * MIB)


def test_lv_limit_refuses_only_requests_that_create_lvs(group: Group, lvm: str) -> None:
    run("vgchange", "--logicalvolume", "2", group.name)
    before = group.metadata()
    with Storage.open(group.name, lvm=lvm, locks=NoLocks()) as storage:  # type: ignore[arg-type]
        for request in (Create(NEIGHBOUR, 4 * MIB), Snapshot(DISK, "s2")):
            with pytest.raises(NotPossible, match="its limit is 2"):
                storage.apply(request)
        assert group.metadata() == before
        storage.volume(DISK.text).resize(8 * MIB)


def test_read_of_a_healthy_vg_is_one_lvm_command(group: Group) -> None:
    trace: list[tuple[str, ...]] = []
    with closing(LvmProcesses(trace=lambda argv: trace.append(tuple(argv)))) as lvm:
        for _ in range(3):
            read_volume_group(lvm, group.name)
        assert [argv[0] for argv in trace] == ["fullreport"] * 3
    trace.clear()
    a_clone(group)
    with closing(LvmShell(trace=lambda argv: trace.append(tuple(argv)))) as shell:
        read_volume_group(shell, group.name)
        assert [argv[0] for argv in trace] == ["fullreport", "pvs", "vgs", "vgs"]


@pytest.fixture
def scsi_disk() -> Iterator[str]:
    """A disk that LVM accepts as a path of a multipath device."""
    run("modprobe", "sd_mod")
    run("modprobe", "scsi_debug", "dev_size_mb=64")
    adapters = Path("/sys/bus/pseudo/drivers/scsi_debug")
    (name,) = [path.name for path in adapters.glob("adapter*/host*/target*/*/block/*")]
    yield f"/dev/{name}"
    run("modprobe", "-r", "scsi_debug")


def test_path_of_a_multipath_device_is_no_duplicate_pv(scsi_disk: str, lvm: str) -> None:
    table = f"0 {64 * 2048} linear {scsi_disk} 0"
    run("dmsetup", "create", "paths", "--uuid", "mpath-3600", "--table", table)
    name = f"paths-{os.getpid()}"
    try:
        run("vgcreate", "--yes", name, "/dev/mapper/paths")
        with Storage.open(name, lvm=lvm, locks=NoLocks()) as storage:  # type: ignore[arg-type]
            storage.create(DISK.text, 4 * MIB)
            assert conditions(storage.picture()) == ()
            assert [each.device for each in storage.picture().physical_volumes] == ["/dev/mapper/paths"]
            storage.volume(DISK.text).remove()
        run("vgremove", "--yes", name)
    finally:
        run("dmsetup", "remove", "--retry", "paths")
