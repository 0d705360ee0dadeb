"""One line of JSON for each call of an entry point: how long its parts took, and what was noted.

Run it as ``python examples/tracker_quick_start.py``.
"""

from __future__ import annotations

import time

from time_execution.tracker import ProcessTracker

tracker = ProcessTracker()


@tracker
def some_function(items: list[str]) -> None:
    tracker.set_identifier("correlation_id", "00000000-0000-0000-0000-000000000001")
    with tracker.timer("some_process_name"):
        for item in items:
            try:
                some_other_function(item)
            except ValueError as error:
                tracker.set_metric("some_function_errors", 1)
                tracker.set_metric("some_function_error_name", error.__class__.__name__)


@tracker.track
def some_other_function(item: str) -> None:
    time.sleep(0.002)
    if not item:
        raise ValueError("there is nothing to do")


some_function(["one"])
some_function(["one", ""])
