"""Export and import of real volumes on the command line: files, pipes, their content, and cuts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from lvmqcow.cli import main
from lvmqcow.core.names import Format, device_path, parse_volume_name
from lvmqcow.formats import HEAD_BYTES
from lvmqcow.operations import ExportStream, StreamFormat
from lvmqcow.testing.cases.scenarios import DISK, MIB, NEIGHBOUR, RAW
from lvmqcow.testing.content import Content, Write
from lvmqcow.testing.worlds import RealWorld

pytestmark = pytest.mark.lvmqcow_real

SIZE_BYTES = 64 * MIB
AT_S1 = Content(SIZE_BYTES).written([Write(0, 3, 7), Write(9000, 40, 8)])
NOW = AT_S1.written([Write(1, 1, 0), Write(16000, 2, 9)])
LARGE_BYTES = 128 * MIB


@pytest.fixture
def world(lvmqcow_world: Callable[[], RealWorld]) -> Iterator[RealWorld]:
    """A disk with a snapshot s1."""
    made = lvmqcow_world()
    volume = made.storage.create(DISK.text, SIZE_BYTES)
    made.write(DISK.text, Format.QCOW2, [Write(0, 3, 7), Write(9000, 40, 8)])
    volume.snapshot("s1")
    made.write(DISK.text, Format.QCOW2, [Write(1, 1, 0), Write(16000, 2, 9)])
    yield made
    made.close()


def lvmqcow(*argv: str, stdin: bytes | None = None, expect: int = 0) -> bytes:
    """Run lvmqcow. Return its standard output, which is a pipe."""
    done = subprocess.run((sys.executable, "-m", "lvmqcow", *argv), input=stdin or b"", capture_output=True)
    assert done.returncode == expect, done.stderr
    return done.stdout


def require_holds(path: Path, image_format: str, expected: Content, golden: Path) -> None:
    expected.save(golden)
    argv = ("qemu-img", "compare", "-f", "raw", "-F", image_format, str(golden), str(path))
    said = subprocess.run(argv, check=True, capture_output=True, text=True)
    assert "size mismatch" not in said.stdout + said.stderr


def allocated_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.mark.parametrize("image_format", Format)
@pytest.mark.parametrize(("layer", "holds"), [("", NOW), ("@s1", AT_S1)], ids=["current", "s1"])
def test_exported_file_has_the_guest_content_and_is_sparse(
    world: RealWorld, tmp_path: Path, image_format: Format, layer: str, holds: Content
) -> None:
    out = tmp_path / "out"
    assert main(("export", f"{world.host.vg}/{DISK}{layer}", str(out), "--format", image_format.value)) == 0
    require_holds(out, image_format.value, holds, tmp_path / "golden")
    assert allocated_bytes(out) <= 2 * MIB
    assert sorted(path.name for path in tmp_path.iterdir()) == ["golden", "out"]


@pytest.mark.parametrize("name", [DISK, RAW], ids=["qcow2", "raw"])
@pytest.mark.parametrize("stream_format", ["raw", "raw+size"])
def test_exported_stream_is_exactly_the_guest_content(
    world: RealWorld, tmp_path: Path, name: object, stream_format: str
) -> None:
    if name == RAW:
        world.storage.volume(DISK.text).copy(RAW.text)
    NOW.save(tmp_path / "golden")
    head = SIZE_BYTES.to_bytes(8, "little") if stream_format == "raw+size" else b""
    sent = lvmqcow("export", f"{world.host.vg}/{name}", "-", "--format", stream_format)
    assert sent == head + (tmp_path / "golden").read_bytes()


def test_stream_redirected_to_a_file_keeps_its_head(world: RealWorld, tmp_path: Path) -> None:
    argv = (sys.executable, "-m", "lvmqcow", "export", f"{world.host.vg}/{DISK}@s1", "-", "--format", "raw+size")
    with (tmp_path / "out").open("wb") as out:
        subprocess.run(argv, check=True, stdout=out)
    AT_S1.save(tmp_path / "golden")
    assert (tmp_path / "out").read_bytes() == SIZE_BYTES.to_bytes(8, "little") + (tmp_path / "golden").read_bytes()
    by_name = tmp_path / "by name"
    assert main(("export", f"{world.host.vg}/{DISK}@s1", str(by_name), "--format", "raw+size")) == 0
    assert by_name.read_bytes() == (tmp_path / "out").read_bytes()
    assert main(("import", str(by_name), f"{world.host.vg}/{RAW}", "--source-format", "raw+size")) == 0
    assert world.difference(RAW.text, Format.RAW, AT_S1) is None


@pytest.mark.parametrize("new", ["vm-200-x.qcow2", "vm-200-x"], ids=["to qcow2", "to raw"])
@pytest.mark.parametrize("stream_format", ["raw", "raw+size", "qcow2"])
def test_stream_exported_to_a_pipe_can_be_imported_from_a_pipe(
    world: RealWorld, new: str, stream_format: str, tmp_path: Path
) -> None:
    vg, spool = world.host.vg, ("--spool", str(tmp_path))
    stream = lvmqcow("export", f"{vg}/{DISK}@s1", "-", "--format", stream_format, *spool)
    size = ("--size", "64M") if stream_format == "raw" else ()
    lvmqcow("import", "-", f"{vg}/{new}", "--source-format", stream_format, *size, *spool, stdin=stream)
    assert world.difference(new, parse_volume_name(new).format, AT_S1) is None
    assert world.storage.check() == ()
    assert list(tmp_path.iterdir()) == []
    if new.endswith(".qcow2"):
        (layer,) = world.storage.volume(new).layers()
        assert layer.allocated_bytes is not None
        assert layer.allocated_bytes <= MIB


@pytest.mark.parametrize("new", [NEIGHBOUR, RAW], ids=["qcow2", "raw"])
@pytest.mark.parametrize("size_bytes", [SIZE_BYTES - 512, SIZE_BYTES + 512], ids=["longer", "shorter"])
def test_import_of_a_stream_with_a_wrong_size_is_undone(world: RealWorld, new: object, size_bytes: int) -> None:
    before = world.host.observe()
    stream = size_bytes.to_bytes(8, "little") + bytes(MIB) + b"x" * (SIZE_BYTES - MIB)
    argv = ("import", "-", f"{world.host.vg}/{new}", "--source-format", "raw+size")
    lvmqcow(*argv, stdin=stream, expect=1)
    assert [plan.operation for plan in world.storage.recover()] == ["undo create"]
    assert world.host.observe() == before


def test_qcow2_stream_with_a_local_backing_file_is_refused(world: RealWorld, tmp_path: Path) -> None:
    before, image = world.host.observe(), tmp_path / "image"
    create = ("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", str(image), "64M")
    subprocess.run(create, check=True)
    argv = ("import", "-", f"{world.host.vg}/{NEIGHBOUR}", "--source-format", "qcow2")
    lvmqcow(*argv, stdin=image.read_bytes(), expect=14)
    assert world.host.observe() == before


@contextmanager
def guest(world: RealWorld) -> Iterator[None]:
    """A QEMU process that has the disk open for writing, like a running guest."""
    argv = ("qemu-io", "-f", "qcow2", device_path(world.host.vg, DISK.text))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write("length\n")
        running.stdin.flush()
        assert "64 MiB" in running.stdout.readline()
        yield
        running.stdin.close()
        running.stdout.read()


def test_running_guest_allows_export_of_a_snapshot_but_not_its_disk(world: RealWorld, tmp_path: Path) -> None:
    out = tmp_path / "out.qcow2"
    with guest(world):
        assert main(("export", f"{world.host.vg}/{DISK}", str(out))) == 13
        assert not out.exists()
        assert main(("export", f"{world.host.vg}/{DISK}@s1", str(out))) == 0
        assert len(lvmqcow("export", f"{world.host.vg}/{DISK}@s1", "-")) == SIZE_BYTES
    require_holds(out, "qcow2", AT_S1, tmp_path / "golden")


def test_export_leaves_an_inactive_volume_inactive(world: RealWorld, tmp_path: Path) -> None:
    world.storage.volume(DISK.text).deactivate()
    assert main(("export", f"{world.host.vg}/{DISK}", str(tmp_path / "out.raw"))) == 0
    assert len(lvmqcow("export", f"{world.host.vg}/{DISK}", "-")) == SIZE_BYTES
    assert {lv.active for lv in world.host.observe().logical_volumes} == {False}
    require_holds(tmp_path / "out.raw", "raw", NOW, tmp_path / "golden")


def test_existing_file_is_replaced_only_with_force(world: RealWorld, tmp_path: Path) -> None:
    out = tmp_path / "out.raw"
    out.write_bytes(b"mine")
    argv = ("export", f"{world.host.vg}/{DISK}", str(out))
    assert main(argv) == 15
    assert main((*argv, "--dry-run")) == 15
    assert out.read_bytes() == b"mine"
    assert main((*argv, "--force")) == 0
    require_holds(out, "raw", NOW, tmp_path / "golden")


def interrupted(argv: Sequence[str], at: str, by: signal.Signals, given: bytes = b"") -> int:
    """Run lvmqcow, and send the signal when it starts the command with this prefix. Return its exit status.

    It reads the ``given`` bytes from its stdin, and then waits for more.
    """
    running = subprocess.Popen(
        [sys.executable, "-m", "lvmqcow", *argv, "--verbose"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdin is not None
    assert running.stderr is not None
    running.stdin.write(given)
    running.stdin.flush()
    for line in running.stderr:
        if line.decode().startswith(f"+ {at}"):
            break
    running.send_signal(by)
    running.communicate()
    return running.returncode


@pytest.fixture
def large(world: RealWorld) -> str:
    """A volume that takes some time to export."""
    world.storage.create(NEIGHBOUR.text, LARGE_BYTES)
    argv = ("qemu-io", "-f", "qcow2", "-c", "write -P 7 0 96M", device_path(world.host.vg, NEIGHBOUR.text))
    subprocess.run(argv, check=True, capture_output=True)
    return f"{world.host.vg}/{NEIGHBOUR}"


def test_interrupted_export_leaves_no_file(world: RealWorld, large: str, tmp_path: Path) -> None:
    argv = ("export", large, str(tmp_path / "out.raw"))
    assert interrupted(argv, "qemu-img convert", signal.SIGINT) == 130
    assert list(tmp_path.iterdir()) == []
    assert interrupted(argv, "qemu-img convert", signal.SIGKILL) == -signal.SIGKILL
    assert not (tmp_path / "out.raw").exists()
    assert main((*argv, "--wait", "60")) == 0  # qemu-img may still run, and then holds the lock
    require_holds(tmp_path / "out.raw", "raw", Content(LARGE_BYTES).written([Write(0, 24576, 7)]), tmp_path / "golden")


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_import_from_a_pipe_is_undone(world: RealWorld, by: signal.Signals) -> None:
    """The pipe delivers only the first bytes that lvmqcow inspects, so the import waits in the middle."""
    before = world.host.observe()
    argv = ("import", "-", f"{world.host.vg}/{RAW}", "--size", "64M")
    status = interrupted(argv, "qemu-nbd", by, bytes(HEAD_BYTES))
    assert status == (130 if by is signal.SIGINT else -signal.SIGKILL)
    assert main(("recover", f"{world.host.vg}/{RAW}", "--wait", "60")) == 0  # qemu-nbd holds the lock until it ends
    assert world.host.observe() == before


def test_closed_reader_is_an_error_and_leaves_no_process(world: RealWorld, large: str) -> None:
    out, into = os.pipe()
    running = subprocess.Popen(
        [sys.executable, "-m", "lvmqcow", "export", large, "-"], stdout=into, stderr=subprocess.PIPE
    )
    os.close(into)
    assert len(os.read(out, 4096)) == 4096
    os.close(out)
    said = running.communicate()[1]
    assert running.returncode == 1
    assert b"Broken pipe" in said
    world.storage.volume(NEIGHBOUR.text).remove()


def test_export_reports_progress(world: RealWorld, tmp_path: Path) -> None:
    heard: list[float] = []
    with (tmp_path / "out").open("wb") as out:
        (step,) = world.storage.plan(ExportStream(DISK, None, out.fileno(), StreamFormat.RAW)).steps
        world.host.run(step, heard.append)
    assert heard == sorted(heard)
    assert (len(heard), heard[-1]) == (64, 100)
