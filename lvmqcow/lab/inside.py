"""Start the guest side of this package without importing the rest."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["guest_program"]


def guest_program(module: str) -> list[str]:
    """Return the argv that runs `main` of a module in `guest`. The caller appends its arguments."""
    home = str(Path(__file__).resolve().parent)
    program = f"import sys; sys.path.append({home!r}); from guest.{module} import main; main()"
    return [os.path.realpath(sys.executable), "-I", "-S", "-c", program]
