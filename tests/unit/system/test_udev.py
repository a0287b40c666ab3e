"""Whether udev can answer device-mapper here, or libdevmapper must make the device nodes."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from lvmqcow.system import udev
from lvmqcow.system.udev import INITIAL_IPC_NAMESPACE, udev_answers, without_udev

DEVTMPFS = "udev /dev devtmpfs rw,nosuid 0 0"
SNAPSHOT = "tmpfs /dev tmpfs rw,nosuid 0 0"
OTHER_NAMESPACE = "ipc:[4026532001]"


def answers(tmp_path: Path, runs: bool, namespace: str | None, mounts: tuple[str, ...] | None) -> bool:
    """``None`` means that ``/proc`` has no information."""
    control, link, mounted = tmp_path / "control", tmp_path / "ipc", tmp_path / "mounts"
    if namespace:
        link.symlink_to(namespace)
    if mounts is not None:
        mounted.write_text("\n".join(("overlay / overlay rw 0 0", *mounts, "devpts /dev/pts devpts rw 0 0", "")))
    if not runs:
        return udev_answers(control, link, mounted)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(control))
        return udev_answers(control, link, mounted)


@pytest.mark.parametrize(
    ("runs", "namespace", "mounts", "expected"),
    [
        (True, INITIAL_IPC_NAMESPACE, (DEVTMPFS,), True),
        (True, OTHER_NAMESPACE, (DEVTMPFS,), False),
        (False, INITIAL_IPC_NAMESPACE, (DEVTMPFS,), False),
        (False, OTHER_NAMESPACE, (DEVTMPFS,), False),
        (True, INITIAL_IPC_NAMESPACE, (SNAPSHOT,), False),
        (True, INITIAL_IPC_NAMESPACE, (DEVTMPFS, SNAPSHOT), False),
        (True, INITIAL_IPC_NAMESPACE, (SNAPSHOT, DEVTMPFS), True),
        (True, INITIAL_IPC_NAMESPACE, (), False),
        (True, None, (DEVTMPFS,), True),
        (True, INITIAL_IPC_NAMESPACE, None, True),
        (False, None, None, False),
    ],
)
def test_udev_answers_only_with_our_ipc_namespace_and_our_dev(
    tmp_path: Path, runs: bool, namespace: str | None, mounts: tuple[str, ...] | None, expected: bool
) -> None:
    assert answers(tmp_path, runs, namespace, mounts) == expected


def test_regular_file_as_control_socket_is_no_udev(tmp_path: Path) -> None:
    (tmp_path / "control").touch()
    assert not answers(tmp_path, False, INITIAL_IPC_NAMESPACE, (DEVTMPFS,))


@pytest.mark.parametrize("there", [True, False])
def test_libdevmapper_makes_the_nodes_without_udev(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udev, "udev_answers", lambda: there)
    assert without_udev() == ({} if there else {"DM_DISABLE_UDEV": "1"})
