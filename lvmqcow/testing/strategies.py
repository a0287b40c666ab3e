"""What Hypothesis draws: names, sizes, guest writes. The pools are small, so that the same names come again."""

from __future__ import annotations

from hypothesis import strategies as st

from lvmqcow.testing.content import Write

__all__ = ["growths", "snapshot_names", "volume_names", "volume_sizes", "writes"]

_MIB = 1024**2

volume_names = st.sampled_from(["vm-100-disk-0.qcow2", "vm-100-disk-1.qcow2", "vm-1000-disk-0.qcow2", "vm-100-disk-2"])
"""Names of one machine and of two, one a prefix of another, one raw."""

snapshot_names = st.sampled_from(["s1", "s2", "s10", "before-upgrade", "a.b", "x_y", "disk-0.qcow2", "0"])
"""Names that are easily taken for each other, or for a part of a volume's name."""

volume_sizes = st.sampled_from([512 * 9, _MIB, 4 * _MIB, 5 * _MIB + 512, 16 * _MIB])
"""Below, at and between the sizes of clusters and extents, in bytes."""

growths = st.sampled_from([0, 512, _MIB, 5 * _MIB + 512, 16 * _MIB, -512])
"""By how much a volume is to grow: within its LV, beyond it, not at all, and the wrong way, in bytes."""


def writes(blocks: int) -> st.SearchStrategy[list[Write]]:
    """Up to four writes to a disk of that many blocks, zeros among them, some longer than a cluster."""
    one = st.builds(
        lambda block, count, byte: Write(block, min(count, blocks - block), byte),
        st.integers(0, blocks - 1),
        st.sampled_from([1, 2, 31, 32, 33, 100]),
        st.sampled_from([0, 1, 2, 0x55, 0xFF]),
    )
    return st.lists(one, min_size=1, max_size=4)
