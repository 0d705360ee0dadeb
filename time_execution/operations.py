"""What an operator asks of all configured backends at once: flush, stats, shutdown."""

from __future__ import annotations

import time
from typing import Any

from time_execution.guard import faults
from time_execution.hooks.chain import label_of
from time_execution.settings import current


def flush(timeout: float | None = None) -> bool:
    """Wait until all metrics written before are settled in every configured backend.

    Args:
        timeout: The longest wait for all of them together, in seconds; None waits as long as it takes.

    Returns:
        True when every backend said so in time.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    done = True
    for backend in current().values.backends:
        method = getattr(backend, "flush", None)
        if callable(method):
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            # A custom ``flush`` may return nothing; only a plain False says that something is left.
            done = method(left) is not False and done
    return done


def shutdown(timeout: float | None = None) -> None:
    """Deliver what is queued and close every configured backend; metrics written later are counted as rejected.

    Args:
        timeout: The longest wait for all of them together, in seconds; None gives each its own ``shutdown_timeout``.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    backends = current().values.backends
    for backend in backends:
        begin = getattr(backend, "begin_close", None)
        if callable(begin):
            begin()
    for backend in backends:
        close = getattr(backend, "close", None)
        if not callable(close):
            continue
        if deadline is not None and hasattr(backend, "shutdown_timeout"):
            close(max(0.0, deadline - time.monotonic()))
        else:
            close()


def stats() -> dict[str, Any]:
    """Return the accounting of every configured backend, and what was caught on the call path.

    Returns:
        ``backends``: label -> the backend's own ``stats()``, in order (a label that repeats gets ``#2``);
        ``errors``: ``{"hook": {"label: error": count}, "backend": {…}}``, for this process.
    """
    found: dict[str, Any] = {}
    for backend in current().values.backends:
        inner = getattr(backend, "backend", None)
        base = label_of(backend) if inner is None else f"{label_of(backend)}({label_of(inner)})"
        label, number = base, 1
        while label in found:
            number += 1
            label = f"{base}#{number}"
        method = getattr(backend, "stats", None)
        found[label] = method() if callable(method) else {}
    return {"backends": found, "errors": faults.as_dict()}
