"""An optional argument is used even if it is falsy. Only None means that it is absent."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

import lvmqcow
from lvmqcow.errors import CommandFailed
from lvmqcow.lvm.commands import Lvm, LvmProcesses, LvmShell
from lvmqcow.qemu.img import QemuImg
from lvmqcow.qemu.nbd import QemuNbd
from lvmqcow.storage import Storage
from lvmqcow.testing.cases.scenarios import DISK, chain, raw_volume
from lvmqcow.testing.simulated.host import SimHost
from lvmqcow.testing.worlds import SimWorld

ROOTS = (Path(lvmqcow.__file__).parent, Path(__file__).parent)
OBJECTS = re.compile(r"\b(Trace|Progress|Locks|Events|Lvm|\w*Host|Qemu\w+|Callable\[.*\]) \| None")


class Empty(list[object]):
    """A callback that records its arguments. It starts empty, so it is falsy."""

    def __call__(self, heard: object) -> None:
        self.append(heard)


class EmptyLocks(list[str]):
    """Locks that record their names. They start empty, so they are falsy."""

    @contextmanager
    def hold(self, vg: str, volume: str) -> Iterator[None]:
        self.append(f"{vg}/{volume}")
        yield


class EmptyHost(SimHost):
    """A host with a length, so it is falsy without volumes."""

    def __len__(self) -> int:
        return len(self.observe().volumes)


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An lvm that waits for this file, for 5 seconds at most, and then fails with status 3."""
    file, lvm = tmp_path / "released", tmp_path / "bin" / "lvm"
    lvm.parent.mkdir()
    lvm.write_text(
        f"#!/bin/sh\ni=0\nwhile [ ! -e '{file}' ] && [ $i -lt 500 ]; do sleep 0.01; i=$((i + 1)); done\nexit 3"
    )
    lvm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{lvm.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("lvmqcow.lvm.commands._PATIENCE_SECONDS", 0.01)
    return file


@pytest.mark.parametrize("kind", [LvmProcesses, LvmShell])
def test_falsy_trace_and_waiting_callback_hear_of_an_lvm_command(
    kind: type[LvmProcesses] | type[LvmShell], released: Path
) -> None:
    class Waiting(Empty):
        def __call__(self, heard: object) -> None:
            super().__call__(heard)
            released.touch()

    trace, waiting = Empty(), Waiting()
    lvm: Lvm = kind(trace=trace, waiting=waiting)
    with pytest.raises(CommandFailed):
        lvm.change(("lvchange", "--refresh", "vg/a"))
    assert trace == waiting == [("lvchange", "--refresh", "vg/a")]


@pytest.mark.parametrize("lvm", ["shell", "process"])
def test_storage_uses_a_falsy_trace_and_falsy_locks(lvm: Literal["shell", "process"], released: Path) -> None:
    released.touch()
    trace, locks = Empty(), EmptyLocks()
    with Storage.open("vg", lvm=lvm, trace=trace, locks=locks) as storage, pytest.raises(CommandFailed):
        storage.recover(DISK.text)
    assert locks == [f"vg/{DISK}"]
    assert trace != []


def test_falsy_trace_and_progress_hear_of_qemu_img() -> None:
    trace, progress = Empty(), Empty()
    argv = ("printf", "    (50.00/100%%)\\r")
    QemuImg(trace).run(argv, progress)
    assert (trace, progress) == ([argv], [50.0])
    trace.clear()
    QemuImg(trace).measure(4096)
    assert len(trace) == 1


def test_falsy_trace_and_progress_hear_of_qemu_nbd(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(4096))
    trace, progress = Empty(), Empty()
    argv = ("qemu-nbd", "--read-only", "--format", "raw", str(tmp_path / "disk"))
    with (tmp_path / "out").open("wb") as out:
        QemuNbd(trace).send(argv, out.fileno(), b"", 4096, progress)
    assert (trace, progress) == ([argv], [100.0])


def test_falsy_host_is_used() -> None:
    host = EmptyHost()
    assert not host
    assert SimWorld(host).host is host
    assert isinstance(chain(0, EmptyHost()), EmptyHost)
    assert isinstance(raw_volume(EmptyHost()), EmptyHost)


def sources() -> Sequence[Path]:
    return [path for root in ROOTS for path in sorted(root.rglob("*.py"))]


def given(tree: ast.AST) -> set[str]:
    """The parameters and fields of a module that may be None or such an object. Attributes have the same names."""
    annotated = [
        (node.arg, node.annotation) for node in ast.walk(tree) if isinstance(node, ast.arg) and node.annotation
    ]
    return {name for name, annotation in annotated if OBJECTS.search(ast.unparse(annotation))}


def asked(tree: ast.AST) -> Iterator[ast.expr]:
    """All expressions whose truth value is used."""
    for node in ast.walk(tree):
        match node:
            case ast.If() | ast.While() | ast.IfExp() | ast.Assert():
                yield node.test
            case ast.BoolOp():
                yield from node.values
            case ast.UnaryOp(op=ast.Not()):
                yield node.operand
            case ast.comprehension():
                yield from node.ifs
            case _:
                pass


@pytest.mark.parametrize("path", sources(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_optional_object_is_compared_with_none_not_by_truth_value(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = given(tree)
    wrong = [
        f"{path}:{each.lineno}: {ast.unparse(each)}"
        for each in asked(tree)
        if ast.unparse(each).removeprefix("self.").removeprefix("_") in names
    ]
    assert wrong == []


def test_search_finds_the_known_optional_objects() -> None:
    found = {name for path in sources() for name in given(ast.parse(path.read_text()))}
    assert {"trace", "waiting", "progress", "locks", "host", "qemu_nbd"} <= found
