"""A log of each test's own, and nothing left of it afterwards."""

from __future__ import annotations

import pytest

from tests.logs.kept_log import KeptLog
from time_execution import settings
from time_execution.backends.memory import MemoryBackend
from time_execution.logs import reset
from time_execution.logs.options import NAMES


@pytest.fixture(autouse=True)
def _fresh_log(monkeypatch, tmp_path):
    """Begin with nothing set, in an empty folder, and end all that was set up."""
    for name in NAMES:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    # Pytest's own handlers keep lines, and let fail what fails; they are there whatever a logger's handlers are.
    for handler in ("LogCaptureHandler", "_FileHandler"):
        monkeypatch.setattr(f"_pytest.logging.{handler}.emit", lambda *_: None)
    yield
    reset()


@pytest.fixture
def kept(tmp_path) -> KeptLog:
    """Return the log, which writes to a folder of this test alone."""
    return KeptLog(tmp_path / "logs")


@pytest.fixture
def events():
    """Return a list that grows by each event that goes down the pipeline."""
    memory = MemoryBackend()
    settings.configure(backends=[memory])
    return memory.metrics
