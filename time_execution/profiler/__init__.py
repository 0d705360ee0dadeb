"""Profile trees of calls, and use the instruments that Prometheus knows.

>>> import time_execution.profiler as phanos
>>> @phanos.profile
... def hello():
...     return "World"
>>> hello()
'World'

`profiler` is configured by `config` or `dict_config`, and `profile` is its decorator. The modules have the names that
users of phanos know: `metrics`, `handlers`, `publisher`, `tree`, `config`, `types`.
"""

from __future__ import annotations

from time_execution.profiler import config, handlers, metrics, publisher, tree, types
from time_execution.profiler.publisher import Profiler, profiler

profile = profiler.profile
phanos_profiler = profiler

__all__ = [
    "Profiler",
    "config",
    "handlers",
    "metrics",
    "phanos_profiler",
    "profile",
    "profiler",
    "publisher",
    "tree",
    "types",
]
