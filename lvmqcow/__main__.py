"""``python -m lvmqcow`` is ``lvmqcow``."""

import sys

from lvmqcow.cli import main

sys.exit(main())
