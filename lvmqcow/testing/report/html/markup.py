"""HTML as text. Every value is escaped: findings hold text from disks and from strangers' programs."""

from __future__ import annotations

from html import escape

__all__ = ["attribute", "cells", "definitions", "element", "text"]


def text(value: object) -> str:
    """Return a value as the text of an element. Control characters are shown, not sent."""
    shown = "".join(char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in str(value))
    return escape(shown, quote=True)


def attribute(value: object) -> str:
    """Return a value as the value of an attribute."""
    return text(value).replace("\n", "&#10;")


def element(tag: str, content: str, **attributes: object) -> str:
    """Return an element. ``content`` is markup; a trailing ``_`` of an attribute's name is left out, ``_`` is ``-``."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{attribute(value)}"' for name, value in attributes.items()
    )
    return f"<{tag}{written}>{content}</{tag}>"


def cells(values: list[str], tag: str = "td") -> str:
    """Return a row of a table. The values are markup."""
    return element("tr", "".join(f"<{tag}>{value}</{tag}>" for value in values))


def definitions(pairs: list[tuple[str, str]]) -> str:
    """Return a list of terms. The terms are text, what they mean is markup."""
    return element("dl", "".join(f"<dt>{text(term)}</dt><dd>{meaning}</dd>" for term, meaning in pairs))
