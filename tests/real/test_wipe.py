"""Wiping on a real volume group: freed extents have no old data, whatever happens during the operation."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lvmqcow.cli import main
from lvmqcow.core.lv import LogicalVolume
from lvmqcow.core.names import Format, Layout, VolumeName, device_path, parse_volume_name, snapshot_lv_name
from lvmqcow.core.wiping import Wipe, Wiping
from lvmqcow.engine.locks import NoLocks
from lvmqcow.errors import CommandFailed, InUse
from lvmqcow.lvm import loopvg
from lvmqcow.lvm.commands import LvmProcesses
from lvmqcow.operations import Merge
from lvmqcow.operations.recovery import plan_recovery
from lvmqcow.qemu.img import QemuImg
from lvmqcow.real_host import RealHost, can_discard
from lvmqcow.steps import LvActivate, LvDeactivate, LvDiscardRange, LvZeroRange
from lvmqcow.storage import Storage
from lvmqcow.testing.content import BLOCK_BYTES, Content, Write
from lvmqcow.testing.worlds import RealWorld

pytestmark = pytest.mark.lvmqcow_real

_LOOP_CTL_REMOVE = 0x4C81  # loop(4)
MIB = 1024**2
QCOW2, RAW = parse_volume_name("vm-100-disk-0.qcow2"), parse_volume_name("vm-100-disk-1")
S1 = snapshot_lv_name(QCOW2, "s1", Layout.RFC)
BYTE = 0x5A
FULL = [Write(first, 256, BYTE) for first in range(0, 8 * MIB // BLOCK_BYTES, 256)]
"""Writes to every block of a disk of 8 MiB."""


@dataclass
class Wiper:
    """A volume group in which only the test frees extents, and a storage that records its commands."""

    world: RealWorld
    ran: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.host = RealHost(self.vg, LvmProcesses(), QemuImg(lambda argv: self.ran.append(tuple(argv))))
        self.storage = Storage(self.host, NoLocks())

    @property
    def vg(self) -> str:
        return self.world.host.vg

    def lvs(self) -> dict[str, LogicalVolume]:
        return {lv.name: lv for lv in self.host.observe().logical_volumes}

    def take_the_rest(self) -> None:
        """Allocate all free extents."""
        LvmProcesses().change(("lvcreate", "--yes", "--extents", "100%FREE", "--name", "rest", self.vg))

    def freed(self) -> bytes:
        """The data in the free extents, as the next owner could read it."""
        raw = ("--wipesignatures", "n", "--zero", "n")
        LvmProcesses().change(("lvcreate", "--yes", *raw, "--extents", "100%FREE", "--name", "probe", self.vg))
        return Path(device_path(self.vg, "probe")).read_bytes()

    def blkdiscards(self) -> list[str]:
        """The recorded wipes: the kind of wipe and the LV of each blkdiscard command."""
        calls = [argv for argv in self.ran if argv[0] == "blkdiscard" and "--offset" in argv]
        return [f"{'zero' if '--zeroout' in argv else 'discard'} {Path(argv[-1]).name}" for argv in calls]


@pytest.fixture
def wiper(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[Wiper]:
    """An empty volume group with zeros in its first extents, so any data found there is from the test."""
    world = lvmqcow_world()
    LvmProcesses().change(("lvcreate", "--yes", "--size", "256M", "--name", "first", world.host.vg))
    path = device_path(world.host.vg, "first")
    subprocess.run(["blkdiscard", "--zeroout", path], check=True)
    LvmProcesses().change(("lvremove", "--yes", f"{world.host.vg}/first"))
    yield Wiper(world)
    world.close()


@pytest.fixture
def without_discards(tmp_path: Path) -> Iterator[Wiper]:
    """A device that cannot discard. It is removed afterwards, because newer kernels cannot change it back."""
    name = f"rigid-{os.getpid()}"
    group = loopvg.create(name, 64 * MIB, tmp_path / "pv.img")
    try:
        Path(f"/sys/block/{Path(group.device).name}/queue/discard_max_bytes").write_text("0")
        with closing(RealHost(name, LvmProcesses(), QemuImg())) as host:
            yield Wiper(RealWorld(host, tmp_path))
    finally:
        loopvg.destroy(name)
        with open("/dev/loop-control", "rb") as control:
            fcntl.ioctl(control, _LOOP_CTL_REMOVE, int(group.device.removeprefix("/dev/loop")))


def filled(wiper: Wiper, name: VolumeName) -> None:
    """A volume filled with the pattern. A qcow2 volume has a snapshot that is filled with it too."""
    volume = wiper.storage.create(name.text, 8 * MIB)
    wiper.world.write(name.text, name.format, FULL)
    if name.format is Format.QCOW2:
        volume.snapshot("s1")
        wiper.world.write(name.text, name.format, FULL)


def wait_until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.02)


@pytest.mark.parametrize("name", [QCOW2, RAW], ids=["qcow2", "raw"])
@pytest.mark.parametrize("wipe", [Wipe.ZERO, Wipe.DISCARD])
@pytest.mark.parametrize("inactive", [False, True], ids=["active", "inactive"])
def test_wiped_volume_leaves_no_data_in_freed_extents(
    wiper: Wiper, name: VolumeName, wipe: Wipe, inactive: bool
) -> None:
    filled(wiper, name)
    wiper.take_the_rest()
    lvs = [lv for lv in wiper.lvs() if lv != "rest"]
    if inactive:
        wiper.host.run(LvDeactivate(tuple(lvs)))
    wiper.storage.volume(name.text).remove(wipe)
    assert wiper.blkdiscards() == [f"{wipe} del-{lv}" for lv in lvs]
    assert set(wiper.lvs()) == {"rest"}
    freed = wiper.freed()
    assert len(freed) >= 8 * MIB * len(lvs)
    assert not any(freed)  # discarded blocks of our loop devices read as zeros


@pytest.mark.parametrize("name", [QCOW2, RAW], ids=["qcow2", "raw"])
def test_volume_removed_without_a_wipe_leaves_its_data(wiper: Wiper, name: VolumeName) -> None:
    """This proves that the test above can fail."""
    filled(wiper, name)
    wiper.take_the_rest()
    wiper.storage.volume(name.text).remove()
    assert wiper.blkdiscards() == []
    assert wiper.freed().count(bytes([BYTE])) >= 8 * MIB


@pytest.mark.parametrize("merge", [Merge.PULL, Merge.PUSH])
@pytest.mark.parametrize("wipe", [Wipe.ZERO, Wipe.DISCARD, Wipe.NONE])
def test_wiped_merged_layer_leaves_no_data_and_volume_keeps_all(wiper: Wiper, merge: Merge, wipe: Wipe) -> None:
    filled(wiper, QCOW2)
    wiper.take_the_rest()
    wiper.storage.volume(QCOW2.text).delete_snapshot("s1", merge, wipe)
    assert set(wiper.lvs()) == {"rest", QCOW2.text}
    freed = wiper.freed()
    assert len(freed) >= 8 * MIB
    assert any(freed) == (wipe is Wipe.NONE)
    assert wiper.world.difference(QCOW2.text, Format.QCOW2, Content(8 * MIB).written(FULL)) is None
    assert wiper.storage.check(QCOW2.text) == ()


def test_device_without_discard_is_zeroed(without_discards: Wiper) -> None:
    filled(without_discards, RAW)
    assert not can_discard(device_path(without_discards.vg, RAW.text))
    without_discards.take_the_rest()
    without_discards.storage.volume(RAW.text).remove(Wipe.DISCARD)
    assert without_discards.blkdiscards() == [f"zero del-{RAW}"]
    assert not any(without_discards.freed())


def test_wipe_in_pieces_covers_exactly_the_range(wiper: Wiper) -> None:
    """The wipe has more than one piece and reports progress."""
    wiper.storage.create(RAW.text, 256 * MIB)
    path = Path(device_path(wiper.vg, RAW.text))
    with path.open("r+b", buffering=0) as device:
        for _ in range(256):
            device.write(bytes([BYTE]) * MIB)
        os.fsync(device.fileno())
    heard: list[float] = []
    wiper.ran.clear()
    wiper.host.run(LvZeroRange(RAW.text, MIB, 254 * MIB), heard.append)
    assert len(wiper.blkdiscards()) == 2
    assert heard == sorted(heard)
    assert heard[-1] == 100
    with path.open("rb") as device:
        assert device.read(MIB) == bytes([BYTE]) * MIB
        assert not any(any(device.read(MIB)) for _ in range(254))
        assert device.read(MIB) == bytes([BYTE]) * MIB


@pytest.mark.parametrize("step", [LvZeroRange("ghost", 0, MIB), LvDiscardRange("ghost", 0, MIB)])
@pytest.mark.parametrize("there", [True, False], ids=["a file", "nothing"])
def test_wipe_never_writes_to_a_file_in_place_of_a_device(
    wiper: Wiper, step: LvZeroRange | LvDiscardRange, there: bool
) -> None:
    wiper.storage.create(RAW.text, 4 * MIB)  # makes the directory
    path = Path(device_path(wiper.vg, "ghost"))
    if there:
        path.write_bytes(b"x")
    try:
        with pytest.raises(CommandFailed):
            wiper.host.run(step)
        assert path.exists() == there
        assert not there or path.read_bytes() == b"x"
    finally:
        path.unlink(missing_ok=True)


def test_doomed_lvs_of_another_tool_are_kept(wiper: Wiper) -> None:
    names = [f"del-{RAW}", f"del-2-{RAW}"]
    for name in names:
        LvmProcesses().change(("lvcreate", "--yes", "--size", "4M", "--addtag", "pve-vm-100", "--name", name, wiper.vg))
        Path(device_path(wiper.vg, name)).write_bytes(b"theirs" * 1000)
    before = wiper.lvs()
    for _ in range(2):
        filled(wiper, RAW)
        wiper.storage.volume(RAW.text).remove(Wipe.ZERO)
    assert wiper.blkdiscards().count(f"zero del-3-{RAW}") == 2
    assert wiper.lvs() == before
    for name in names:
        assert Path(device_path(wiper.vg, name)).read_bytes().startswith(b"theirs" * 1000)


def test_wipe_of_a_volume_in_use_is_refused(wiper: Wiper) -> None:
    filled(wiper, RAW)
    before = wiper.lvs()
    path = Path(device_path(wiper.vg, RAW.text))
    with path.open("rb"), pytest.raises(InUse, match=str(os.getpid())):
        wiper.storage.volume(RAW.text).remove(Wipe.ZERO)
    assert wiper.lvs() == before
    assert path.read_bytes() == bytes([BYTE]) * 8 * MIB


SLOWLY = """
import sys
from lvmqcow.real_host import RealHost
from lvmqcow.lvm.commands import LvmProcesses
from lvmqcow.core.names import parse_volume_name
from lvmqcow.operations.remove import plan_remove
from lvmqcow.qemu.img import QemuImg
from lvmqcow.core.wiping import Wipe
from lvmqcow.operations import Remove
host = RealHost(sys.argv[1], LvmProcesses(), QemuImg(), wipe_bytes_per_second=4 * 1024**2)
request = Remove(parse_volume_name(sys.argv[2]), Wipe(sys.argv[3]))
for step in plan_remove(host.observe(), request, segment_bytes=4 * 1024**2).steps:
    host.run(step)
"""
"""A removal in small segments that take a second each."""


@pytest.mark.parametrize("wipe", [Wipe.ZERO, Wipe.DISCARD])
@pytest.mark.parametrize("down", [False, True], ids=["the process dies", "the machine goes down"])
def test_killed_wipe_resumes_at_its_last_segment(wiper: Wiper, wipe: Wipe, down: bool) -> None:
    wiper.storage.create(RAW.text, 48 * MIB)
    path, doomed = Path(device_path(wiper.vg, RAW.text)), f"del-{RAW}"
    with path.open("r+b", buffering=0) as device:
        for _ in range(48):
            device.write(bytes([BYTE]) * MIB)
        os.fsync(device.fileno())
    wiper.take_the_rest()
    running = subprocess.Popen([sys.executable, "-c", SLOWLY, wiper.vg, RAW.text, wipe.value])

    def done_bytes() -> int:
        assert running.poll() is None, "it ended before it was killed"
        lv = wiper.lvs().get(doomed)
        return lv.wiping.done_bytes if lv and isinstance(lv.wiping, Wiping) else 0

    wait_until(lambda: done_bytes() >= 8 * MIB)
    running.send_signal(signal.SIGKILL)
    running.wait()
    wait_until(lambda: not wiper.host.holders(doomed))  # blkdiscard ends a moment later
    recorded = wiper.lvs()[doomed].wiping
    assert isinstance(recorded, Wiping)
    assert 8 * MIB <= recorded.done_bytes < 48 * MIB
    assert bytes([BYTE]) in Path(device_path(wiper.vg, doomed)).read_bytes()
    if down:
        wiper.host.run(LvDeactivate((doomed,)))
    assert wiper.storage.volumes() == ()
    (found,) = wiper.storage.check(RAW.text)
    assert found.lv == doomed
    recovery = plan_recovery(wiper.host.observe(), RAW, wiper.host.measure)
    assert (recovery.operation, isinstance(recovery.steps[0], LvActivate)) == ("finish removal", down)
    (cleared,) = [step for step in recovery.steps if isinstance(step, LvZeroRange | LvDiscardRange)]
    assert (cleared.offset_bytes, cleared.length_bytes) == (recorded.done_bytes, 48 * MIB - recorded.done_bytes)
    wiper.storage.recover()
    assert set(wiper.lvs()) == {"rest"}
    freed = wiper.freed()
    assert len(freed) == 48 * MIB
    assert not any(freed)


def test_ctrl_c_stops_a_wipe_that_does_not_block_other_volumes(wiper: Wiper) -> None:
    wiper.storage.create(RAW.text, 48 * MIB)
    argv = ("remove", f"{wiper.vg}/{RAW}", "--wipe", "zero", "--wipe-rate", "2M", "--verbose")
    running = subprocess.Popen([sys.executable, "-m", "lvmqcow", *argv], stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("+ blkdiscard"):
            break
    assert main(("create", f"{wiper.vg}/{QCOW2}", "--size", "8M")) == 0
    assert main(("snapshot", f"{wiper.vg}/{QCOW2}", "s1")) == 0
    assert main(("create", f"{wiper.vg}/{RAW}", "--size", "8M")) == 11  # the name is locked until then
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    said = running.communicate()[1]
    assert running.returncode == 130, said
    assert "recover" in said
    assert main(("check", wiper.vg)) == 13
    assert main(("create", f"{wiper.vg}/{RAW}", "--size", "8M")) == 0  # recovers first
    assert set(wiper.lvs()) == {QCOW2.text, S1, RAW.text}
    assert main(("check", wiper.vg)) == 0


def test_environment_sets_the_default_wipe_mode(wiper: Wiper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LVMQCOW_WIPE", "zero")
    monkeypatch.setenv("LVMQCOW_WIPE_RATE", "1T")
    filled(wiper, QCOW2)
    wiper.take_the_rest()
    assert main(("delete-snapshot", f"{wiper.vg}/{QCOW2}", "s1")) == 0
    assert main(("remove", f"{wiper.vg}/{QCOW2}")) == 0
    assert not any(wiper.freed())
