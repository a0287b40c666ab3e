"""What does not hold, as an error with its facts."""

from __future__ import annotations

__all__ = ["Violation", "require"]


class Violation(AssertionError):
    """Something that must hold does not."""

    def __init__(self, what: str, expected: object, found: object) -> None:
        self.what = what
        self.expected = str(expected)
        self.found = str(found)
        super().__init__(f"{what}: expected {self.expected}, found {self.found}")


def require(holds: bool, what: str, expected: object, found: object) -> None:
    """Raise Violation unless ``holds``."""
    if not holds:
        raise Violation(what, expected, found)
