"""Tell people what their code costs.

>>> from time_execution import settings, time_execution
>>> @time_execution
... def hello():
...     return "World"

`settings` says where metrics go. `time_execution` measures calls, `block` a stretch of code, `methods` those of a
class; `write_metric` writes a metric by hand. `flush`, `stats` and `shutdown` cover all configured backends, and
`install_sigterm` lets SIGTERM deliver what is queued. Backends, hooks, reports and the test kit are in modules of their
own.
"""

from __future__ import annotations

from time_execution.decorator import time_execution, time_execution_async
from time_execution.delivery.lifecycle import install_sigterm
from time_execution.operations import flush, shutdown, stats
from time_execution.pipeline import write_metric
from time_execution.settings import settings

block = time_execution.block
methods = time_execution.methods

__all__ = [
    "block",
    "flush",
    "install_sigterm",
    "methods",
    "settings",
    "shutdown",
    "stats",
    "time_execution",
    "time_execution_async",
    "write_metric",
]
