"""Fixtures for tests of instrumented code; pytest finds them by itself once the package is installed.

`captured_metrics` collects what the code under test measures, `fake_clock` is a time that only the test moves. Nothing
of the package is imported before a test asks for one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from time_execution.testing import CapturedMetrics, FakeClock


@pytest.fixture
def captured_metrics() -> Iterator[CapturedMetrics]:
    """Collect the metrics written during the test; nothing reaches the configured backends meanwhile."""
    from time_execution.testing import capture_metrics  # noqa: PLC0415 - only where a test asks for it

    with capture_metrics() as captured:
        yield captured


@pytest.fixture
def fake_clock() -> FakeClock:
    """Return a clock that stands still until the test advances it."""
    from time_execution.testing import FakeClock  # noqa: PLC0415 - only where a test asks for it

    return FakeClock()
