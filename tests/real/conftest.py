"""The tests of a kernel must leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


def traces() -> set[str]:
    """The loop devices in use, the device-mapper nodes and the mounts."""
    loops = {path.parts[3] for path in Path("/sys/block").glob("loop*/loop/backing_file")}
    nodes = {str(node) for node in Path("/dev/mapper").glob("*")}
    return loops | nodes | set(Path("/proc/self/mounts").read_text().splitlines())


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    before = traces()
    yield
    assert traces() <= before
