"""Sizes in messages are readable, and different sizes never look equal."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import lvmqcow
from lvmqcow.core.sizing import LARGEST_DISK_BYTES, parse_size, whole_sectors
from lvmqcow.errors import InvalidSize, NoSpace
from lvmqcow.units import format_apart, format_exactly, format_size

GIB = 1024**3
TOOLS = ("images", "limits", "lvm", "ranges", "streams")
PACKAGE = Path(lvmqcow.__file__).parent
COMMANDS_AND_TAGS = {
    "core/intents.py",
    "core/lv.py",
    "core/wiping.py",
    "units.py",
    *(f"steps/{tool}.py" for tool in TOOLS),
}
"""Modules that format sizes for a command or for a tag."""

sizes = st.integers(0, 2**63)


@given(one=sizes, other=sizes)
@example(10 * GIB, 10 * GIB + 4096)
@example(1024**4 - 1, 1024**4)
@example(512, 512)
def test_different_sizes_in_one_message_look_different(one: int, other: int) -> None:
    texts = format_apart(one, other)
    assert (texts[0] == texts[1]) == (one == other)
    if format_size(one) != format_size(other):
        assert texts == (format_size(one), format_size(other))


@given(size_bytes=sizes)
def test_exact_size_includes_the_number_of_bytes(size_bytes: int) -> None:
    assert f"{size_bytes} bytes" in format_exactly(size_bytes)


@pytest.mark.parametrize(
    ("needed", "free", "says"),
    [
        (10 * GIB, 19 * GIB // 10, "10 GiB needed, 1.9 GiB free"),
        (10 * GIB + 4096, 10 * GIB, "10 GiB (10737422336 bytes) needed, 10 GiB (10737418240 bytes) free"),
    ],
)
def test_no_space_error_has_readable_sizes(needed: int, free: int, says: str) -> None:
    error = NoSpace("vg0", needed, free)
    assert says in str(error)
    assert (error.needed_bytes, error.free_bytes) == (needed, free)


def test_too_large_size_is_named_as_typed_or_in_readable_units() -> None:
    with pytest.raises(InvalidSize, match="'100T' is not possible: the largest supported size is 64 TiB") as typed:
        parse_size("100T")
    assert typed.value.size_bytes == 100 * 1024**4
    with pytest.raises(InvalidSize, match="'100 TiB' is not possible: the largest supported size is 64 TiB"):
        whole_sectors(100 * 1024**4)
    with pytest.raises(InvalidSize, match=rf"'64 TiB \({LARGEST_DISK_BYTES + 512} bytes\)' is not possible"):
        whole_sectors(LARGEST_DISK_BYTES + 512)


def test_no_message_has_a_size_in_plain_bytes() -> None:
    bare = [found for path in sorted(PACKAGE.rglob("*.py")) if _for_people(path) for found in _bare_sizes(path)]
    assert bare == []


def _for_people(path: Path) -> bool:
    inside = path.relative_to(PACKAGE)
    return str(inside) not in COMMANDS_AND_TAGS and not {"lab", "testing"} & set(inside.parts)


def _bare_sizes(path: Path) -> Iterator[str]:
    """The places where an f-string has ``{…_bytes}``, except options of commands."""
    for string in ast.walk(ast.parse(path.read_text())):
        if isinstance(string, ast.JoinedStr):
            before = ""
            for part in string.values:
                said = ast.unparse(part.value) if isinstance(part, ast.FormattedValue) else ""
                if said.endswith("_bytes") and not before.endswith("--size "):
                    yield f"{path.relative_to(PACKAGE)}:{string.lineno}: {said}"
                before = str(part.value) if isinstance(part, ast.Constant) else ""
