"""`MonitoringMiddleware`: measures requests, from its own call to the last byte of what they are answered with."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncIterator, Callable, Iterator
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from time_execution.extra import extra
from time_execution.web.django.installation import SCOPE, monitoring, settle

with extra("django"):
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction

if TYPE_CHECKING:
    from time_execution.monitor.requests import RequestScope

_LOGGED = 400


class MonitoringMiddleware:
    """Measures the requests of a Django project, and gives each its id; to stand before all other middlewares.

    Synchronous and asynchronous, as what it stands before is. A streamed body is measured up to its end. The answer has
    the request's id in its header ``X-Request-ID``, or as the options say.

    Args:
        get_response: What it stands before.

    Raises:
        ConfigurationError: When ``TIME_EXECUTION_WEB``, or a variable of the environment, is wrong.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self._monitoring = made = monitoring()
        header = made.options.request_id_header
        self._header = header
        self._id_key = f"HTTP_{(header or '').upper().replace('-', '_')}"
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """Serve one request."""
        if self._is_async:
            return self._serve(request)
        scope = self._begin(request)
        try:
            response = self.get_response(request)
        except BaseException as exc:
            _fail(request, scope, exc)
            raise
        return self._end(request, scope, response)

    async def _serve(self, request: Any) -> Any:
        scope = self._begin(request)
        try:
            response = await self.get_response(request)
        except BaseException as exc:
            _fail(request, scope, exc)
            raise
        return self._end(request, scope, response)

    def _begin(self, request: Any) -> RequestScope:
        self._monitoring.prepare()
        meta = request.META
        scope = self._monitoring.tracker.begin(
            request.method or "", request_id=meta.get(self._id_key), traceparent=meta.get("HTTP_TRACEPARENT")
        )
        meta[SCOPE] = scope
        scope.enter()
        return scope

    def _end(self, request: Any, scope: RequestScope, response: Any) -> Any:
        scope.status = response.status_code
        settle(request, scope)
        if self._header is not None and self._header not in response:
            response[self._header] = scope.request_id
        closers = getattr(response, "_resource_closers", None)
        if not getattr(response, "streaming", False) or closers is None:
            scope.finish()
            if closers is None or response.status_code < _LOGGED:
                scope.leave()
            else:  # Django is still to write a line about it
                closers.append(scope.leave)
            return response
        if getattr(response, "file_to_stream", None) is None:  # the server may send a file without reading it
            pieces = _pieces_async if response.is_async else _pieces
            response.streaming_content = pieces(response.streaming_content, scope)
        closers.append(lambda: _close(scope))
        return response


def _close(scope: RequestScope) -> None:
    scope.finish()
    scope.leave()


def _fail(request: Any, scope: RequestScope, exc: BaseException) -> None:
    settle(request, scope)
    if not isinstance(exc, (CancelledError, GeneratorExit)):
        scope.fail(exc)
    _close(scope)


def _break(scope: RequestScope, exc: BaseException) -> None:
    """End a request amid its body: under ASGI, Django does not close an answer whose body fails."""
    if isinstance(exc, Exception):
        scope.fail(exc)
    _close(scope)


def _pieces(body: Any, scope: RequestScope) -> Iterator[bytes]:
    first = 0
    try:
        for piece in body:
            first = _note(scope, first)
            yield piece
    except BaseException as exc:
        _break(scope, exc)
        raise


async def _pieces_async(body: Any, scope: RequestScope) -> AsyncIterator[bytes]:
    first = 0
    try:
        async for piece in body:
            first = _note(scope, first)
            yield piece
    except BaseException as exc:
        _break(scope, exc)
        raise


def _note(scope: RequestScope, first: int) -> int:
    """Note that a piece is there, and return when the first one was."""
    if not first:
        return perf_counter_ns()
    if not scope.first_byte:
        scope.first_byte = first
    return first
