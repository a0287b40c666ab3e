"""How large an image gets: what ``qemu-img measure`` says, computed. A test holds it to qemu-img."""

from __future__ import annotations

from lvmqcow.core.qcow2 import OURS, ImageOptions
from lvmqcow.core.sizing import extents, whole_extents

__all__ = ["fully_allocated_bytes"]


def fully_allocated_bytes(virtual_size_bytes: int, options: ImageOptions = OURS) -> int:
    """What ``qemu-img measure`` says; a test holds it to that.

    Source: ``qcow2_calc_prealloc_size`` of QEMU: data, L1 and L2 tables, and the refcounts of all of that.
    """
    cluster_bytes = options.cluster_size_bytes
    data = whole_extents(virtual_size_bytes, cluster_bytes)
    clusters = data // cluster_bytes
    l2_tables = extents(clusters, cluster_bytes // (16 if options.extended_l2 else 8))
    l1_bytes = whole_extents(8 * l2_tables, cluster_bytes)
    meta = cluster_bytes + l2_tables * cluster_bytes + l1_bytes
    blocks, table_clusters = _refcounts((meta + data) // cluster_bytes, cluster_bytes)
    return data + meta + (blocks + table_clusters) * cluster_bytes


def _refcounts(clusters: int, cluster_bytes: int) -> tuple[int, int]:
    """Refcount blocks and table clusters that count ``clusters`` and themselves."""
    blocks = table = 0
    while True:
        needed = extents(clusters + blocks + table, cluster_bytes // 2)
        needed_table = extents(needed * 8, cluster_bytes)
        if (needed, needed_table) == (blocks, table):
            return blocks, table
        blocks, table = needed, needed_table
