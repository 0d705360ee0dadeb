"""What a measured call took of the machine besides time."""

from __future__ import annotations

import sys
import time
from threading import get_ident
from typing import TYPE_CHECKING, Any

from time_execution.memory import rss_reader

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Generator

    from time_execution.types import HookOutcome

CPU_MS = "cpu_ms"
PROCESS_CPU_MS = "process_cpu_ms"
MAX_RSS_BYTES = "max_rss_bytes"
RSS_BYTES = "rss_bytes"
RSS_CHANGE_BYTES = "rss_change_bytes"

# getrusage() counts in bytes on macOS, in KiB elsewhere.
_MAX_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class ResourcesHook:
    """Adds ``cpu_ms``: CPU time that the calling thread spent in the call, and ``max_rss_bytes``: the process's peak.

    Of a coroutine, ``cpu_ms`` holds what other tasks took of the thread while it waited. A generator that ends on
    another thread than it began on gets none. The peak is that of the process since it started, not of the call;
    Windows has none. Thread-safe and fork-safe.

    Args:
        process: Also add ``process_cpu_ms``: what all threads of the process took meanwhile.
        rss: Also add ``rss_bytes``, the memory the process holds after the call, and ``rss_change_bytes``, by how much
            that grew or shrank during it. Other systems than Linux need psutil (the ``timer`` extra) for it.

    Raises:
        MissingExtraError: When ``rss`` is wanted and psutil is needed and not installed.
    """

    def __init__(self, *, process: bool = False, rss: bool = False) -> None:
        self.process = process
        self._rss = rss_reader() if rss else None

    def __call__(  # noqa: D102 - described by the class
        self, *, func: Any, func_args: Any, func_kwargs: Any
    ) -> Generator[None, HookOutcome, dict[str, Any]]:
        fields: dict[str, Any] = {}
        thread = get_ident()
        rss_before = self._rss() if self._rss else 0
        process_before = time.process_time_ns() if self.process else 0
        before = time.thread_time_ns()
        yield
        if get_ident() == thread:
            fields[CPU_MS] = (time.thread_time_ns() - before) / 1e6
        if self.process:
            fields[PROCESS_CPU_MS] = (time.process_time_ns() - process_before) / 1e6
        if resource is not None:
            fields[MAX_RSS_BYTES] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAX_RSS_UNIT
        if self._rss:
            fields[RSS_BYTES] = self._rss()
            if rss_before and fields[RSS_BYTES]:  # 0 is what could not be read
                fields[RSS_CHANGE_BYTES] = fields[RSS_BYTES] - rss_before
        return fields


resources_hook = ResourcesHook()
"""The hook with its defaults: the thread's CPU time and the process's peak memory."""
