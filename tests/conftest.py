"""What all our suites share.

Hypothesis runs the ``lvmqcow-ci`` profile unless another one is asked for. Tests run as from a terminal, whatever
started them.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import settings

from lvmqcow.testing.profiles import register

pytest.register_assert_rewrite(  # so that an assertion in a helper shows its facts, as one in a test does
    *("tests.support", "tests.simulated", "tests.real"),
)


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("hypothesis_profile", None):
        register()
        settings.load_profile("lvmqcow-ci")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the sums of what tests counted with ``record_property``: how much was tried is a part of the proof."""
    counts = Counter[str]()
    for report in terminalreporter.getreports("passed"):
        counts.update({name: count for name, count in report.user_properties if isinstance(count, int)})
    for name, count in sorted(counts.items()):
        terminalreporter.write_line(f"{name}: {count:,}")


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_not_ignored() -> Iterator[None]:
    """A shell that is not interactive starts its background jobs with SIGINT ignored, and children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
