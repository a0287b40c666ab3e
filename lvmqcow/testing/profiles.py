"""Hypothesis profiles: how much to try, and whether to try the same again.

``lvmqcow-ci``       derandomized, a fixed number of examples: a failure is the same on every machine
``lvmqcow-nightly``  random, saves its failures, many examples
``lvmqcow-soak``     random, one example after another until the time is over (``LVMQCOW_SOAK_SECONDS``)

``LVMQCOW_EXAMPLES`` overrides the number of examples. No profile has a deadline: a slow machine is no failure.
"""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

__all__ = ["register"]

_CI = "lvmqcow-ci"
_PROFILES = {_CI: 30, "lvmqcow-nightly": 300, "lvmqcow-soak": 20}


def register() -> None:
    """Make the profiles known to Hypothesis."""
    database = Path(os.environ.get("HYPOTHESIS_STORAGE_DIRECTORY", ".hypothesis"), "examples")
    for name, examples in _PROFILES.items():
        settings.register_profile(
            name,
            max_examples=int(os.environ.get("LVMQCOW_EXAMPLES", examples)),
            derandomize=name == _CI,
            database=None if name == _CI else DirectoryBasedExampleDatabase(database),
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
