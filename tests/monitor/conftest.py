"""A monitor that a test moves step by step, in an environment without options."""

from __future__ import annotations

import pytest

from tests.monitor.stepping import Steps
from tests.monitor.waiting import PATIENCE
from time_execution.monitor import Monitor
from time_execution.monitor.options import NAMES


@pytest.fixture
def clean_environment(monkeypatch, tmp_path):
    """Begin without options of a monitor, in an empty folder, with a log that goes nowhere."""
    for name in NAMES:
        monkeypatch.delenv(f"MONITOR_{name.upper()}", raising=False)
    monkeypatch.setenv("LOG_FILES", "0")
    monkeypatch.setenv("LOG_CONSOLE", "0")
    monkeypatch.chdir(tmp_path)


class Watched(Monitor):
    """A monitor that moves by steps, and knows when its jobs ran."""

    def __init__(self, steps):
        self.steps = steps
        self.time = steps.clock
        self.sampled, self.written = [], []
        super().__init__(clock=self.time, wall=self.time.time, sleep=lambda seconds: None)

    def step(self, seconds):
        self.steps.step(self, seconds)

    def sample(self):
        taken = super().sample()
        self.sampled.append(self.time())
        return taken

    def _write_states(self):
        super()._write_states()
        self.written.append(self.time())


@pytest.fixture
def watched(clean_environment, monkeypatch):
    """Return a monitor that moves by steps, and stop it at the end."""
    made = Watched(Steps(monkeypatch))
    yield made
    assert made.stop(PATIENCE)
    made.reset()
