"""What tests of web applications share: a folder of their own, and a monitor and a log that know nothing."""

from __future__ import annotations

import pytest

from time_execution import logs, settings
from time_execution.backends.memory import MemoryBackend
from time_execution.monitor import monitor
from time_execution.monitor.requests import REQUEST_DURATION


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """Let nothing be written elsewhere, and forget all that an application sets up."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOG_CONSOLE", "0")
    monkeypatch.setenv("LOG_FILES", "0")
    yield
    monitor.reset()
    logs.reset()


@pytest.fixture
def store():
    """Configure a direct backend that keeps metrics."""
    backend = MemoryBackend()
    settings.configure(backends=[backend])
    return backend


@pytest.fixture
def requests(store):
    """Return a function that tells the requests measured so far, of each what is asked for."""

    def told(*fields):
        metrics = [metric for metric in store.metrics if metric["name"] == REQUEST_DURATION]
        return [
            tuple(metric.get(field) for field in fields) if len(fields) > 1 else metric.get(fields[0])
            for metric in metrics
        ]

    return told


@pytest.fixture
def errors(store):
    """Return a function that tells the events of errors so far."""
    return lambda: [metric for metric in store.metrics if metric["name"] == "error"]
