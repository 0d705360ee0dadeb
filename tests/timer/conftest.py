"""A folder with the files of timers and error catchers."""

from __future__ import annotations

import pytest

from tests.timer.written import Written


@pytest.fixture
def written(tmp_path) -> Written:
    """Make timers and catchers that write to a folder of this test alone."""
    return Written(tmp_path / "logs")
