"""Streams into and out of images. Here qemu-nbd serves files, so the tests need no root and no volume group."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvmqcow.core.qcow2 import IMAGE_OPTIONS
from lvmqcow.errors import CommandFailed
from lvmqcow.qemu.nbd import QemuNbd, data_runs

MIB = 1024**2
BLOCK = 4096
CONTENT = b"".join([bytes([7]) * BLOCK, bytes(2 * MIB), b"\0" * 100 + b"x", bytes(3 * MIB - 101), b"\xff" * 512])


@contextmanager
def piped(data: bytes) -> Iterator[int]:
    """A pipe that delivers these bytes."""
    out, into = os.pipe()

    def feed() -> None:
        with open(into, "wb") as pipe:
            try:
                pipe.write(data)
            except BrokenPipeError:
                return

    feeding = threading.Thread(target=feed)
    feeding.start()
    try:
        yield out
    finally:
        os.close(out)
        feeding.join()


def image(path: Path, size_bytes: int = len(CONTENT)) -> tuple[str, ...]:
    """An empty image, and the command that serves it."""
    argv = ("qemu-img", "create", "-q", "-f", "qcow2", "-o", IMAGE_OPTIONS, str(path), str(size_bytes))
    subprocess.run(argv, check=True)
    return "qemu-nbd", "--format", "qcow2", str(path)


def read_only(argv: tuple[str, ...]) -> tuple[str, ...]:
    return argv[0], "--read-only", *argv[1:]


@pytest.fixture
def target(tmp_path: Path) -> tuple[str, ...]:
    return image(tmp_path / "disk.qcow2")


def test_received_stream_is_sent_back_unchanged(target: tuple[str, ...], tmp_path: Path) -> None:
    heard: list[float] = []
    with piped(CONTENT) as stream:
        QemuNbd().receive(target, stream, len(CONTENT), heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 100
    require_content(target, tmp_path)
    with (tmp_path / "out").open("wb") as out:
        QemuNbd().send(read_only(target), out.fileno(), b"head", len(CONTENT))
    assert (tmp_path / "out").read_bytes() == b"head" + CONTENT


def require_content(target: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "golden").write_bytes(CONTENT)
    compare = ("qemu-img", "compare", "-f", "raw", "-F", "qcow2", str(tmp_path / "golden"), target[-1])
    subprocess.run(compare, check=True, capture_output=True)


def test_receive_does_not_write_zeros(target: tuple[str, ...]) -> None:
    with piped(CONTENT) as stream:
        QemuNbd().receive(target, stream, len(CONTENT))
    argv = ("qemu-img", "map", "-f", "qcow2", "--output=json", target[-1])
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    assert said.count('"data": true') == 3
    assert Path(target[-1]).stat().st_blocks * 512 < MIB


@pytest.mark.parametrize(
    ("size_bytes", "says"),
    [
        (len(CONTENT) + 1, rf"ended after 5 MiB \({len(CONTENT)} bytes\) of 5 MiB \({len(CONTENT) + 1} bytes\)"),
        (len(CONTENT) - 1, rf"the stream is longer than the 5 MiB \({len(CONTENT) - 1} bytes\)"),
        (len(CONTENT) - 3 * MIB, "the stream is longer"),
    ],
)
def test_stream_of_another_length_is_an_error(tmp_path: Path, size_bytes: int, says: str) -> None:
    target = image(tmp_path / "disk.qcow2", len(CONTENT) + 512)
    with piped(CONTENT) as stream, pytest.raises(CommandFailed, match=says):
        QemuNbd().receive(target, stream, size_bytes)


@pytest.mark.parametrize("ahead", [1, 4096, 2 * MIB, len(CONTENT)])
def test_bytes_read_ahead_are_written_first(target: tuple[str, ...], tmp_path: Path, ahead: int) -> None:
    with piped(CONTENT[ahead:]) as stream:
        QemuNbd().receive(target, stream, len(CONTENT), head=CONTENT[:ahead])
    require_content(target, tmp_path)


def test_head_longer_than_the_size_is_an_error(target: tuple[str, ...]) -> None:
    with piped(b"") as stream, pytest.raises(CommandFailed, match="longer than"):
        QemuNbd().receive(target, stream, len(CONTENT) - 512, head=CONTENT)


def test_image_too_small_for_the_stream_is_an_error(tmp_path: Path) -> None:
    target = image(tmp_path / "disk.qcow2", len(CONTENT) - 512)
    with piped(CONTENT) as stream, pytest.raises(CommandFailed, match="qemu-nbd"):
        QemuNbd().receive(target, stream, len(CONTENT))


def test_receive_closes_the_image_before_it_returns(target: tuple[str, ...]) -> None:
    for _ in range(5):
        with piped(CONTENT) as stream:
            QemuNbd().receive(target, stream, len(CONTENT))
        subprocess.run(("qemu-io", "-f", "qcow2", "-c", "write -z 0 4k", target[-1]), check=True, capture_output=True)


def test_error_includes_the_message_of_qemu_nbd(tmp_path: Path) -> None:
    argv = ("qemu-nbd", "--read-only", "--format", "qcow2", str(tmp_path / "not there"))
    with (tmp_path / "out").open("wb") as out, pytest.raises(CommandFailed, match="No such file"):
        QemuNbd().send(argv, out.fileno(), b"", 512)


def test_closed_reader_is_an_error_and_ends_qemu_nbd(target: tuple[str, ...]) -> None:
    out, into = os.pipe()
    os.close(out)
    with open(into, "wb", buffering=0) as pipe, pytest.raises(CommandFailed, match="Broken pipe"):
        QemuNbd().send(read_only(target), pipe.fileno(), b"", len(CONTENT))
    subprocess.run(("qemu-io", "-f", "qcow2", "-c", "write -z 0 4k", target[-1]), check=True, capture_output=True)


def test_ctrl_c_ends_qemu_nbd(target: tuple[str, ...]) -> None:
    def stop(percent: float) -> None:
        raise KeyboardInterrupt

    with piped(CONTENT) as stream, pytest.raises(KeyboardInterrupt):
        QemuNbd().receive(target, stream, len(CONTENT), stop)
    subprocess.run(("qemu-io", "-f", "qcow2", "-c", "write -z 0 4k", target[-1]), check=True, capture_output=True)


def test_trace_shows_the_command_of_the_step(target: tuple[str, ...], tmp_path: Path) -> None:
    traced: list[object] = []
    with (tmp_path / "out").open("wb") as out:
        QemuNbd(traced.append).send(target, out.fileno(), b"", 512)
    assert traced == [target]


@given(blocks=st.lists(st.sampled_from([b"\0", b"\1", b"\0\1"]), max_size=8), tail=st.binary(max_size=5))
def test_data_runs_skip_only_zeros_and_are_maximal(blocks: list[bytes], tail: bytes) -> None:
    chunk = b"".join((block * BLOCK)[:BLOCK] for block in blocks) + tail
    runs = list(data_runs(chunk))
    rest = bytearray(len(chunk))
    for start, end in runs:
        rest[start:end] = chunk[start:end]
    assert bytes(rest) == chunk
    assert all(one[1] < other[0] for one, other in pairwise(runs))
    for start, end in runs:
        assert all(any(chunk[at : min(at + BLOCK, end)]) for at in range(start, end, BLOCK))


def test_ctrl_c_before_the_connection_ends_qemu_nbd(tmp_path: Path) -> None:
    server, pid = tmp_path / "server", tmp_path / "pid"
    server.write_text(f"#!/bin/sh\necho $$ > '{pid}'\nkill -INT $PPID\nexec sleep 1000\n")
    server.chmod(0o755)
    with pytest.raises(KeyboardInterrupt):
        QemuNbd().receive((str(server),), 0, 512)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_qemu_nbd_ends_with_its_killed_parent(tmp_path: Path) -> None:
    server, survived = tmp_path / "server", tmp_path / "survived"
    code = f"os.kill(os.getppid(), signal.SIGKILL); time.sleep(60); open({str(survived)!r}, 'w')"
    server.write_text(f"#!{sys.executable}\nimport os, signal, time\n{code}\n")
    server.chmod(0o755)
    receive = f"from lvmqcow.qemu.nbd import QemuNbd; QemuNbd().receive(({str(server)!r},), 0, 512)"
    ended, running = os.pipe()
    killed = subprocess.run((sys.executable, "-c", receive), check=False, pass_fds=(running,))
    os.close(running)
    assert os.read(ended, 1) == b""  # returns when the server, which inherits the pipe, has ended too
    os.close(ended)
    assert killed.returncode == -signal.SIGKILL
    assert not survived.exists()
