"""The caching host gives the same answers as qemu-img, and asks again after any relevant change."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lvmqcow.core.names import Format, device_path
from lvmqcow.steps import LvRefresh
from lvmqcow.testing.caching_host import CachingHost
from lvmqcow.testing.cases.scenarios import DISK, MIB
from lvmqcow.testing.content import Content, Write
from lvmqcow.testing.worlds import RealWorld

pytestmark = pytest.mark.lvmqcow_real

S1 = f"snap-s1-{DISK}"


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    """A disk with a snapshot. Each layer has data of its own."""
    made = lvmqcow_world()
    volume = made.storage.create(DISK.text, MIB)
    made.write(DISK.text, Format.QCOW2, [Write(0, 1, 1)])
    volume.snapshot("s1")
    made.write(DISK.text, Format.QCOW2, [Write(1, 1, 2)])
    yield made
    made.close()


def forget_what_was_read(host: CachingHost) -> None:
    """Make the host forget its reads. Any step does that, and this one changes nothing."""
    host.run(LvRefresh((DISK.text,)))


def test_caching_host_finds_a_difference_every_time(world: RealWorld, tmp_path: Path) -> None:
    host = CachingHost(world.host, tmp_path / "golden")
    holds = Content(MIB, {0: 1, 1: 2})
    for _ in range(2):
        assert host.difference(DISK.text, Format.QCOW2, holds) is None
        assert "mismatch" in (host.difference(DISK.text, Format.QCOW2, Content(MIB, {0: 1})) or "")
        assert host.difference(S1, Format.QCOW2, Content(MIB, {0: 1})) is None


def test_caching_host_sees_a_change_of_an_image_or_its_backing(world: RealWorld, tmp_path: Path) -> None:
    host = CachingHost(world.host, tmp_path / "golden")
    holds = Content(MIB, {0: 1, 1: 2})
    assert host.difference(DISK.text, Format.QCOW2, holds) is None
    world.write(S1, Format.QCOW2, [Write(2, 1, 3)])
    forget_what_was_read(host)
    assert host.difference(DISK.text, Format.QCOW2, holds) is not None
    assert host.difference(DISK.text, Format.QCOW2, holds.written([Write(2, 1, 3)])) is None
    world.write(DISK.text, Format.QCOW2, [Write(2, 1, 4)])
    forget_what_was_read(host)
    assert host.difference(DISK.text, Format.QCOW2, holds.written([Write(2, 1, 4)])) is None


def test_caching_host_checks_an_image_again_after_damage(world: RealWorld, tmp_path: Path) -> None:
    host = CachingHost(world.host, tmp_path / "golden")
    assert host.check(DISK.text) == world.host.check(DISK.text)
    damage = ("qemu-io", "-f", "raw", "-c", f"write -P 0 {256 * 1024} 64k", device_path(host.vg, DISK.text))
    subprocess.run(damage, check=True, capture_output=True)  # the refcount table
    assert host.check(DISK.text).sound, "remembered"
    forget_what_was_read(host)
    assert host.check(DISK.text) == world.host.check(DISK.text)
    assert not host.check(DISK.text).sound
