"""What all our suites share: Hypothesis runs the ``ci`` profile unless another one is asked for."""

from __future__ import annotations

import pytest
from hypothesis import settings

from lvmqcow.testing.profiles import register


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("hypothesis_profile", None):
        register()
        settings.load_profile("ci")
