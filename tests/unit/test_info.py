"""Information about volumes and snapshots. Sizes are exact or unknown, and never guessed."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from lvmqcow.cli.volumes import layer_tree, volume_table
from lvmqcow.core.names import Format, Layout, snapshot_lv_name
from lvmqcow.info import VolumeInfo
from lvmqcow.steps import LvTag
from lvmqcow.testing.cases.scenarios import (
    DISK,
    MIB,
    NEIGHBOUR,
    RAW,
    beside,
    chain,
    foreign,
    grown,
    inactive,
    raw_volume,
    run,
    state,
    storage,
)
from lvmqcow.testing.simulated.host import SimHost

S1, S2 = (snapshot_lv_name(DISK, name, Layout.RFC) for name in ("s1", "s2"))


def sizes(host: SimHost) -> list[tuple[str, int | None, int]]:
    return [
        (layer.lv, layer.virtual_size_bytes, layer.lv_size_bytes) for layer in storage(host).volume(DISK.text).layers()
    ]


@pytest.mark.parametrize("met", [lambda host: host, inactive, foreign], ids=["active", "inactive", "foreign"])
def test_layers_show_their_own_sizes_without_activation(met: Callable[[SimHost], SimHost]) -> None:
    host = met(grown(2))
    before = state(host)
    assert sizes(host) == [(DISK.text, 64 * MIB, 68 * MIB), (S2, 4 * MIB, 8 * MIB), (S1, 4 * MIB, 8 * MIB)]
    assert storage(host).volume(DISK.text).info().virtual_size_bytes == 64 * MIB
    assert [info.virtual_size_bytes for info in storage(host).volumes()] == [64 * MIB]
    assert state(host) == before


def test_size_in_an_unreadable_header_is_unknown() -> None:
    """The size of the LV is no substitute: it is larger than the disk."""
    host = inactive(foreign(chain(2)))
    before = state(host)
    assert sorted(sizes(host)) == sorted((name, None, 8 * MIB) for name in (DISK.text, S1, S2))
    assert storage(host).volume(DISK.text).info().virtual_size_bytes is None
    assert state(host) == before


def test_tagged_layer_among_untagged_ones_has_a_size() -> None:
    host = inactive(run(foreign(chain(1)), LvTag((DISK.text,), add=("lvmqcow.size=4194304", f"lvmqcow.parent={S1}"))))
    assert sizes(host) == [(DISK.text, 4 * MIB, 8 * MIB), (S1, None, 8 * MIB)]


def test_raw_volume_has_the_size_of_its_lv() -> None:
    for host in (raw_volume(), inactive(raw_volume())):
        (layer,) = storage(host).volume(RAW.text).layers()
        assert (layer.virtual_size_bytes, layer.lv_size_bytes, layer.allocated_bytes) == (4 * MIB, 4 * MIB, None)


def test_snapshot_on_a_side_branch_is_listed() -> None:
    assert [name for name, _, _ in sizes(beside(chain(2), "branch", S1))] == [
        *(DISK.text, S2, S1),
        snapshot_lv_name(DISK, "branch", Layout.RFC),
    ]


def rendered(shown: Table | Tree) -> list[str]:
    console = Console(width=200, color_system=None)
    with console.capture() as said:
        console.print(shown)
    return [line.rstrip() for line in said.get().splitlines()]


def lines(host: SimHost) -> list[str]:
    volume = storage(host).volume(DISK.text)
    return rendered(layer_tree(volume.info(), volume.layers()))


def test_tree_shows_each_layer_below_its_parent() -> None:
    assert [line.split("[")[0].rstrip() for line in lines(beside(grown(2), "branch", S1))] == [
        "vm-100-disk-0.qcow2  qcow2, 64 MiB",
        "└── s1",
        "    ├── s2",
        "    │   └── current",
        "    └── branch",
    ]
    shown = lines(grown(1))
    assert "[4 MiB, 8 MiB LV, " in shown[1]
    assert "[68 MiB LV, " in shown[2]


def test_tree_of_an_unread_volume_shows_every_layer() -> None:
    assert lines(inactive(foreign(chain(1)))) == [
        "vm-100-disk-0.qcow2  qcow2, size unknown",
        "├── current  [8 MiB LV, not active]",
        "└── s1  [8 MiB LV, not active]",
    ]


def test_tree_of_a_clone_starts_with_its_own_layers() -> None:
    host = chain(1, chain(1, None, NEIGHBOUR))
    storage(host).volume(DISK.text).remove()
    clone = storage(host).volume(NEIGHBOUR.text).clone(DISK.text, "s1")
    clone.snapshot("mine")
    assert [line.split("[")[0].rstrip() for line in lines(host)] == [
        f"vm-100-disk-0.qcow2  qcow2, 4 MiB, clone of {NEIGHBOUR}@s1",
        "└── mine",
        "    └── current",
    ]


def test_list_shows_each_clone_below_its_base() -> None:
    host = chain(1)
    for name, of, snapshot in (("200", "100", "s1"), ("300", "200", None), ("400", "200", None), ("500", "100", "s1")):
        storage(host).volume(f"vm-{of}-disk-0.qcow2").clone(f"vm-{name}-disk-0.qcow2", snapshot)
        if name == "200":
            storage(host).volume("vm-200-disk-0.qcow2").template()
    storage(host).create("vm-050-disk-0", MIB)
    assert [re.split(" +(?:raw|qcow2) ", line)[0] for line in rendered(volume_table(storage(host).volumes()))[1:]] == [
        "vm-050-disk-0",
        "vm-100-disk-0.qcow2",
        "├── vm-200-disk-0.qcow2",
        "│   ├── vm-300-disk-0.qcow2",
        "│   └── vm-400-disk-0.qcow2",
        "└── vm-500-disk-0.qcow2",
    ]


def test_list_includes_every_volume_even_with_circular_clones() -> None:
    one, other = VolumeInfo("a", Format.QCOW2, 1, 1, (), base="b"), VolumeInfo("b", Format.QCOW2, 1, 1, (), base="a@s")
    lost = VolumeInfo("c", Format.QCOW2, 1, 1, (), base="gone@s")
    assert len(rendered(volume_table((one, other, lost)))) == 4
