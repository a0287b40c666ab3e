"""Volumes made by other tools (``fixtures/``): every verb works on them, and the other tool reads the result.

Their base has other options than ours (64 KiB clusters, all allocated). No LV has one of our tags, and only the headers
name the chain.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from lvmqcow.core.names import Format, Layout, VolumeName, parse_volume_name, snapshot_lv_name
from lvmqcow.lvm import loopvg
from lvmqcow.operations import (
    Activate,
    Deactivate,
    DeleteSnapshot,
    Merge,
    Remove,
    Rename,
    Request,
    Resize,
    Rollback,
    Snapshot,
)
from lvmqcow.steps import LvDeactivate
from lvmqcow.storage import Storage
from lvmqcow.testing.cases.expected import called, expected, lv_names
from lvmqcow.testing.cases.operation_table import ELSEWHERE
from lvmqcow.testing.cases.scenarios import MIB
from lvmqcow.testing.content import BLOCK_BYTES, Content, Write
from lvmqcow.testing.worlds import RealWorld
from tests.support.proxmox_reader import activates, snapshot_info

pytestmark = pytest.mark.lvmqcow_real

FIXTURES = Path(__file__).parents[2] / "fixtures"
VOLUME = parse_volume_name("vm-100-my_disk.qcow2")
SIZE_BYTES = 4 * MIB
GUEST = {
    "be_fore": [Write(0, SIZE_BYTES // BLOCK_BYTES, 0x11)],  # the whole disk: allocated clusters show old data
    "s2": [Write(40, 2, 0x22), Write(0, 1, 0)],
    None: [Write(41, 2, 0x33)],
}
"""The writes of a guest before each snapshot, oldest first, and after the last one."""

REQUESTS: dict[str, Request] = {
    "snapshot": Snapshot(VOLUME, "new_one"),
    "rollback": Rollback(VOLUME, "s2"),
    **{
        f"delete {snapshot} by {merge}": DeleteSnapshot(VOLUME, snapshot, merge)
        for snapshot in ("be_fore", "s2")
        for merge in (Merge.PULL, Merge.PUSH)
    },
    "resize": Resize(VOLUME, 64 * MIB),
    "rename": Rename(VOLUME, ELSEWHERE),
    "deactivate": Deactivate(VOLUME),
    "remove": Remove(VOLUME),
}


@dataclass(frozen=True)
class Tool:
    """Another tool: its commands, its names for snapshots, and its form of backing names."""

    commands: Path
    layout: Layout
    backing: tuple[str, ...] = ()

    def create(self, vg: str, volume: VolumeName) -> None:
        _run(self.commands, "create", vg, volume.text, str(SIZE_BYTES // 1024))

    def snapshot(self, vg: str, volume: VolumeName, snapshot: str) -> None:
        _run(self.commands, "snapshot", vg, volume.text, snapshot, *self.backing)


TOOLS = {
    "Proxmox VE 9": Tool(FIXTURES / "pve9" / "volume", Layout.PVE9),
    "Proxmox VE 9 with absolute paths": Tool(FIXTURES / "pve9" / "volume", Layout.PVE9, ("absolute",)),
    "the seed patch": Tool(FIXTURES / "seed" / "volume", Layout.RFC),
}

Contents = Mapping[str | None, Content]


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> RealWorld:
    """An empty volume group."""
    return lvmqcow_world()


def laid_out(world: RealWorld, tool: Tool) -> Contents:
    """Let the tool make the volume with two snapshots. Return the content of each layer."""
    tool.create(world.host.vg, VOLUME)
    content, holds = Content(SIZE_BYTES), {}
    for snapshot, writes in GUEST.items():
        world.write(VOLUME.text, Format.QCOW2, writes)
        content = holds[snapshot] = content.written(writes)
        if snapshot:
            tool.snapshot(world.host.vg, VOLUME, snapshot)
    return holds


def require_whole(world: RealWorld, tool: Tool, name: VolumeName, contents: Contents) -> None:
    """Every layer has its content, nothing is wrong or left over, and the other tool sees the same."""
    picture = world.host.observe()
    assert picture.lv_names == (lv_names(name, contents, tool.layout) if contents else set())
    assert world.leftovers() == ()
    for lv in picture.logical_volumes:
        assert {tag for tag in lv.tags if tag.startswith("pve-")} == {f"pve-vm-{name.vmid}", f"pve-{name}"}
        if tool.layout is Layout.PVE9:
            assert activates(name.text, lv.name)
    with world.readable():
        assert world.storage.check() == ()
        for snapshot, content in contents.items():
            lv_name = snapshot_lv_name(name, snapshot, tool.layout) if snapshot else name.text
            assert world.difference(lv_name, Format.QCOW2, content) is None
        if contents and tool.layout is Layout.PVE9:
            require_seen(world, name, contents)


def require_seen(world: RealWorld, name: VolumeName, contents: Contents) -> None:
    """Proxmox VE and lvmqcow agree on order, parents, children, sizes and LVs."""
    seen = snapshot_info(world.host.vg, name.text)
    layers = world.storage.volume(name.text).layers()
    order = [layer.snapshot or "current" for layer in layers]
    assert set(order) == {snapshot or "current" for snapshot in contents}
    assert list(seen) == order
    for place, layer in enumerate(layers):
        there = seen[order[place]]
        assert (there.order, there.lv) == (place, layer.lv)
        assert there.virtual_size_bytes == layer.virtual_size_bytes == contents[layer.snapshot].size_bytes
        assert there.parent == (order[place + 1] if place + 1 < len(order) else None)
        assert there.child == (order[place - 1] if place else None)


@pytest.mark.parametrize("tool", TOOLS)
def test_volume_of_another_tool_is_read_correctly_and_healthy(world: RealWorld, tool: str) -> None:
    holds = laid_out(world, TOOLS[tool])
    require_whole(world, TOOLS[tool], VOLUME, holds)
    handle = world.storage.volume(VOLUME.text)
    (info,) = world.storage.volumes()
    assert (info.name, info.virtual_size_bytes, info.snapshots) == (VOLUME.text, SIZE_BYTES, ("be_fore", "s2"))
    before = world.storage.picture()
    assert handle.recover() == ()
    assert [layer.snapshot for layer in handle.layers()] == [None, "s2", "be_fore"]
    assert world.storage.picture() == before
    assert not [tag for lv in before.logical_volumes for tag in lv.tags if tag.startswith("lvmqcow")]


@pytest.mark.parametrize(
    ("tool", "operation"),
    [
        (tool, operation)
        for tool in TOOLS
        for operation in REQUESTS
        if not TOOLS[tool].backing or operation.startswith(("rollback", "delete", "rename"))
    ],
)
def test_every_verb_works_and_the_other_tool_can_continue(world: RealWorld, tool: str, operation: str) -> None:
    holds, request = laid_out(world, TOOLS[tool]), REQUESTS[operation]
    world.storage.apply(request)
    after, name = expected(request, holds), called(request)
    require_whole(world, TOOLS[tool], name, after)
    if after:
        world.storage.apply(Activate(name))
        assert not any(lv.autoactivated for lv in world.host.observe().logical_volumes)
        world.write(name.text, Format.QCOW2, [Write(7, 1, 0x44)])
        after = {**after, None: after[None].written([Write(7, 1, 0x44)])}
        TOOLS[tool].snapshot(world.host.vg, name, "theirs")
        require_whole(world, TOOLS[tool], name, {**after, "theirs": after[None]})


@pytest.mark.parametrize("committed", [False, True], ids=["before the commit point", "at the commit point"])
@pytest.mark.parametrize("operation", [name for name in REQUESTS if name not in ("deactivate", "remove")])
def test_cut_is_recovered_on_a_host_with_nothing_active(world: RealWorld, operation: str, committed: bool) -> None:
    tool, request = TOOLS["Proxmox VE 9"], REQUESTS[operation]
    holds = laid_out(world, tool)
    plan = world.storage.plan(request)
    for step in plan.steps[: plan.commit_point if committed else plan.commit_point - 1]:
        world.host.run(step)
    idle = tuple(lv.name for lv in world.host.observe().logical_volumes if lv.active)
    world.host.run(LvDeactivate(idle))  # the host crashed
    world.storage.recover()
    if committed:
        require_whole(world, tool, called(request), expected(request, holds))
    else:
        require_whole(world, tool, VOLUME, holds)


@pytest.fixture
def two_names(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The name of a volume group, and a free name for it."""
    names = (f"old-{os.getpid()}", f"new-{os.getpid()}")
    loopvg.create(names[0], 96 * MIB, tmp_path / "pv.img")
    yield names
    for group in loopvg.existing():
        if group.name in names:
            loopvg.destroy(group.name)


def test_chains_survive_a_rename_of_the_vg(two_names: tuple[str, str], tmp_path: Path) -> None:
    """This includes chains with absolute paths, after an operation of ours has rewritten the names."""
    (old, new), tool = two_names, TOOLS["Proxmox VE 9 with absolute paths"]
    golden = tmp_path / "golden"
    Content(SIZE_BYTES).written(GUEST["be_fore"]).save(golden)
    with Storage.open(old) as storage:
        tool.create(old, VOLUME)
        tool.snapshot(old, VOLUME, "theirs")
        _run("qemu-io", "-f", "qcow2", "-c", f"write -P 17 0 {SIZE_BYTES}", f"/dev/{old}/{VOLUME}")
        storage.volume(VOLUME.text).snapshot("ours")
        storage.volume(VOLUME.text).rename(ELSEWHERE.text).deactivate()
    _run("vgrename", old, new)
    with Storage.open(new) as storage:
        volume = storage.volume(ELSEWHERE.text)
        volume.activate()
        assert storage.check() == ()
        assert list(snapshot_info(new, ELSEWHERE.text)) == ["current", "ours", "theirs"]
        _run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", str(golden), f"/dev/{new}/{ELSEWHERE}")


def _run(*argv: str | Path) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
