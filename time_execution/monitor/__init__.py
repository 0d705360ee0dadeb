"""`monitor`: figures of the machine, health of what the application needs, and alerts when a figure stays too high.

>>> from time_execution.monitor import monitor
>>> monitor.register_threshold(metric="cpu_percent", warning_threshold=80, critical_threshold=95, duration=300)

Nothing runs until `monitor.start()`, which the web adapters call at a worker's first request. One module a concern:
`options` what can be set, `system` the figures, `requests` those of requests, `health` and `checks` what the
application needs, `threshold` when to alert, `alert` whom to tell, `state` what other processes see, `sampler` the
thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from time_execution.lazy_names import lazy_names
from time_execution.monitor.alert import Alert, Notifier

# Not lazily: the module has the object's name, and would take its place whenever it is imported later.
from time_execution.monitor.monitor import Monitor, monitor
from time_execution.monitor.options import Options

if TYPE_CHECKING:
    from time_execution.monitor.checks import DatabaseCheck, HTTPCheck, RedisCheck, TCPCheck
    from time_execution.monitor.health import HealthChecks
    from time_execution.monitor.requests import RequestStatistics, RequestTracker
else:
    _HOME = {
        "DatabaseCheck": "checks",
        "HTTPCheck": "checks",
        "HealthChecks": "health",
        "RedisCheck": "checks",
        "RequestStatistics": "requests",
        "RequestTracker": "requests",
        "TCPCheck": "checks",
    }

    __getattr__ = lazy_names(__name__, _HOME)


__all__ = [
    "Alert",
    "DatabaseCheck",
    "HTTPCheck",
    "HealthChecks",
    "Monitor",
    "Notifier",
    "Options",
    "RedisCheck",
    "RequestStatistics",
    "RequestTracker",
    "TCPCheck",
    "monitor",
]


def __dir__() -> list[str]:
    """List what is public, loaded or not."""
    return sorted(__all__)
