"""One request while it is served, and what is kept of it afterwards: the draft of its metric."""

from __future__ import annotations

from collections import deque
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from time_execution.hooks.exception import ERROR_TYPE, qualified_name
from time_execution.hooks.request_id import REQUEST_ID, current_request_id
from time_execution.hooks.status_code import STATUS_CODE
from time_execution.hooks.trace import SPAN_ID, TRACE_ID, current_trace
from time_execution.logs.errors import ErrorScope, current_scope, record_error

if TYPE_CHECKING:
    from time_execution.hooks.chain import Started
    from time_execution.hooks.trace import Ids
    from time_execution.monitor._request_plan import RequestPlan
    from time_execution.monitor.requests import RequestTracker
    from time_execution.types import Metric

METHOD, ROUTE, FIRST_BYTE = "method", "route", "first_byte_ms"

UNMATCHED = "(unmatched)"
"""The route of a request that no route of the application matched."""

_MILLISECOND = 1_000_000
_MOST = 16  # exceptions that are remembered until the request has ended


class RequestScope(ErrorScope):
    """One request: made by `RequestTracker.begin`, ended by `finish`. Used by one thread or task at a time.

    From `enter` to `leave`, in the context of both, the request's id and trace are those of what runs there. A `Draft`
    once it has ended.

    Attributes:
        method: The request's method; ``_OTHER`` where no standard knows it.
        request_id: The client's, or a new one.
        trace: Trace and span that the request belongs to; None without.
        route: The template of its route as the framework writes it; to be set before `finish`.
        status: The status code that was sent, 0 for none; to be set before `finish`.
        error_type: What it failed with: the exception's class, or the status when that is 500 or above; None when it
            did not fail.
        is_counted: False for what is not to be measured, such as our own pages; to be set before `finish`.
        has_ended: Whether it was finished.
        started: Reading of ``time.perf_counter_ns()`` when it began.
        ended: The same clock when the last byte was handed over, where that is known before `finish`; 0 otherwise.
        first_byte: The same clock when the first part of a body was there that came in parts; 0 for any other.
        hooks: The hooks that were started for it; None once it has ended, or without.
        plan: How it is measured; set when it has ended.
    """

    # Defaults of the class: most requests set few of them, and each one set would show in what a request costs.
    trace: Ids | None = None
    route: str = UNMATCHED
    status: int = 0
    error_type: str | None = None
    is_counted: bool = True
    has_ended: bool = False
    ended: int = 0
    first_byte: int = 0
    hooks: Started | None = None
    plan: RequestPlan
    _has_left: bool = False
    _outer: ErrorScope | None = None
    _id_before: str | None = None
    _trace_before: Ids | None = None

    def __init__(self, tracker: RequestTracker, method: str, request_id: str) -> None:
        self._known = None
        self._tracker = tracker
        self.method = method
        self.request_id = request_id
        self.started = perf_counter_ns()

    def enter(self) -> None:
        """Make the request that of this context."""
        outer, before = current_scope.get(), current_request_id.get()
        if outer is not None:
            if isinstance(outer, RequestScope) and not outer.is_open:  # it was left elsewhere
                outer._pass_over()  # noqa: SLF001 - of the same class
                outer, before = current_scope.get(), current_request_id.get()
            self._outer = outer
        if before is not None:
            self._id_before = before
        if self.trace is not None:
            self._trace_before = current_trace.get()
            current_trace.set(self.trace)
        current_scope.set(self)
        current_request_id.set(self.request_id)

    def leave(self) -> None:
        """Give the context back the request that it had before, or none.

        Another request may have begun meanwhile that has not ended, as where a client for tests reads a body late: it
        stays, and passes over this one at its own end. In another context than that of `enter` nothing is changed.
        """
        self._has_left, self._known = True, None
        if current_scope.get() is not self:
            return
        if self._outer is None and self.trace is None:  # as nearly always
            current_scope.set(None)
            current_request_id.set(self._id_before)
        else:
            self._pass_over()

    def _pass_over(self) -> None:
        """Give the context back the innermost request around this one that was not left."""
        last = self
        while True:
            if last.trace is not None:
                current_trace.set(last._trace_before)
            outer = last._outer
            if not isinstance(outer, RequestScope) or outer.is_open:
                break
            last = outer
        current_scope.set(outer)
        current_request_id.set(last._id_before)  # noqa: SLF001 - of the same class

    @property
    def is_open(self) -> bool:
        """Whether it was not left."""
        return not self._has_left

    def is_news(self, exception: BaseException) -> bool:
        """Return whether an exception was not told for this request, and remember that it is now."""
        if self._known is None and not self._has_left:
            self._known = deque(maxlen=_MOST)
        return super().is_news(exception)

    def finish(self, error: BaseException | None = None) -> None:
        """End the request: its last byte was handed over, or it failed. Does nothing the second time.

        Never raises, unless ``settings.raise_errors`` is set; never waits, but for what direct backends and hooks do.

        Args:
            error: The exception that nobody had handled; left as it is.
        """
        if not self.has_ended:
            if error is not None and self.error_type is None:
                self.fail(error)
            self.has_ended = True
            self._tracker.record(self, self.ended or perf_counter_ns(), error)

    def metric(self, started: int, ended: int, wall_offset: int) -> Metric:
        """Return the metric of the request, its timestamp in integer nanoseconds; see `types.Draft`."""
        metric = self.plan.metric(started, ended, wall_offset)
        self.describe(metric)
        return metric

    def describe(self, metric: dict[str, Any]) -> None:
        """Add the fields of its metric that are not those of every metric."""
        metric[METHOD] = self.method
        metric[ROUTE] = self.route
        metric[STATUS_CODE] = self.status
        metric[REQUEST_ID] = self.request_id
        if self.trace is not None:
            metric[TRACE_ID], metric[SPAN_ID] = self.trace
        if self.error_type is not None:
            metric[ERROR_TYPE] = self.error_type
        if self.first_byte:
            metric[FIRST_BYTE] = (self.first_byte - self.started) / _MILLISECOND

    def fail(self, error: BaseException) -> None:
        """Note an exception that nobody had handled, and tell it to `time_execution.logs`; to be called before `leave`.

        Of several, the first one is what the request failed with; after `finish` that is settled. What is no
        `Exception`, such as an interrupt, is told to nobody.
        """
        if self.error_type is None and not self.has_ended:
            self.error_type = qualified_name(type(error))
        if isinstance(error, Exception):
            record_error(error, method=self.method, route=self.route, request_id=self.request_id)
