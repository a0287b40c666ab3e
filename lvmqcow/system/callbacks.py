"""What a caller may want to be told while commands run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["Progress", "Trace", "Warned"]


Progress = Callable[[float], None]
"""Is told how much of a long step is done, in percent."""


Trace = Callable[[Sequence[str]], None]
"""Is told the argv of every external command."""


Warned = Callable[[str], None]
"""Is told what LVM says though the command succeeded, line by line, each line once."""
