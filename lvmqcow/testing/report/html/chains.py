"""Chains as SVG: a box for each LV, above what it reads through, one column for each volume."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from lvmqcow.testing.conformance.verdict import Layer
from lvmqcow.testing.report.html.markup import attribute, text
from lvmqcow.units import format_size

__all__ = ["drawing"]

_WIDTH: Final = 190
_HEIGHT: Final = 46
_GAP_X: Final = 26
_GAP_Y: Final = 26
_TOP: Final = 30
_EDGE: Final = 8
_LETTERS: Final = 24
"""As many of a name as fit into a box."""


@dataclass(frozen=True)
class _Place:
    x: int
    y: int

    @property
    def top(self) -> tuple[int, int]:
        return self.x + _WIDTH // 2, self.y

    @property
    def bottom(self) -> tuple[int, int]:
        return self.x + _WIDTH // 2, self.y + _HEIGHT


def drawing(layers: Iterable[Layer], label: str) -> str:
    """Return all layers as one SVG image; ``label`` is what a screen reader says."""
    drawn = list(layers)
    if not drawn:
        return f'<p class="empty">{text(label)}: nothing is there.</p>'
    places = _places(drawn)
    width = max(place.x for place in places.values()) + _WIDTH + _EDGE
    height = max(place.y for place in places.values()) + _HEIGHT + _EDGE
    parts = [
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{attribute(label)}" xmlns="http://www.w3.org/2000/svg">',
        *_titles(drawn, places),
        *(_arrow(places[layer.lv], places.get(layer.parent or "")) for layer in drawn if layer.parent),
        *(_box(layer, places[layer.lv]) for layer in drawn),
        "</svg>",
    ]
    return "".join(parts)


def _places(layers: list[Layer]) -> Mapping[str, _Place]:
    """Put each layer one row above the one that it reads through, and siblings side by side."""
    by_lv = {layer.lv: layer for layer in layers}
    depths = {lv: _depth(by_lv, lv) for lv in by_lv}
    deepest, used, column = max(depths.values()), dict[tuple[int, int], bool](), -1
    columns: dict[str, int] = {}
    places: dict[str, _Place] = {}
    for volume in dict.fromkeys(layer.volume for layer in layers):
        column += 1
        first = column
        for layer in (each for each in layers if each.volume == volume):
            row, own = deepest - depths[layer.lv], first
            while (own, row) in used:
                own += 1
            used[own, row] = True
            column = max(column, own)
            columns[layer.lv] = own
            x = _EDGE + own * (_WIDTH + _GAP_X)
            places[layer.lv] = _Place(x, _TOP + row * (_HEIGHT + _GAP_Y))
    return places


def _depth(by_lv: Mapping[str, Layer], lv: str) -> int:
    """Return how many layers lie below one. A damaged chain may lead in a circle."""
    seen: list[str] = []
    below = by_lv[lv].parent
    while below in by_lv and below not in seen:
        seen.append(str(below))
        below = by_lv[str(below)].parent
    return len(seen)


def _titles(layers: list[Layer], places: Mapping[str, _Place]) -> Iterable[str]:
    for volume in dict.fromkeys(layer.volume for layer in layers):
        x = min(places[layer.lv].x for layer in layers if layer.volume == volume)
        yield f'<text class="volume" x="{x}" y="18">{_short(volume)}</text>'


def _arrow(reader: _Place, read: _Place | None) -> str:
    (x, y) = reader.bottom
    if read is None:  # what it names is not there
        return (
            f'<path class="broken" d="M{x} {y} v{_GAP_Y - 6}"/><text class="broken" x="{x + 4}" y="{y + 18}">?</text>'
        )
    (to_x, to_y) = read.top
    middle = (y + to_y) // 2
    line = f'<path class="reads" d="M{x} {y} C{x} {middle} {to_x} {middle} {to_x} {to_y - 6}"/>'
    return f'{line}<path class="head" d="M{to_x - 4} {to_y - 7} L{to_x + 4} {to_y - 7} L{to_x} {to_y} Z"/>'


def _box(layer: Layer, place: _Place) -> str:
    kind = "current" if layer.name is None else "snapshot"
    title = f"{layer.lv}: {layer.name or 'current'}, {layer.size_bytes} bytes"
    size = format_size(layer.size_bytes) if layer.size_bytes else "size unknown"
    return (
        f'<g class="{kind}"><title>{text(title)}</title>'
        f'<rect x="{place.x}" y="{place.y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
        f'<text x="{place.x + 10}" y="{place.y + 19}">{_short(layer.name or "current")}</text>'
        f'<text class="size" x="{place.x + 10}" y="{place.y + 36}">{text(size)}</text></g>'
    )


def _short(name: str) -> str:
    """Return a name that fits: its end says most."""
    return text(name if len(name) <= _LETTERS else f"…{name[1 - _LETTERS :]}")
