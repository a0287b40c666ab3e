"""The directory that CI writes to: the checkout, or another one if the checkout is read-only."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.support.labs import CHECKOUT

SHOW = 'cd "$1"; . "$0"; echo "$place"'


def place_of(checkout: Path, *prefix: str, **variables: str) -> str:
    argv = [*prefix, "sh", "-euc", SHOW, str(CHECKOUT / "ci/place.sh"), str(checkout)]
    environment = {"PATH": os.defpath, **variables}
    return subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout.rstrip("\n")


def read_only(directory: Path) -> tuple[str, ...]:
    """A command prefix that makes the directory read-only, also for root."""
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    script = 'mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"; exec "$@"'
    return ("unshare", *user, "--mount", "sh", "-ec", script, str(directory))


def test_writable_checkout_is_its_own_place(tmp_path: Path) -> None:
    assert place_of(tmp_path, HOME="/nonexistent") == str(tmp_path)


def test_read_only_checkout_has_a_fixed_separate_place(tmp_path: Path) -> None:
    one, two, cache = (tmp_path / name for name in ("one ☃", "two", "my cache"))
    for directory in (one, two):
        directory.mkdir()
    places = [place_of(each, *read_only(each), XDG_CACHE_HOME=str(cache)) for each in (one, two, one)]
    assert places[0] == places[2] != places[1]
    assert [Path(place).parent for place in places] == [cache / "lvmqcow"] * 3
    assert all(Path(place).is_dir() for place in places)


def test_place_can_be_set_by_environment(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    for prefix in ((), read_only(tmp_path / "checkout")):
        assert place_of(tmp_path / "checkout", *prefix, LVMQCOW_PLACE=f"{tmp_path}/x y") == f"{tmp_path}/x y"


def test_tox_starts_workers_by_a_path_without_spaces() -> None:
    text = (CHECKOUT / "tox.ini").read_text()
    workers = re.findall(r"popen//python=(.*)", text)
    assert workers == ["ci/worker"]
    assert os.access(CHECKOUT / workers[0], os.X_OK)
