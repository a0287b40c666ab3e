"""Write sizes for people. `lvmqcow.core.sizing` parses and rounds sizes."""

from __future__ import annotations

__all__ = ["format_apart", "format_exactly", "format_size"]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def format_size(size_bytes: int) -> str:
    """Write a size in the largest unit that fits, with at most two decimals: ``10 GiB``."""
    value = float(size_bytes)
    for unit in _UNITS:
        if round(abs(value), 2) < 1024 or unit == _UNITS[-1]:
            return f"{value:.2f}".rstrip("0").rstrip(".") + f" {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def format_apart(*sizes_bytes: int) -> tuple[str, ...]:
    """Write sizes that a message compares. If two different sizes would read the same, add the bytes to all."""
    words = [format_size(size_bytes) for size_bytes in sizes_bytes]
    if len(set(words)) == len(set(sizes_bytes)):
        return tuple(words)
    return tuple(map(format_exactly, sizes_bytes))


def format_exactly(size_bytes: int) -> str:
    """Write a size with its bytes: ``10 GiB (10737418240 bytes)``, ``513 bytes``."""
    return f"{format_size(size_bytes)} ({size_bytes} bytes)" if size_bytes >= 1024 else f"{size_bytes} bytes"
