"""Hunt for every specimen, and write what found it: docs/reference/specimens.md and the traces in fixtures/traces.

``python ci/specimens.py``          run all of them; exit 1 if one was not found
``python ci/specimens.py --write``  the same, and write the page and the traces
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Final

from lvmqcow.testing.specimens.hunt import Hunted, hunt
from lvmqcow.testing.specimens.page import page, unit
from lvmqcow.testing.specimens.registry import SPECIMENS

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "reference" / "specimens.md"
TRACES: Final = ROOT / "fixtures" / "traces"
_BUDGET_SECONDS: Final = 300.0


def main() -> int:
    """Hunt for all; returns the exit status."""
    with tempfile.TemporaryDirectory() as directory:
        found = [each for specimen in SPECIMENS for each in _shown(specimen.name, Path(directory))]
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(found))
        for hunted in found:
            write_trace(hunted)
    missed = [hunted for hunted in found if not hunted.result.findings]
    print(f"{len(SPECIMENS)} specimens, {len(missed)} not found")
    return 1 if missed else 0


def _shown(name: str, directory: Path) -> list[Hunted]:
    hunted = list(hunt(next(each for each in SPECIMENS if each.name == name), directory, _BUDGET_SECONDS))
    for each in hunted:
        answer = f"{each.tried:,} {unit(each)}, {each.result.seconds:.1f} s" if each.result.findings else "NOT FOUND"
        print(f"{name:32} {each.suite:10} {answer}", flush=True)
    return hunted


def write_trace(hunted: Hunted) -> None:
    """Write the shortest trace of a finding."""
    finding = hunted.result.findings[0]
    if finding.trace:
        lines = "".join(f"{json.dumps(document)}\n" for document in finding.trace)
        (TRACES / f"{hunted.specimen.name}.jsonl").write_text(lines)


if __name__ == "__main__":
    sys.exit(main())
