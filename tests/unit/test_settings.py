"""The settings of a storage change how operations run, and never lose data."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import product

import pytest

from lvmqcow import proxmox as plugin
from lvmqcow.core.fitness import ACCEPTABLE, State
from lvmqcow.core.names import Format, Layout
from lvmqcow.core.wiping import Wipe
from lvmqcow.engine.locks import NoLocks
from lvmqcow.errors import LvmqcowError
from lvmqcow.operations import DeleteSnapshot, Merge, Newer, Request, Rollback, Snapshot
from lvmqcow.storage import Storage
from lvmqcow.testing.cases.expected import expected
from lvmqcow.testing.cases.scenarios import DISK, VARIANTS, chain, contents
from lvmqcow.testing.simulated.host import SimHost

Settings = tuple[bool, Layout | None, Wipe, tuple[State, ...]]
SETTINGS: list[Settings] = list(product((True, False), (None, *Layout), Wipe, ((), tuple(sorted(ACCEPTABLE)))))
REQUESTS: list[Request] = [
    Snapshot(DISK, "s3"),
    Rollback(DISK, "s2"),
    *(Rollback(DISK, "s1", newer) for newer in (Newer.KEEP, Newer.DISCARD)),
    *(DeleteSnapshot(DISK, snapshot, merge) for snapshot in ("s1", "s2") for merge in Merge),
]


def opened(host: SimHost, settings: Settings) -> Storage:
    recover_first, layout, wipe, accept = settings
    return Storage(host, NoLocks(), recover_first=recover_first, layout=layout, wipe=wipe, accept=frozenset(accept))


def test_tested_settings_cover_every_parameter() -> None:
    settings = {"recover_first", "layout", "wipe", "accept"}
    assert set(inspect.signature(Storage).parameters) == {"host", "locks", "events", "planners", *settings}


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_only_declared_formats_can_be_created_with_any_settings(settings: Settings) -> None:
    one = opened(SimHost(), settings)
    assert plugin.plugindata().default_format in plugin.plugindata().format
    for image_format in plugin.plugindata().format:
        name = plugin.alloc_image(one, 100, image_format, None, 4096)
        assert {info.name: info.format for info in plugin.list_images(one)}[name] is image_format
        assert plugin.volume_has_feature(one, "snapshot", name) == (image_format is Format.QCOW2)
    there = plugin.list_images(one)
    for other in ("vmdk", "subvol", "qcow", "raw+size", "QCOW2", ""):
        with pytest.raises(LvmqcowError):
            plugin.alloc_image(one, 100, other, None, 4096)
        with pytest.raises(LvmqcowError):
            plugin.find_free_diskname(one, 100, other)
    assert plugin.list_images(one) == there


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("meet", VARIANTS.values(), ids=VARIANTS.keys())
def test_no_setting_loses_snapshots_or_their_content(meet: Callable[[SimHost], SimHost], settings: Settings) -> None:
    start = meet(chain(2))
    held = contents(start)
    assert set(held) == {None, "s1", "s2"}
    for request in REQUESTS:
        host = start.copy()
        opened(host, settings).apply(request)
        assert contents(host) == expected(request, held), request
