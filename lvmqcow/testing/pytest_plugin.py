"""The pytest plugin: the lab as a requirement, real volume groups as a fixture, Hypothesis profiles.

Loaded in every pytest run of an environment that has lvmqcow, so it imports nothing heavy until it is used.

``--lvmqcow-require-lab``   a test marked ``lvmqcow_real`` that finds no device-mapper fails, instead of being skipped
``--lvmqcow-no-skips``      any skipped test fails: what did not run proves nothing
``--lvmqcow-vg-size``  the size of the volume group that each worker makes on a sparse file
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lvmqcow.testing.worlds import RealWorld

__all__ = ["lvmqcow_vg", "lvmqcow_world"]

_NO_LAB = "no device-mapper here: run it with `lvmqcow lab run -- pytest ...`"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options above."""
    group = parser.getgroup("lvmqcow")
    group.addoption(
        "--lvmqcow-require-lab", action="store_true", help="fail, not skip, where there is no device-mapper"
    )
    group.addoption("--lvmqcow-no-skips", action="store_true", help="fail every test that would be skipped")
    group.addoption("--lvmqcow-vg-size", default="2G", help="size of each worker's group (default: %(default)s)")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and the profiles before Hypothesis looks for one."""
    config.addinivalue_line("markers", "lvmqcow_real: needs root, loop devices and device-mapper (the lab)")
    if hasattr(config, "workerinput") and config.option.basetemp:
        # a worker in a lab has a /tmp of its own, without what the controller made in the machine's
        Path(config.option.basetemp).parent.mkdir(parents=True, exist_ok=True)
    if config.getoption("hypothesis_profile", None):
        from lvmqcow.testing.profiles import register

        register()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or with ``--lvmqcow-require-lab`` fail, what cannot run here."""
    if item.get_closest_marker("lvmqcow_real"):
        _require_lab(item.config)


def _require_lab(config: pytest.Config) -> None:
    """Skip, or with ``--lvmqcow-require-lab`` fail, where no LV can be activated."""
    if not _device_mapper():
        if config.getoption("--lvmqcow-require-lab"):
            pytest.fail(_NO_LAB, pytrace=False)
        pytest.skip(_NO_LAB)


def _device_mapper() -> bool:
    """Return whether this user can activate LVs here."""
    from lvmqcow.errors import UnfitMachine
    from lvmqcow.system.requirements import require_device_mapper

    if os.geteuid() != 0:
        return False
    try:
        require_device_mapper()
    except UnfitMachine:
        return False
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With ``--lvmqcow-no-skips``, make a skip a failure."""
    report = yield
    if report.skipped and item.config.getoption("--lvmqcow-no-skips") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and --lvmqcow-no-skips is given: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def lvmqcow_vg(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the name of a volume group on a sparse file: one for each worker, removed at the end.

    Where there is no device-mapper, the test is skipped, or fails with ``--lvmqcow-require-lab``.
    """
    from lvmqcow.core.sizing import parse_size
    from lvmqcow.lvm import loopvg

    _require_lab(request.config)
    name = f"test-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="lvmqcow-") as directory:
        size_bytes = parse_size(request.config.getoption("--lvmqcow-vg-size"))
        loopvg.create(name, size_bytes, Path(directory) / "pv.img")
        yield name
        loopvg.destroy(name)


@pytest.fixture(scope="session")
def lvmqcow_world(lvmqcow_vg: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RealWorld]]:
    """Yield a function that makes a fresh world on this worker's volume group, emptied each time, in a given layout."""
    from lvmqcow.core.names import Layout
    from lvmqcow.lvm.commands import LvmShell
    from lvmqcow.qemu.img import QemuImg
    from lvmqcow.real_host import RealHost
    from lvmqcow.testing.worlds import RealWorld

    host = RealHost(lvmqcow_vg, LvmShell(), QemuImg())
    directory = tmp_path_factory.mktemp("golden")

    def make(layout: Layout = Layout.RFC) -> RealWorld:
        return RealWorld(host, directory, layout)

    yield make
    host.close()
