"""The types of callbacks that are called while commands run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["Progress", "Trace", "Warned"]


Progress = Callable[[float], None]
"""Called with how much of a long step is done, in percent."""


Trace = Callable[[Sequence[str]], None]
"""Called with the argv of every external command."""


Warned = Callable[[str], None]
"""Called with each line that LVM prints although its command succeeded; once for each line."""
