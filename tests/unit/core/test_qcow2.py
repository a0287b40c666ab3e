"""The qcow2 header parser, compared with qemu-img and fed with hostile bytes."""

from __future__ import annotations

import itertools
import json
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lvmqcow.core.qcow2 import HEADER_BYTES, IMAGE_OPTIONS, Header, parse_header
from lvmqcow.errors import Corrupt
from lvmqcow.formats import SourceFormat
from lvmqcow.testing.hostile.images import specimens
from lvmqcow.testing.hostile.qcow2_bytes import CORRUPT, DATA_FILE, DIRTY, EXTENDED_L2, header_bytes
from lvmqcow.testing.hostile.specimen import Notice, Specimen

OPTIONS = {
    "ours": IMAGE_OPTIONS,
    "version 2": "compat=0.10",
    "smallest clusters": "cluster_size=512",
    "version 2, smallest clusters": "compat=0.10,cluster_size=512",
    "largest clusters": "cluster_size=2M",
    "lazy refcounts": "lazy_refcounts=on",
    "wide refcounts": "refcount_bits=64",
    "compressed with zstd": "compression_type=zstd",
    "metadata preallocated": "preallocation=metadata,extended_l2=on",
    "all at once": "cluster_size=64k,extended_l2=on,lazy_refcounts=on,refcount_bits=1,compression_type=zstd",
}
SIZES = [512, 1024**2, 5 * 1024**2 + 512, 64 * 1024**3]


def qemu_img(*arguments: str) -> str:
    return subprocess.run(("qemu-img", *arguments), check=True, capture_output=True, text=True).stdout


def created(path: Path, size_bytes: int, options: str, *more: str) -> Header:
    """Let qemu-img make an image, and parse its header."""
    qemu_img("create", "-q", "-f", "qcow2", "-o", options, *more, str(path), str(size_bytes))
    with path.open("rb") as file:
        header = parse_header(file.read(HEADER_BYTES))
    assert header is not None
    return header


@pytest.mark.parametrize(("options", "size_bytes"), list(itertools.product(OPTIONS, SIZES)))
def test_parsed_header_agrees_with_qemu_img(tmp_path: Path, options: str, size_bytes: int) -> None:
    path = tmp_path / "image.qcow2"
    header = created(path, size_bytes, OPTIONS[options])
    info = json.loads(qemu_img("info", "-f", "qcow2", "--output=json", str(path)))
    data = info["format-specific"]["data"]
    assert header.version == {"0.10": 2, "1.1": 3}[data["compat"]]
    assert header.virtual_size_bytes == info["virtual-size"] == size_bytes
    assert header.cluster_size_bytes == info["cluster-size"]
    assert header.extended_l2 == data.get("extended-l2", False)
    assert header.dirty == info["dirty-flag"]
    assert header.corrupt == data.get("corrupt", False)
    assert header.backing is None
    assert header.foreign_reasons == ()
    assert header.layer_reasons("vg0") == ()
    assert header.beyond(path.stat().st_size) == ()


@pytest.mark.parametrize("options", [IMAGE_OPTIONS, "compat=0.10", "cluster_size=512"])
@pytest.mark.parametrize("backing", ["snap-s1-vm-100-disk-0.qcow2", "/dev/vg0/vm-100-disk-0.qcow2", "ä", "b" * 300])
def test_parsed_backing_name_agrees_with_qemu_img(tmp_path: Path, options: str, backing: str) -> None:
    path = tmp_path / "image.qcow2"
    header = created(path, 1024**2, options, "-u", "-b", backing, "-F", "qcow2")
    info = json.loads(qemu_img("info", "-f", "qcow2", "--output=json", str(path)))
    assert header.backing == info["backing-filename"] == backing
    assert header.backing_format == "qcow2"
    assert any("reads through" in reason for reason in header.foreign_reasons)
    assert bool(header.layer_reasons("vg0")) == (not backing.endswith(".qcow2"))


@pytest.mark.parametrize(
    ("backing", "backing_format", "harmless"),
    [
        ("snap-s1-vm-100-disk-0.qcow2", "qcow2", True),
        ("/dev/vg0/snap_vm-100-disk-0_s1.qcow2", "qcow2", True),
        ("snap-s1-vm-100-disk-0.qcow2", "raw", False),
        ("vm-100-disk-0", "qcow2", False),
        ("/dev/vg1/vm-100-disk-0.qcow2", "qcow2", False),
        ("/dev/vg0/../x.qcow2", "qcow2", False),
        ("../x.qcow2", "qcow2", False),
        ("-x.qcow2", "qcow2", False),
        ("nbd:x.qcow2", "qcow2", False),
        ('json:{"driver":"null-co"}.qcow2', "qcow2", False),
        ("/etc/x.qcow2", "qcow2", False),
    ],
)
def test_layer_may_have_only_a_qcow2_lv_of_its_vg_as_backing(
    tmp_path: Path, backing: str, backing_format: str, harmless: bool
) -> None:
    header = created(tmp_path / "image.qcow2", 1024**2, IMAGE_OPTIONS, "-u", "-b", backing, "-F", backing_format)
    assert (header.layer_reasons("vg0") == ()) == harmless


def test_backing_name_beyond_the_header_is_not_treated_as_absent() -> None:
    header = parse_header(header_bytes(backing=b"/etc/shadow", backing_offset=2 * HEADER_BYTES))
    assert header is not None
    assert header.layer_reasons("vg0") != ()


def test_data_file_is_detected(tmp_path: Path) -> None:
    header = created(tmp_path / "image.qcow2", 1024**2, f"data_file={tmp_path / 'data.raw'}")
    assert header.external_data
    assert any("another file" in reason for reason in header.foreign_reasons)


def test_internal_snapshot_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    created(path, 1024**2, IMAGE_OPTIONS)
    qemu_img("snapshot", "-c", "inside", str(path))
    header = parse_header(path.read_bytes()[:HEADER_BYTES])
    assert header is not None
    assert header.internal_snapshots == 1
    assert header.foreign_reasons == ("it has internal snapshots",)


def test_encryption_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    secret = ("--object", "secret,id=key,data=x")
    options = "encrypt.format=aes,encrypt.key-secret=key"
    qemu_img("create", "-q", *secret, "-f", "qcow2", "-o", options, str(path), "1M")
    header = parse_header(path.read_bytes()[:HEADER_BYTES])
    assert header is not None
    assert header.encrypted
    assert "it is encrypted" in header.foreign_reasons


HOSTILE = [
    specimen
    for specimen in specimens(Path("/etc/shadow"))
    if specimen.declared is SourceFormat.QCOW2 and specimen.notice is Notice.HEADER and specimen.refusal is Corrupt
]


@pytest.mark.parametrize("specimen", HOSTILE, ids=lambda specimen: specimen.name)
def test_hostile_header_is_refused_with_a_reason(specimen: Specimen) -> None:
    header = parse_header(specimen.image.start)
    assert header is not None
    reasons = (*header.foreign_reasons, *header.beyond(specimen.image.size_bytes))
    assert specimen.says in "; ".join(reasons)


def test_header_behind_the_hostile_ones_is_harmless() -> None:
    header = parse_header(header_bytes())
    assert header is not None
    assert header.foreign_reasons == ()


@given(start=st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"QFI\xfb" + tail))
@example(b"")
@example(b"QFI\xfb" + b"\xff" * 100)
@example(b"QFI\xfb" + b"\xff" * 4092)
def test_parser_accepts_arbitrary_bytes_without_failing(start: bytes) -> None:
    header = parse_header(start)
    assert header is None or header.foreign_reasons is not None


@given(length=st.integers(0, 512))
def test_truncated_header_is_never_misread(length: int) -> None:
    header = parse_header(header_bytes()[:length])
    assert header is None or header.foreign_reasons or header == parse_header(header_bytes())


@given(changes=st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), max_size=4))
def test_parser_survives_changed_bytes(changes: list[tuple[int, int]]) -> None:
    start = bytearray(header_bytes())
    for offset, byte in changes:
        start[offset] = byte
    header = parse_header(bytes(start))
    assert (header is None) == (start[:4] != b"QFI\xfb")


@given(features=st.integers(0, 2**64 - 1))
def test_incompatible_feature_is_known_or_counted_as_unknown(features: int) -> None:
    header = parse_header(header_bytes(incompatible=features))
    assert header is not None
    known = DIRTY | CORRUPT | DATA_FILE | EXTENDED_L2 | 8
    assert header.unknown_features == features & ~known
    assert header.external_data == bool(features & DATA_FILE)
    assert (header.dirty, header.corrupt, header.extended_l2) == tuple(
        bool(features & bit) for bit in (DIRTY, CORRUPT, EXTENDED_L2)
    )


def test_extension_beyond_the_read_bytes_is_refused() -> None:
    beyond = struct.pack(">II", 0x6803F857, HEADER_BYTES)  # a feature name table that fills all bytes that are read
    header = parse_header(header_bytes(extensions=beyond))
    assert header is not None
    assert header.foreign_reasons, "what follows that extension was not seen: it may be a data file"
