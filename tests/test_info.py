"""What is told of a volume and its snapshots: sizes above all, and never a guess."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lvmqcow.cli.volumes import layer_tree
from lvmqcow.names import Layout, snapshot_lv_name
from lvmqcow.steps import LvTag
from lvmqcow.testing.sim import SimHost
from tests.volumes import DISK, MIB, RAW, beside, chain, foreign, grown, inactive, raw_volume, run, state, storage

S1, S2 = (snapshot_lv_name(DISK, name, Layout.SEED) for name in ("s1", "s2"))


def sizes(host: SimHost) -> list[tuple[str, int | None, int]]:
    return [
        (layer.lv, layer.virtual_size_bytes, layer.lv_size_bytes) for layer in storage(host).volume(DISK.text).layers()
    ]


@pytest.mark.parametrize("met", [lambda host: host, inactive, foreign], ids=["active", "inactive", "foreign"])
def test_every_layer_has_its_own_size_and_nothing_is_activated_to_tell_it(met: Callable[[SimHost], SimHost]) -> None:
    host = met(grown(2))
    before = state(host)
    assert sizes(host) == [(DISK.text, 64 * MIB, 68 * MIB), (S2, 4 * MIB, 8 * MIB), (S1, 4 * MIB, 8 * MIB)]
    assert storage(host).volume(DISK.text).info().virtual_size_bytes == 64 * MIB
    assert [info.virtual_size_bytes for info in storage(host).volumes()] == [64 * MIB]
    assert state(host) == before


def test_what_is_only_in_a_header_that_cannot_be_read_is_not_guessed() -> None:
    """The LV's size is not the disk's: whoever copied that much would get a larger disk."""
    host = inactive(foreign(chain(2)))
    before = state(host)
    assert sorted(sizes(host)) == sorted((name, None, 8 * MIB) for name in (DISK.text, S1, S2))
    assert storage(host).volume(DISK.text).info().virtual_size_bytes is None
    assert state(host) == before


def test_one_layer_with_tags_among_others_is_known() -> None:
    host = inactive(run(foreign(chain(1)), LvTag((DISK.text,), add=("lvmqcow.size=4194304", f"lvmqcow.parent={S1}"))))
    assert sizes(host) == [(DISK.text, 4 * MIB, 8 * MIB), (S1, None, 8 * MIB)]


def test_a_raw_volume_is_as_large_as_its_lv() -> None:
    for host in (raw_volume(), inactive(raw_volume())):
        (layer,) = storage(host).volume(RAW.text).layers()
        assert (layer.virtual_size_bytes, layer.lv_size_bytes, layer.allocated_bytes) == (4 * MIB, 4 * MIB, None)


def test_a_snapshot_that_the_current_layer_does_not_read_through_is_told_of_too() -> None:
    assert [name for name, _, _ in sizes(beside(chain(2), "branch", S1))] == [
        *(DISK.text, S2, S1),
        snapshot_lv_name(DISK, "branch", Layout.SEED),
    ]


def lines(host: SimHost) -> list[str]:
    from rich.console import Console

    volume = storage(host).volume(DISK.text)
    console = Console(width=200, color_system=None)
    with console.capture() as said:
        console.print(layer_tree(volume.info(), volume.layers()))
    return said.get().splitlines()


def test_the_tree_shows_what_reads_through_what() -> None:
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


def test_the_tree_of_what_is_not_known_shows_every_layer() -> None:
    assert lines(inactive(foreign(chain(1)))) == [
        "vm-100-disk-0.qcow2  qcow2, size unknown",
        "├── current  [8 MiB LV, not active]",
        "└── s1  [8 MiB LV, not active]",
    ]
