"""Writes all hostile images to a directory, with the file ``canary.txt`` that they name, and lists them."""

from __future__ import annotations

import sys
from pathlib import Path

from lvmqcow.testing.hostile.images import listing, specimens

directory = Path(sys.argv[1]).resolve()
directory.mkdir(parents=True, exist_ok=True)
made = specimens(directory / "canary.txt")
for specimen in made:
    specimen.image.write(directory / specimen.name)
print("\n".join(listing(made)))
