"""Where CI keeps what it must write: in the checkout, or elsewhere if that is read-only."""

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
    """What to put in front of a command for which the directory is read-only, also for root."""
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    script = 'mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"; exec "$@"'
    return ("unshare", *user, "--mount", "sh", "-ec", script, str(directory))


def test_a_checkout_that_can_be_written_to_keeps_its_own(tmp_path: Path) -> None:
    assert place_of(tmp_path, HOME="/nonexistent") == str(tmp_path)


def test_the_place_of_a_read_only_checkout_is_its_own_and_always_the_same(tmp_path: Path) -> None:
    one, two, cache = (tmp_path / name for name in ("one ☃", "two", "my cache"))
    for directory in (one, two):
        directory.mkdir()
    places = [place_of(each, *read_only(each), XDG_CACHE_HOME=str(cache)) for each in (one, two, one)]
    assert places[0] == places[2] != places[1]
    assert [Path(place).parent for place in places] == [cache / "lvmqcow"] * 3
    assert all(Path(place).is_dir() for place in places)


def test_a_place_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    for prefix in ((), read_only(tmp_path / "checkout")):
        assert place_of(tmp_path / "checkout", *prefix, LVMQCOW_PLACE=f"{tmp_path}/x y") == f"{tmp_path}/x y"


def test_no_worker_of_tox_is_given_a_path_that_could_have_spaces() -> None:
    text = (CHECKOUT / "tox.ini").read_text()
    workers = re.findall(r"popen//python=(.*)", text)
    assert workers == ["ci/worker"]
    assert os.access(CHECKOUT / workers[0], os.X_OK)
