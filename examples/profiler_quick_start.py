"""A tree of calls, profiled: what each of them took, as lines of text and in a SQLite file.

Run it as ``python examples/profiler_quick_start.py``.
"""

from __future__ import annotations

import logging

import time_execution.profiler as phanos
from time_execution import flush, settings
from time_execution.report import read

configuration = {
    "job": "my_app",
    "logger": "my_app_debug_logger",
    "time_profile": True,
    "request_size_profile": False,
    "handle_records": True,
    "error_raised_label": False,
    "handlers": {
        "stdout_handler_ref": {
            "class": "phanos.handlers.StreamHandler",
            "handler_name": "stdout_handler",
            "output": "ext://sys.stdout",
        }
    },
}
phanos.profiler.dict_config(configuration)
settings.configure(backends=["sqlite:///profiler_quick_start.db"])  # which times and metrics go to besides


class SomeClass:
    """Two calls, one inside the other."""

    @phanos.profile
    def some_method(self):
        return self.helper() + 1

    @staticmethod
    @phanos.profile
    def helper():
        return 41


assert SomeClass().some_method() == 42

# The same in code; a handler of the same name would take the place of the first.
phanos.profiler.config(logging.getLogger("my_app"), job="my_app", response_size_profile=True)
phanos.profiler.delete_handler("stdout_handler")
logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
phanos.profiler.add_handler(phanos.handlers.LoggerHandler("log_handler", logging.getLogger("my_app"), logging.INFO))
SomeClass().some_method()
phanos.profiler.delete_metric(phanos.publisher.TIME_PROFILER)
phanos.profiler.delete_metric(phanos.publisher.RESPONSE_SIZE)
SomeClass().some_method()  # there is nothing left to measure

flush(timeout=5)
for call in read("profiler_quick_start.db"):
    print(f"{call.name}: {call.calls} calls")
