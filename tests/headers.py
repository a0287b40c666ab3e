"""qcow2 headers made by hand: one harmless, and one for every way in which a file reaches beyond itself.

Source: QEMU's ``docs/interop/qcow2.txt``.
"""

from __future__ import annotations

import struct

from lvmqcow.qcow2 import HEADER_BYTES

DIRTY, CORRUPT, DATA_FILE, COMPRESSION, EXTENDED_L2 = 1, 2, 4, 8, 16
_EXTENSION_DATA_FILE = 0x44415441


def header_bytes(
    *,
    version: int = 3,
    backing: bytes = b"",
    cluster_bits: int = 17,
    size_bytes: int = 1024**2,
    crypt: int = 0,
    snapshots: int = 0,
    incompatible: int = EXTENDED_L2,
    header_length: int = 104,
    extensions: bytes = b"",
) -> bytes:
    """The first bytes of an image; the backing name is where qemu-img puts it, behind the extensions."""
    end = struct.pack(">II", 0, 0)
    backing_offset = 104 + len(extensions) + len(end) if backing else 0
    fixed = struct.pack(
        ">4sIQIIQIIQQIIQ",
        *(b"QFI\xfb", version, backing_offset, len(backing), cluster_bits, size_bytes, crypt),
        *(1, 3 << cluster_bits % 32, 1 << cluster_bits % 32, 1, snapshots, 0),
    )
    third = struct.pack(">QQQII", incompatible, 0, 0, 4, header_length)
    return (fixed + third + extensions + end + backing).ljust(HEADER_BYTES, b"\0")


def data_file_extension(name: bytes) -> bytes:
    return struct.pack(">II", _EXTENSION_DATA_FILE, len(name)) + name.ljust(-(-len(name) // 8) * 8, b"\0")


HOSTILE = {
    "a backing file": (header_bytes(backing=b"/etc/shadow"), "reads through to another file, '/etc/shadow'"),
    "a json: backing file": (header_bytes(backing=b'json:{"driver":"nbd"}'), "reads through to another file"),
    "a backing protocol": (header_bytes(backing=b"nbd://10.0.0.1/x"), "reads through to another file"),
    "a backing name beyond what was read": (
        header_bytes(extensions=struct.pack(">II", 1, HEADER_BYTES) + b"\0" * HEADER_BYTES, backing=b"/etc/shadow"),
        "reads through to another file",
    ),
    "a backing file, version 2": (header_bytes(version=2, backing=b"/etc/shadow"), "reads through to another file"),
    "a data file": (header_bytes(incompatible=DATA_FILE), "its data is in another file"),
    "a data file by its name alone": (
        header_bytes(extensions=data_file_extension(b"/etc/shadow")),
        "its data is in another file",
    ),
    "a data file behind another extension": (
        header_bytes(extensions=struct.pack(">II", 0x6803F857, 3) + b"\0" * 8 + data_file_extension(b"/etc/shadow")),
        "its data is in another file",
    ),
    "AES encryption": (header_bytes(crypt=1), "it is encrypted"),
    "LUKS encryption": (header_bytes(crypt=2), "it is encrypted"),
    "an unknown incompatible feature": (header_bytes(incompatible=1 << 5), "unknown incompatible features 0x20"),
    "the last incompatible feature": (header_bytes(incompatible=1 << 63), "unknown incompatible features"),
    "internal snapshots": (header_bytes(snapshots=3), "it has internal snapshots"),
    "marked corrupt": (header_bytes(incompatible=CORRUPT), "it is marked corrupt"),
    "clusters too small": (header_bytes(cluster_bits=8), "impossible cluster size"),
    "clusters too large": (header_bytes(cluster_bits=22), "impossible cluster size"),
    "absurd cluster bits": (header_bytes(cluster_bits=2**32 - 1), "impossible cluster size"),
    "a version of the past": (header_bytes(version=1), "version 1 is unknown"),
    "a version of the future": (header_bytes(version=4), "version 4 is unknown"),
}
"""What is wrong, the first bytes of such an image, and a part of the reason that must be given."""
