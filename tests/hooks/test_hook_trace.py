"""The trace hook with OpenTelemetry, and without."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from tests.child import printed_by
from time_execution import time_execution
from time_execution.hooks import reset_traceparent, set_traceparent, trace_hook

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_no_trace_adds_nothing(outcome) -> None:
    """Outside of traces, metrics have no such fields."""
    assert trace_hook(**outcome()) is None


@pytest.mark.parametrize(
    "header",
    [f"00-{TRACE}-{SPAN}-01", f" 00-{TRACE}-{SPAN}-00 ", f"01-{TRACE}-{SPAN}-01-later", f"cc-{TRACE}-{SPAN}-01"],
)
def test_traceparent_header_is_used(outcome, header) -> None:
    """A header of this version or a later one gives both ids."""
    token = set_traceparent(header)
    assert trace_hook(**outcome()) == {"trace_id": TRACE, "span_id": SPAN}
    reset_traceparent(token)
    assert trace_hook(**outcome()) is None


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "garbage",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01\n00",
        5,
    ],
)
def test_malformed_traceparent_is_no_trace(outcome, header) -> None:
    """What the standard calls invalid is ignored, and hides the trace around it."""
    outer = set_traceparent(f"00-{TRACE}-{SPAN}-01")
    inner = set_traceparent(header)
    assert trace_hook(**outcome()) is None
    reset_traceparent(inner)
    assert trace_hook(**outcome()) is not None
    reset_traceparent(outer)


def test_current_span_of_opentelemetry_is_used(measured) -> None:
    """Inside a real span its ids are added, before those of a header; outside, none."""
    pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry.sdk.trace import TracerProvider

    metrics = measured(trace_hook)
    call = time_execution(lambda: None)
    token = set_traceparent(f"00-{TRACE}-{SPAN}-01")
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("outer") as span:
        call()
    call()
    reset_traceparent(token)
    call()
    context = span.get_span_context()
    assert metrics[0]["trace_id"] == format(context.trace_id, "032x")
    assert metrics[0]["span_id"] == format(context.span_id, "016x")
    assert metrics[1]["trace_id"] == TRACE
    assert "trace_id" not in metrics[2]


def test_half_imported_opentelemetry_is_passed_over(outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another thread imports OpenTelemetry, there simply is no span."""
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", ModuleType("opentelemetry.trace"))
    assert trace_hook(**outcome()) is None


def test_opentelemetry_is_never_imported() -> None:
    """Using the hook does not load OpenTelemetry."""
    code = (
        "import sys; from time_execution.hooks import trace_hook\n"
        "given = dict.fromkeys(('response', 'exception', 'metric', 'func', 'func_args', 'func_kwargs'))\n"
        "print(trace_hook(**given), 'opentelemetry' in sys.modules)"
    )
    assert printed_by(code) == ["None", "False"]
