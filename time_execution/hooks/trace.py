"""Links a metric to the trace that its call belongs to.

OpenTelemetry's current span is asked when the application has loaded OpenTelemetry; it is never imported from here.
Where there is no span, a W3C ``traceparent`` header that was set for this context is used.
"""

from __future__ import annotations

import re
import sys
from contextvars import ContextVar, Token
from typing import Any, TypeAlias

TRACE_ID = "trace_id"
SPAN_ID = "span_id"

Ids: TypeAlias = tuple[str, str]
"""Trace id of 32 and span id of 16 lower-case hexadecimal digits."""
TraceparentToken: TypeAlias = Token["Ids | None"]

# https://www.w3.org/TR/trace-context/#traceparent-header: later versions may append fields; ff is no version.
_TRACEPARENT = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})-[0-9a-f]{2}"
    r"(?P<more>-.{0,256})?"
)
current_trace: ContextVar[Ids | None] = ContextVar("time_execution.traceparent", default=None)
"""The trace in force where OpenTelemetry has no span."""


def set_traceparent(header: str | None) -> TraceparentToken:
    """Set the trace of this context from a ``traceparent`` header; none or a malformed one means no trace.

    Returns:
        What `reset_traceparent` takes to restore the one before.
    """
    return current_trace.set(trace_of(header))


def reset_traceparent(token: TraceparentToken) -> None:
    """Restore the trace that was in force before `set_traceparent` returned this token, in the same context."""
    current_trace.reset(token)


def trace_hook(
    *, response: Any, exception: Any, metric: Any, func: Any, func_args: Any, func_kwargs: Any
) -> dict[str, Any] | None:
    """Add ``trace_id`` and ``span_id`` (hexadecimal) where the call belongs to a trace."""
    ids = span_ids() or current_trace.get()
    return None if ids is None else {TRACE_ID: ids[0], SPAN_ID: ids[1]}


def span_ids() -> Ids | None:
    """Return the ids of OpenTelemetry's current span, if the application uses it and there is one."""
    # Another thread may be in the midst of importing it.
    get_current_span = getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None)
    if get_current_span is None:
        return None
    context = get_current_span().get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None


def trace_of(header: str | None) -> Ids | None:
    """Return the ids of a ``traceparent`` header; None without one, and for one that is malformed."""
    match = _TRACEPARENT.fullmatch(header.strip()) if isinstance(header, str) else None
    if match is None or (match["version"] == "00" and match["more"]):
        return None
    return match["trace"], match["span"]
