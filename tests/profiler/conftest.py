"""A profiler of the test's own, what it hands over, and the shared one as if nobody had configured it."""

from __future__ import annotations

import pytest

from time_execution.profiler import Profiler, profiler


class Collector:
    """A handler by its shape: keeps what it is handed.

    Attributes:
        handed: Pairs of a metric's name and the records that came together.
    """

    def __init__(self, handler_name="collector"):
        self.handler_name = handler_name
        self.handed = []

    def handle(self, records, profiler_name):
        """Keep records."""
        self.handed.append((profiler_name, records))

    @property
    def records(self):
        """All records, in the order in which they came."""
        return [record for _, records in self.handed for record in records]

    @property
    def methods(self):
        """Their contexts."""
        return [record["method"] for record in self.records]


@pytest.fixture
def collector():
    return Collector()


@pytest.fixture
def own(collector):
    """Give a profiler that measures times for the collector."""
    made = Profiler()
    made.config(job="tests")
    made.add_handler(collector)
    return made


@pytest.fixture(autouse=True)
def _shared():
    """Leave the shared profiler as it was made."""
    yield
    profiler.delete_handlers()
    profiler.delete_metrics(rm_time_profile=True, rm_resp_size_profile=True)
    profiler.change(callbacks={}, is_on=False, error_raised_label=False, job="")
    profiler.trouble = type(profiler.trouble)()
    profiler.change()
