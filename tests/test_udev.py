from __future__ import annotations

import socket
from pathlib import Path

import pytest

from lvmqcow import udev
from lvmqcow.udev import INITIAL_IPC_NAMESPACE, udev_answers, without_udev


def answers(tmp_path: Path, runs: bool, namespace: str | None) -> bool:
    control, link = tmp_path / "control", tmp_path / "ipc"
    if namespace:
        link.symlink_to(namespace)
    if not runs:
        return udev_answers(control, link)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(control))
        return udev_answers(control, link)


@pytest.mark.parametrize(
    ("runs", "namespace", "expected"),
    [
        (True, INITIAL_IPC_NAMESPACE, True),
        (True, "ipc:[4026532001]", False),
        (True, None, True),
        (False, INITIAL_IPC_NAMESPACE, False),
        (False, "ipc:[4026532001]", False),
    ],
)
def test_udev_answers_where_it_runs_and_sees_our_semaphores(
    tmp_path: Path, runs: bool, namespace: str | None, expected: bool
) -> None:
    assert answers(tmp_path, runs, namespace) == expected


def test_a_file_in_its_place_is_no_udev(tmp_path: Path) -> None:
    (tmp_path / "control").touch()
    assert not answers(tmp_path, False, INITIAL_IPC_NAMESPACE)


@pytest.mark.parametrize("there", [True, False])
def test_libdevmapper_makes_the_nodes_where_udev_does_not(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udev, "udev_answers", lambda: there)
    assert without_udev() == ({} if there else {"DM_DISABLE_UDEV": "1"})
