"""Run the lab's command line as `python3 -m lvmqcow.lab`."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
