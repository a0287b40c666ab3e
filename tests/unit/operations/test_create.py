"""Creation and import of volumes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvmqcow.core.names import VolumeName, parse_volume_name
from lvmqcow.errors import AlreadyExists, InvalidName, NoSpace
from lvmqcow.formats import SourceFormat
from lvmqcow.operations import Create, Import, Request
from lvmqcow.operations.shared.new_volume import Creating
from lvmqcow.steps import LvCreate, LvRemove
from lvmqcow.testing.cases.scenarios import (
    DISK,
    FILES,
    MIB,
    QCOW2_FILE,
    RAW,
    RAW_FILE,
    chain,
    commands,
    foreign,
    inactive,
    planned,
    raw_volume,
    refused,
    run,
)
from lvmqcow.testing.simulated.host import SimHost

LVCREATE = "lvcreate --yes --wipesignatures y --zero y --setautoactivation n --addtag pve-vm-100"
CREATE_QCOW2 = [
    f"{LVCREATE} --addtag pve-vm-100-disk-0.qcow2 --addtag lvmqcow.size=4194304 --addtag lvmqcow.intent=create "
    "--size 8388608b --name vm-100-disk-0.qcow2 sim",
    "qemu-img create -q -f qcow2 -o cluster_size=128k,extended_l2=on /dev/sim/vm-100-disk-0.qcow2 4194304",
]
CREATE_RAW = [
    f"{LVCREATE} --addtag lvmqcow.intent=create --size 4194304b --name vm-100-disk-2 sim",
    "blkdiscard --zeroout --step 33554432 /dev/sim/vm-100-disk-2",
]
CONVERT = "qemu-img convert -p -n --target-is-zero"


@pytest.mark.parametrize(
    ("request_", "fill", "operation"),
    [
        (Create(DISK, 4 * MIB), [*CREATE_QCOW2], "create"),
        (Create(RAW, 4 * MIB), [*CREATE_RAW], "create"),
        (
            Import(DISK, 4 * MIB, RAW_FILE, SourceFormat.RAW),
            [*CREATE_QCOW2, f"{CONVERT} -f raw -O qcow2 /srv/disk.raw /dev/sim/vm-100-disk-0.qcow2"],
            "import",
        ),
        (
            Import(RAW, 4 * MIB, QCOW2_FILE, SourceFormat.QCOW2),
            [*CREATE_RAW, f"prlimit --as=1073741824 {CONVERT} -f qcow2 -O raw /srv/disk.qcow2 /dev/sim/vm-100-disk-2"],
            "import",
        ),
        (
            Import(RAW, 4 * MIB, QCOW2_FILE, SourceFormat.VMDK),
            [*CREATE_RAW, f"prlimit --as=1073741824 {CONVERT} -f vmdk -O raw /srv/disk.qcow2 /dev/sim/vm-100-disk-2"],
            "import",
        ),
    ],
    ids=["qcow2", "raw", "import to qcow2", "import to raw", "import of another format"],
)
def test_create_drops_its_intent_last(request_: Create | Import, fill: list[str], operation: str) -> None:
    plan = planned(SimHost(files=FILES), request_)
    assert commands(plan) == [*fill, f"lvchange --deltag lvmqcow.intent=create sim/{request_.volume}"]
    assert (plan.operation, plan.target) == (operation, f"sim/{request_.volume}")
    assert plan.commit_point == len(plan.steps)


@given(
    size_bytes=st.integers(1, 64 * 1024**3).map(lambda sectors: sectors * 512),
    extent_size_bytes=st.sampled_from([64 * 1024, MIB, 4 * MIB, 128 * MIB]),
    volume=st.sampled_from([DISK, RAW]),
)
def test_lv_fits_the_fully_allocated_image_with_no_spare_extent(
    size_bytes: int, extent_size_bytes: int, volume: VolumeName
) -> None:
    host = SimHost(size_bytes=64 * 1024**4, extent_size_bytes=extent_size_bytes)
    made = planned(host, Create(volume, size_bytes)).steps[0]
    assert isinstance(made, LvCreate)
    needed = host.measure(size_bytes) if volume is DISK else size_bytes
    assert 0 <= made.size_bytes - needed < extent_size_bytes
    assert made.size_bytes % extent_size_bytes == 0


@pytest.mark.parametrize("volume", [DISK, RAW])
def test_create_can_use_the_last_free_extent(volume: VolumeName) -> None:
    needed = planned(SimHost(), Create(volume, 64 * MIB)).steps[0]
    assert isinstance(needed, LvCreate)
    exact, short = SimHost(size_bytes=needed.size_bytes), SimHost(size_bytes=needed.size_bytes - 4 * MIB)
    run(exact, *planned(exact, Create(volume, 64 * MIB)).steps)
    error = refused(short, Create(volume, 64 * MIB))
    assert isinstance(error, NoSpace)
    assert (error.needed_bytes, error.free_bytes) == (needed.size_bytes, needed.size_bytes - 4 * MIB)


@pytest.mark.parametrize(
    ("host", "request_"),
    [
        (chain(0), Create(DISK, MIB)),
        (chain(2), Create(DISK, MIB)),
        (inactive(chain(0)), Create(DISK, MIB)),
        (foreign(chain(0)), Create(DISK, MIB)),
        (raw_volume(), Create(RAW, MIB)),
        (raw_volume(), Import(RAW, MIB, RAW_FILE, SourceFormat.RAW)),
        # a foreign LV with that name
        (run(SimHost(), LvCreate(DISK.text, MIB, ())), Create(DISK, MIB)),
    ],
)
def test_create_under_a_taken_name_is_refused(host: SimHost, request_: Request) -> None:
    assert isinstance(refused(host, request_), AlreadyExists)


def test_create_with_a_name_too_long_for_device_mapper_is_refused() -> None:
    name = parse_volume_name("vm-100-" + "d" * 106)
    assert isinstance(refused(SimHost(vg="vg0"), Create(name, MIB)), InvalidName)


def test_create_is_refused_while_old_snapshots_have_that_name() -> None:
    """lvmqcow would take the new volume for the current layer of those snapshots."""
    lost = run(chain(2), LvRemove((DISK.text,)))
    refused(lost, Create(DISK, MIB))


def test_create_makes_the_lv_with_its_intent_tag() -> None:
    made = planned(SimHost(), Create(DISK, MIB)).steps[0]
    assert isinstance(made, LvCreate)
    assert Creating().tag in made.tags
