"""Inspection of files and streams before an import."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvmqcow.core.qcow2 import parse_header
from lvmqcow.engine.imports import inspect, read_size, spooled
from lvmqcow.errors import Corrupt, InvalidSize, SourceMismatch, SourceNotFound
from lvmqcow.formats import SourceFormat
from lvmqcow.operations import Import
from lvmqcow.testing.cases.scenarios import DISK, MIB, RAW
from lvmqcow.testing.hostile.qcow2_bytes import header_bytes

GOOD = header_bytes(size_bytes=5 * MIB)
WHOLE = GOOD.ljust(4 << 17, b"\0")  # up to the end of its tables


@pytest.fixture
def tripwire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that exists after any start of qemu-img."""
    binaries, touched = tmp_path / "bin", tmp_path / "qemu-img was started"
    binaries.mkdir()
    fake = binaries / "qemu-img"
    fake.write_text(f"#!/bin/sh\ntouch '{touched}'\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{binaries}:{os.environ['PATH']}")
    return touched


def file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "declared", "size_bytes", "image_format"),
    [
        ("disk.qcow2", WHOLE, None, 5 * MIB, SourceFormat.QCOW2),
        ("disk.qcow2", WHOLE, SourceFormat.QCOW2, 5 * MIB, SourceFormat.QCOW2),
        ("disk.img", WHOLE, SourceFormat.QCOW2, 5 * MIB, SourceFormat.QCOW2),
        ("disk.raw", b"x" * 1000, None, 1024, SourceFormat.RAW),
        ("disk.img", b"x" * 1024, SourceFormat.RAW, 1024, SourceFormat.RAW),
        # the user declares that the qcow2 image is data on a raw disk
        ("disk.raw", GOOD, SourceFormat.RAW, len(GOOD), SourceFormat.RAW),
    ],
)
def test_file_format_is_the_declared_one_or_that_of_its_name(
    tmp_path: Path,
    name: str,
    content: bytes,
    declared: SourceFormat | None,
    size_bytes: int,
    image_format: SourceFormat,
) -> None:
    source = file(tmp_path / name, content)
    assert inspect(source, DISK, declared) == Import(DISK, size_bytes, str(source), image_format)


@pytest.mark.parametrize(
    ("name", "content", "declared"),
    [
        ("disk.qcow2", b"x" * 1024, None),
        ("disk.qcow2", b"", None),
        ("disk.raw", b"x" * 1024, SourceFormat.QCOW2),
        ("disk.raw", GOOD, None),
        ("disk", GOOD, None),
        ("disk.QCOW2", GOOD, None),
        ("disk.raw", header_bytes(backing=b"/etc/shadow"), None),
    ],
)
def test_file_that_contradicts_its_format_is_refused(
    tmp_path: Path, tripwire: Path, name: str, content: bytes, declared: SourceFormat | None
) -> None:
    with pytest.raises(SourceMismatch):
        inspect(file(tmp_path / name, content), DISK, declared)
    assert not tripwire.exists()


@pytest.mark.parametrize("name", ["missing.raw", "."])
def test_unreadable_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceNotFound, match=str(tmp_path)):
        inspect(tmp_path / name, RAW, None)


@pytest.mark.parametrize(
    ("name", "content"),
    [("disk.raw", b""), ("a.qcow2", header_bytes(size_bytes=0)), ("a.qcow2", header_bytes(size_bytes=2**63))],
)
def test_file_of_impossible_size_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(InvalidSize):
        inspect(file(tmp_path / name, content), DISK, None)


def test_qemu_img_gets_an_absolute_source_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-f", "nbd:x", "json:{}", "--help.raw"):
        assert inspect(file(Path(name), b"x" * 512), RAW, SourceFormat.RAW).source == str(tmp_path / name)


@given(content=st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: GOOD[:72] + tail))
def test_accepted_qcow2_file_has_a_harmless_header(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    source = file(tmp_path_factory.mktemp("drawn") / "disk.qcow2", content)
    with contextlib.suppress(Corrupt, SourceMismatch, InvalidSize):
        request = inspect(source, DISK, None)
        assert request.source_format is SourceFormat.QCOW2
        assert request.size_bytes > 0
        header = parse_header(content)
        assert header is not None
        assert header.foreign_reasons == ()


@pytest.mark.parametrize("size_bytes", [0, 1, 512, 10 * 1024**3, 2**64 - 1])
def test_stream_size_is_8_bytes_little_endian(tmp_path: Path, size_bytes: int) -> None:
    path = tmp_path / "stream"
    path.write_bytes(size_bytes.to_bytes(8, "little") + b"rest")
    with path.open("rb", buffering=0) as stream:
        assert read_size(stream.fileno()) == size_bytes
        assert stream.read() == b"rest"


def test_stream_that_ends_inside_its_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stream"
    path.write_bytes(bytes(7))
    with path.open("rb", buffering=0) as stream, pytest.raises(SourceNotFound, match="only 7 of the 8 bytes"):
        read_size(stream.fileno())


def test_spooled_stream_is_sparse_and_removed_afterwards(tmp_path: Path) -> None:
    content = b"x" + bytes(8 * MIB) + b"y" + bytes(8 * MIB)
    (tmp_path / "stream").write_bytes(content)
    spool = tmp_path / "spool"
    spool.mkdir()
    with (tmp_path / "stream").open("rb", buffering=0) as stream, spooled(stream.fileno(), spool) as path:
        assert path.read_bytes() == content
        assert path.stat().st_blocks * 512 <= 4 * MIB
    assert list(spool.iterdir()) == []


def test_unusable_spool_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="nowhere"), spooled(0, tmp_path / "nowhere"):
        pytest.fail("this block must not run")


def test_error_after_spooling_is_not_blamed_on_the_stream(tmp_path: Path) -> None:
    (tmp_path / "stream").write_bytes(b"x")
    stream = os.open(tmp_path / "stream", os.O_RDONLY)
    with pytest.raises(FileNotFoundError), spooled(stream, tmp_path) as path:
        path.with_name("nowhere").read_bytes()
    os.close(stream)
