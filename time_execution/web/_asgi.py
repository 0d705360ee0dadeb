"""Requests of an ASGI application, from the call to the last byte of the body; knows no framework.

Pure ASGI: no task, queue or buffer is put between server and application, so what they do to each other stays as it is.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, TypeAlias

from time_execution.web._route_table import path_below

if TYPE_CHECKING:
    from time_execution.monitor.requests import RequestScope, RequestTracker
    from time_execution.web._route_table import RouteTable

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

REQUEST = "time_execution.request"
"""Where a scope keeps the `Passage`; whoever finds one there measures nothing again."""

_START, _BODY = "http.response.start", "http.response.body"
# Extensions by which a server that offers them sends a file itself; ``more_body`` means what it does for bytes.
_FILES = frozenset(("http.response.pathsend", "http.response.zerocopysend"))
_FAILED = 500
_TRACEPARENT = b"traceparent"
_OVER = frozenset(("lifespan.shutdown.complete", "lifespan.shutdown.failed"))
# Of whom nobody waits for the answer any more: how the framework and the server say so.
_GONE = frozenset(("ClientDisconnect", "ClientDisconnected"))


class Passage:
    """One request on its way through an application.

    Attributes:
        request: How it is measured.
        scope: The scope that says how it was routed; a router puts its own there where it is another.
    """

    __slots__ = ("request", "scope")

    def __init__(self, request: RequestScope, scope: Scope) -> None:
        self.request = request
        self.scope = scope


class RequestMiddleware:
    """Measures the HTTP requests of an ASGI application, and gives each its id; safe with any number at once.

    WebSockets are passed on as they are, and so is the lifespan, at whose end `stop` is called.

    Args:
        app: The application.
        tracker: Measures.
        table: Knows the templates of its routes.
        request_id_header: Where clients send ids, and where they find the one in force; None for neither.
        prepare: Called before each request: what a worker process does at its first one.
        stop: Awaited when the application has shut down, before the server hears of it; must not raise.
    """

    def __init__(
        self,
        app: ASGIApp,
        tracker: RequestTracker,
        *,
        table: RouteTable,
        request_id_header: str | None,
        prepare: Callable[[], object],
        stop: Callable[[], Awaitable[object]],
    ) -> None:
        self.app = app
        self._begin = tracker.begin
        self._table = table
        self._header = None if request_id_header is None else request_id_header.lower().encode("ascii")
        self._prepare = prepare
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, WebSocket or lifespan."""
        if scope["type"] != "http" or REQUEST in scope:
            if scope["type"] == "lifespan":
                send = self._until_shutdown(send)
            await self.app(scope, receive, send)
            return
        self._prepare()
        header, given, traceparent = self._header, None, None
        for name, value in scope["headers"]:
            if name == header:
                given = value.decode("latin-1")
            elif name == _TRACEPARENT:
                traceparent = value.decode("latin-1")
        request = self._begin(scope["method"], request_id=given, traceparent=traceparent)
        passage = scope[REQUEST] = Passage(request, scope)
        path = path_below(scope) if scope.get("root_path") else scope["path"]
        request.enter()
        try:
            await self.app(scope, receive, self._sender(passage, path, send))
        except BaseException as exc:
            request.route = self._table.route_of(passage.scope, path)
            if not _is_gone(exc):
                request.fail(exc)
            elif request.status >= _FAILED and isinstance(exc, Exception):
                # What the framework makes of every exception, and nobody received; of a cancelled task it makes none.
                request.status = 0
            raise
        finally:
            if not request.has_ended:
                request.route = self._table.route_of(passage.scope, path)
                request.finish()
            request.leave()

    def _sender(self, passage: Passage, path: str, send: Send) -> Send:
        request, header, table = passage.request, self._header, self._table
        first = 0

        async def send_last(message: Message) -> None:
            await send(message)
            if request.status >= _FAILED:  # the exception may still come
                request.ended = perf_counter_ns()
            else:  # whatever runs on, such as background tasks, is no part of it
                request.route = table.route_of(passage.scope, path)
                request.finish()

        def send_on(message: Message) -> Awaitable[None]:
            nonlocal first
            kind = message["type"]
            if kind == _BODY:
                is_last = not message.get("more_body", False)
                if (first or not is_last) and message.get("body"):  # a part
                    if first and not request.first_byte:
                        request.first_byte = first
                    first = first or perf_counter_ns()
                return send_last(message) if is_last else send(message)
            if kind == _START:
                request.status = message["status"]
                if header is not None:
                    message = _with_id(message, header, request)
            elif kind in _FILES and not message.get("more_body", False):
                return send_last(message)
            return send(message)

        return send_on

    def _until_shutdown(self, send: Send) -> Send:
        async def send_on(message: Message) -> None:
            if message["type"] in _OVER:
                await self._stop()
            await send(message)

        return send_on


def _with_id(message: Message, header: bytes, request: RequestScope) -> Message:
    """Return the start of an answer with the request's id; as it is, where the application has put one there."""
    headers = message.get("headers", ())
    for name, _ in headers:
        if name == header or name.lower() == header:
            return message
    return {**message, "headers": [*headers, (header, request.request_id.encode("latin-1"))]}


def _is_gone(exc: BaseException) -> bool:
    """Whether an exception only says that nobody waits for the answer any more."""
    return isinstance(exc, (CancelledError, GeneratorExit)) or type(exc).__name__ in _GONE
