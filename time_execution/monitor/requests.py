"""Measures HTTP requests, whatever the framework: one `RequestTracker` an application, one `RequestScope` a request.

The adapters in `time_execution.web` call it. Nothing here knows of WSGI, ASGI or any framework.
"""

from __future__ import annotations

import random
import sys
from threading import get_ident
from typing import TYPE_CHECKING, Any

from time_execution.config import resolve_hooks
from time_execution.forking import on_fork
from time_execution.hooks.chain import NONE_STARTED
from time_execution.hooks.request_id import VALID_ID
from time_execution.hooks.trace import span_ids, trace_of
from time_execution.monitor._request_plan import LABELS, REQUEST_DURATION, RequestTarget
from time_execution.monitor._request_scope import UNMATCHED, RequestScope
from time_execution.monitor._request_statistics import FOLD_AT, OTHER, RequestStatistics
from time_execution.settings import live

if TYPE_CHECKING:
    from collections.abc import Sequence

    from time_execution.hooks.chain import Call
    from time_execution.types import AnyHook

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"))
_ANY_METHOD = "_OTHER"
_FAILED, _GONE = 500, 499
_OPENTELEMETRY = "opentelemetry.trace"
# Ids are no secrets; one from the system would cost each request ten times as much.
_chance = random.Random()  # noqa: S311 - see above
_random_bits = _chance.getrandbits


def http_request(method: str, request_id: str) -> None:
    """Stand for a request where hooks ask which function was called, and with what."""


def seed_ids() -> None:
    """Begin another sequence of ids, as each process must: the children of one parent would all make the same."""
    _chance.seed()


class RequestTracker:
    """Measures the requests of an application. Thread-safe and fork-safe; waits for no network, disk or lock.

    A request is counted in `statistics`, and its metric, the timing ``http.server.request.duration``, goes to the
    backends of the settings: as a draft where they have queues only, so that the worker makes it. Its fields besides
    those of every timing: ``method``, ``route``, ``status_code`` (int), which are its labels, ``request_id``,
    ``trace_id`` and ``span_id`` where it belongs to a trace, ``error_type`` when it failed, that is with an exception
    that nobody handled or a status of 500 or above, and ``first_byte_ms`` for a body that came in parts. Settings such
    as ``sample_rate``, ``exclude`` and ``enabled`` hold for the metric, never for the statistics.

    The hooks of the settings are for function calls, and are not run for requests; name those that shall be.

    Args:
        statistics: Where requests are counted; by default statistics of its own.
        hooks: Run for each request when it has ended, as after a call of `http_request`, with the status code (int) as
            ``response``; asynchronous ones are skipped and counted. Each makes requests dearer: their metrics are then
            made by the thread that serves them.
        trust_request_id: Take over the id that a client sent, where it is a valid one; False makes always a new one.
        enabled: False measures nothing; requests have their ids all the same.

    Raises:
        ConfigurationError: When a hook cannot be called as hooks are.

    Example:
        >>> tracker = RequestTracker()
        >>> request = tracker.begin("GET", request_id="a-1")
        >>> request.route, request.status = "/users/<id>", 200
        >>> request.finish()
        >>> [(row["method"], row["route"], row["count"]) for row in tracker.statistics.routes()]
        [('GET', '/users/<id>', 1)]
    """

    def __init__(
        self,
        *,
        statistics: RequestStatistics | None = None,
        hooks: Sequence[AnyHook | str] = (),
        trust_request_id: bool = True,
        enabled: bool = True,
    ) -> None:
        resolved = resolve_hooks(hooks, where="hooks") if hooks else ()
        self.statistics = RequestStatistics() if statistics is None else statistics
        self._trusts = trust_request_id
        self._is_enabled = enabled
        self._has_hooks = bool(resolved)
        self._target = RequestTarget(resolved)
        on_fork(seed_ids)

    def begin(self, method: str, *, request_id: str | None = None, traceparent: str | None = None) -> RequestScope:
        """Begin a request: start the clock, and settle its id and trace. `RequestScope.enter` puts them in force.

        Args:
            method: As the client sent it; any text.
            request_id: The same; one that is not made of 1 to 128 letters, digits and ``._:/+=@~,-`` is replaced.
            traceparent: The same, as W3C Trace Context has it; one that is malformed counts as none. A current span of
                OpenTelemetry goes before it.
        """
        if request_id is None or not self._trusts or not VALID_ID.fullmatch(request_id):
            request_id = f"{_random_bits(128):032x}"
        scope = RequestScope(self, method if method in _METHODS else _ANY_METHOD, request_id)
        if traceparent is not None or _OPENTELEMETRY in sys.modules:
            scope.trace = span_ids() or trace_of(traceparent)
        if not self._is_enabled:
            scope.is_counted = False
        elif self._has_hooks:
            plan = scope.plan = self._target.plan_now()
            if plan.is_wanted():
                scope.hooks = plan.begin((http_request, (scope.method, request_id), {}))
        return scope

    def record(self, scope: RequestScope, ended: int, error: BaseException | None) -> None:  # noqa: C901, PLR0912 - written out
        """Count a request that ended, and hand over its metric; `RequestScope.finish` calls it once."""
        if not scope.is_counted:
            return
        status = scope.status
        if not status:
            scope.status = _GONE if scope.error_type is None else _FAILED
        elif status >= _FAILED and scope.error_type is None:
            scope.error_type = str(status)
        statistics = self.statistics
        pair = (scope.method, scope.route)
        if pair not in statistics.known:
            scope.route = statistics.route_of(*pair)
        item = (scope, scope.started, ended)
        waiting = statistics.waiting
        waiting.append(item)
        if len(waiting) >= FOLD_AT:
            statistics.add_up()
        if self._has_hooks:
            if scope.hooks is not None:
                self._make_metric(scope, ended, error)
            return
        plan = self._target.plan
        if plan.serial != live.version:
            plan = self._target.plan_now()
        scope.plan = plan
        queues = plan.queues
        if not queues:
            if plan.is_wanted():
                self._hand_over(scope, ended, error)
            return
        thread = get_ident()
        for channel in queues:
            if len(channel.queue) < channel.attention and thread != channel.owner:
                channel.append(item)
            else:
                channel.admit(item)

    def _hand_over(self, scope: RequestScope, ended: int, error: BaseException | None) -> None:
        """Hand over the metric of a request where not each is measured, or direct backends have to see it."""
        if scope.plan.eager:
            self._make_metric(scope, ended, error)
        else:
            scope.plan.put((scope, scope.started, ended))

    @staticmethod
    def _make_metric(scope: RequestScope, ended: int, error: BaseException | None) -> None:
        """Make the metric here and now, run the hooks, and hand it to each backend."""
        call: Call = (http_request, (scope.method, scope.request_id), {})
        hooks, fields = scope.hooks, dict[str, Any]()
        scope.hooks = None
        scope.describe(fields)
        scope.plan.finish(
            NONE_STARTED if hooks is None else hooks,
            (scope.started, ended),
            call,
            response=scope.status,
            exception=error,
            fields=fields,
        )


__all__ = [
    "LABELS",
    "OTHER",
    "REQUEST_DURATION",
    "UNMATCHED",
    "RequestScope",
    "RequestStatistics",
    "RequestTracker",
]
