"""What an operator asks of all backends at once, those of the settings and those of sources: flush, stats, shutdown."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from typing import Any

from time_execution.guard import Failed, Step, faults, label_of
from time_execution.settings import current
from time_execution.source_backends import registered


def flush(timeout: float | None = None) -> bool:
    """Wait until all metrics written before are settled in every backend, also the own ones of sources such as `Timer`.

    Args:
        timeout: The longest wait for all of them together, in seconds; None waits as long as it takes.

    Returns:
        True when every backend said so in time; what a custom backend raises counts as no.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    done = True
    for step, takes_timeout in _steps("flush"):
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        answer = step.attempt(left) if takes_timeout else step.attempt()
        # A custom ``flush`` may return nothing; only a plain False says that something is left.
        done = done and answer is not False and not isinstance(answer, Failed)
    return done


def shutdown(timeout: float | None = None) -> None:
    """Deliver what is queued and close every backend, also the own ones of sources; what comes later is rejected.

    Args:
        timeout: The longest wait for all of them together, in seconds; None gives each its own ``shutdown_timeout``.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    for step, _ in _steps("begin_close"):
        step.attempt()
    for step, takes_timeout in _steps("close"):
        if deadline is not None and takes_timeout:
            step.attempt(max(0.0, deadline - time.monotonic()))
        else:
            step.attempt()


def stats() -> dict[str, Any]:
    """Return the accounting of every backend, also of the own ones of sources, and what was caught on the call path.

    Returns:
        ``backends``: label -> the backend's own ``stats()``, in order (a label that repeats gets ``#2``), or
        ``{"error": class name}`` when that raised;
        ``errors``: ``{"hook": {"label: error": count}, "backend": {…}}``, for this process; also
        ``instrument`` where the profiler's were used wrongly outside of any profiler.
    """
    found: dict[str, Any] = {}
    for backend in _backends():
        base = _label(backend)
        label, number = base, 1
        while label in found:
            number += 1
            label = f"{base}#{number}"
        method = getattr(backend, "stats", None)
        answer = Step(method, kind="backend", label=label, raises=False).attempt() if callable(method) else {}
        found[label] = {"error": answer.error} if isinstance(answer, Failed) else answer
    return {"backends": found, "errors": faults.as_dict()}


def _backends() -> list[Any]:
    configured = current().values.backends
    return [*configured, *(own for own in registered() if not any(own is other for other in configured))]


def _label(backend: Any) -> str:
    inner = getattr(backend, "backend", None)
    return label_of(backend) if inner is None else f"{label_of(backend)}({label_of(inner)})"


def _steps(method: str) -> Iterator[tuple[Step, bool]]:
    """Yield a method of each backend that has it, guarded, and whether it takes a time-out."""
    for backend in _backends():
        call = getattr(backend, method, None)
        if callable(call):
            yield Step(call, kind="backend", label=_label(backend), raises=False), _takes_argument(call)


def _takes_argument(call: Callable[..., Any]) -> bool:
    try:
        inspect.signature(call).bind(None)
    except (TypeError, ValueError):  # takes none, or a builtin that does not say
        return False
    return True
