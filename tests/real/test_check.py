"""``check`` and ``recover`` on damaged real volume groups: damage is named, and nothing is removed or ignored."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lvmqcow.checks.structure import Severity
from lvmqcow.cli import main
from lvmqcow.core.names import Format, device_path, parse_volume_name
from lvmqcow.engine.locks import NoLocks
from lvmqcow.errors import Corrupt, LvmqcowError, NotPossible
from lvmqcow.lvm.commands import Lvm, LvmProcesses, LvmShell
from lvmqcow.operations import Resize, Snapshot
from lvmqcow.operations.rollback import RollingBack
from lvmqcow.qemu.img import QemuImg
from lvmqcow.real_host import RealHost
from lvmqcow.steps import LvDeactivate, LvTag, LvZero
from lvmqcow.storage import Storage
from lvmqcow.testing.cases.scenarios import DISK, MIB, NEIGHBOUR
from lvmqcow.testing.content import Content, Write
from lvmqcow.testing.worlds import RealWorld
from tests.support.damage_cases import DAMAGES, S1, S2

pytestmark = pytest.mark.lvmqcow_real

KINDS = [
    "no current LV",
    "the current LV is called otherwise",
    "a missing layer in the middle",
    "a layer without its tags",
    "a layer that waits for removal",
    "a circle",
    "the header names another",
    "the header names a file",
    "two sizes",
    "the tags of two volumes",
    "no header, of a snapshot",
    "half formatted, without an intent",
    "two operations",
    "a new LV beside its parent",
    "a pull that the header denies",
    "a delete was cut",
    "the tag of one volume, the name of another",
]
"""Kinds of damage that differ in the reports of LVM or qemu-img."""


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    """A disk with the snapshots s1 and s2. Each layer has data of its own."""
    made = lvmqcow_world()
    fill(made.storage, lambda number: made.write(DISK.text, Format.QCOW2, [Write(number * 16, 16, number)]))
    yield made
    made.close()


def fill(storage: Storage, write: Callable[[int], None] = lambda number: None) -> None:
    volume = storage.create(DISK.text, 4 * MIB)
    for number in (1, 2, 3):
        write(number)
        if number < 3:
            volume.snapshot(f"s{number}")


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("kind", KINDS)
def test_planted_damage_is_named_and_nothing_is_removed(world: RealWorld, kind: str) -> None:
    damage = DAMAGES[kind]
    assert not callable(damage.plant)
    world.storage.create(NEIGHBOUR.text, 4 * MIB)
    assert world.storage.check() == ()
    for step in damage.plant:
        world.host.run(step)
    found = world.storage.check()
    assert any(
        (finding.lv, finding.severity) == (damage.lv, damage.severity) and damage.text in finding.text
        for finding in found
    ), found
    before = world.storage.picture()
    if damage.severity is Severity.DAMAGED:
        for request in (Snapshot(damage.volume, "s3"), Resize(damage.volume, 64 * MIB)):
            with pytest.raises(LvmqcowError):
                world.storage.apply(request)
    if damage.severity is not Severity.UNFINISHED:
        with suppress(Corrupt):
            assert world.storage.recover() == ()
        assert world.storage.picture() == before


def test_image_larger_than_its_lv_is_damage(world: RealWorld) -> None:
    world.write(DISK.text, Format.QCOW2, [Write(0, 1024, 7)])
    run("lvreduce", "--force", "--size", "4m", f"{world.host.vg}/{DISK}")
    found = world.storage.check(DISK.text)
    assert any(
        (finding.lv, finding.severity) == (DISK.text, Severity.DAMAGED) and "too small for it" in finding.text
        for finding in found
    ), found


def test_leaked_clusters_are_reported_with_a_repair_command(world: RealWorld) -> None:
    """A killed rebase without recovery leaves leaked clusters."""
    path = device_path(world.host.vg, DISK.text)
    end = int(json.loads(run("qemu-img", "check", "-f", "qcow2", "--output=json", path))["image-end-offset"])
    table = int.from_bytes(read(path, 48, 8))  # the offset of the refcount table
    block = int.from_bytes(read(path, table, 8))
    with Path(path).open("r+b", buffering=0) as device:
        device.seek(block + end // (128 * 1024) * 2)
        device.write((1).to_bytes(2))
    (found,) = world.storage.check()
    assert (found.lv, found.severity, found.text) == (DISK.text, Severity.LEAKED, "1 clusters are leaked")
    run(*found.advice.split())
    assert world.storage.check() == ()


def read(path: str, offset: int, length: int) -> bytes:
    with Path(path).open("rb", buffering=0) as device:
        device.seek(offset)
        return device.read(length)


def test_advice_for_a_too_small_lv_works_under_a_running_guest(world: RealWorld) -> None:
    vg = world.host.vg
    run("lvreduce", "--force", "--size", "4m", f"{vg}/{DISK}")  # the image ends before that size
    (found,) = world.storage.check()
    assert (found.lv, found.severity) == (DISK.text, Severity.WARNING)
    with Path(device_path(vg, DISK.text)).open("rb"):
        assert main(found.advice.split()[1:]) == 0
    assert world.storage.check() == ()
    world.write(DISK.text, Format.QCOW2, [Write(0, 1024, 9)])
    assert world.difference(DISK.text, Format.QCOW2, Content(4 * MIB).written([Write(0, 1024, 9)])) is None


def test_check_reports_inactive_volumes_and_activates_on_request(
    world: RealWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    vg = world.host.vg
    world.host.run(LvZero(S1))
    world.host.run(LvDeactivate((DISK.text, S1, S2)))
    before = world.host.observe()
    assert main(["check", vg]) == 13
    out, err = capfd.readouterr()
    assert f"unchecked  {vg}/{DISK}" in out
    assert "not everything was looked at" in err
    assert main(["check", "--activate", vg]) == 14
    assert "no readable qcow2 header" in capfd.readouterr().out
    assert world.host.observe() == before


def test_foreign_lv_is_named_without_a_bad_exit_status(world: RealWorld, capfd: pytest.CaptureFixture[str]) -> None:
    vg = world.host.vg
    run("lvcreate", "--yes", "--size", "4m", "--name", "root", vg)
    assert main(["check", vg]) == 0
    out, err = capfd.readouterr()
    assert f"unmanaged  {vg}/root" in out
    assert "nothing is wrong" in err


@pytest.mark.parametrize("whole_group", [True, False], ids=["volume group", "volume"])
def test_dry_run_of_recover_prints_its_plan_and_changes_nothing(
    world: RealWorld, capfd: pytest.CaptureFixture[str], whole_group: bool
) -> None:
    vg = world.host.vg
    world.storage.create(NEIGHBOUR.text, 4 * MIB)
    world.host.run(LvTag((NEIGHBOUR.text,), add=("lvmqcow.intent=copy",)))  # from another version: never changed
    world.host.run(LvTag((DISK.text,), add=(RollingBack(S2).tag,)))
    before = world.host.observe()
    target, status = (vg, 14) if whole_group else (f"{vg}/{DISK}", 0)
    assert main(["recover", target, "--dry-run"]) == status
    out, err = capfd.readouterr()
    assert f"{vg}/{DISK}: finish rollback" in err
    assert (f"{vg}/{NEIGHBOUR} is not sound" in err) == whole_group
    assert [line.split()[:2] for line in out.splitlines()] == [["qemu-img", "create"], ["lvchange", "--deltag"]]
    assert world.host.observe() == before
    assert main(["recover", target]) == status
    assert world.storage.check(DISK.text) == ()


@pytest.fixture(params=[LvmShell, LvmProcesses])
def torn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealHost]:
    """A volume group that lost its second disk: one volume is on the first disk only, one was on both."""
    name, loops = f"torn-{os.getpid()}", []
    for number in (0, 1):
        file = tmp_path / f"pv{number}.img"
        file.touch()
        os.truncate(file, 32 * MIB)
        loops.append(run("losetup", "--find", "--show", str(file)).strip())
    run("vgcreate", "--yes", name, *loops)
    lvm: Lvm = request.param()
    host = RealHost(name, lvm, QemuImg())
    storage = Storage(host, NoLocks())
    storage.create(DISK.text, 4 * MIB)
    storage.create(NEIGHBOUR.text, 30 * MIB)
    storage.volume(NEIGHBOUR.text).deactivate()
    label = Path(loops[1]).open("r+b", buffering=0)  # noqa: SIM115
    with label:
        first = label.read(MIB)
        label.seek(0)
        label.write(bytes(MIB))
    yield host
    with Path(loops[1]).open("r+b", buffering=0) as back:
        back.write(first)
    host.close()
    run("vgremove", "--yes", "--force", name)
    for loop in loops:
        run("losetup", "--detach", loop)


def test_lost_pv_is_named_with_its_volumes_and_nothing_changes(torn: RealHost) -> None:
    storage = Storage(torn, NoLocks())
    found = {(finding.lv, finding.severity) for finding in storage.check()}
    assert ("", Severity.DAMAGED) in found
    assert (NEIGHBOUR.text, Severity.DAMAGED) in found
    assert (DISK.text, Severity.DAMAGED) not in found
    before = torn.observe()
    assert {lv.name: lv.partial for lv in before.logical_volumes} == {DISK.text: False, NEIGHBOUR.text: True}
    for name in (DISK, NEIGHBOUR):
        with pytest.raises(NotPossible, match="missing"):
            storage.volume(name.text).remove()
        with pytest.raises(NotPossible, match="missing"):
            storage.recover(name.text)
    assert torn.observe() == before
    assert [path.startswith("/dev/") for path in torn._lvm.physical_volumes] == [True], "what is lost has no path"
    assert [info.name for info in storage.volumes()] == [DISK.text, NEIGHBOUR.text]
    assert parse_volume_name(storage.volume(DISK.text).info().name) == DISK
