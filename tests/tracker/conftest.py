"""What most tests of the tracker are run with, twice."""

from __future__ import annotations

import pytest

from time_execution import settings
from time_execution.backends.memory import MemoryBackend


@pytest.fixture(params=[False, True], ids=["line only", "with a backend"])
def configured(request):
    """Let everything hold with nothing configured, and where a backend hears of every call."""
    if request.param:
        settings.configure(backends=[MemoryBackend()])
