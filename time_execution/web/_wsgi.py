"""Requests of a WSGI application, from the call to the last byte of the body; knows no framework."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from time_execution.monitor.requests import RequestScope, RequestTracker

SCOPE = "time_execution.request"
"""Where an environ keeps the `RequestScope`; whoever finds one there measures nothing again."""

_WHOLE = (list, tuple)


class RequestMiddleware:
    """Measures what passes through a WSGI application, and gives each request its id. Thread-safe.

    Args:
        app: The application.
        tracker: Measures.
        request_id_header: Where clients send ids, and where they find the one in force; None for neither.
        settle: Called with the environ when an answer starts, to set `route` and `is_counted` of its scope.
        prepare: Called before each request: what a worker process does at its first one.
    """

    def __init__(
        self,
        app: WSGIApplication,
        tracker: RequestTracker,
        *,
        request_id_header: str | None,
        settle: Callable[[WSGIEnvironment, RequestScope], None],
        prepare: Callable[[], None],
    ) -> None:
        self._app = app
        self._begin = tracker.begin
        self._header = request_id_header
        self._header_length = len(request_id_header or "")
        self._lower_header = (request_id_header or "").lower()
        self._id_key = f"HTTP_{(request_id_header or '').upper().replace('-', '_')}"
        self._settle = settle
        self._prepare = prepare

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        self._prepare()
        get, settle = environ.get, self._settle
        if SCOPE in environ:
            return self._app(environ, _inner(environ, start_response, settle))
        scope = environ[SCOPE] = self._begin(
            environ["REQUEST_METHOD"], request_id=get(self._id_key), traceparent=get("HTTP_TRACEPARENT")
        )
        header, length, lower = self._header, self._header_length, self._lower_header

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
            code = status[:3]
            if code.isdecimal():
                scope.status = int(code)
            settle(environ, scope)
            if header is not None:
                if type(headers) is not list:  # as it should be; most servers take any iterable
                    headers = list(headers)
                for name, _ in headers:
                    if len(name) == length and name.lower() == lower:  # the application has its own
                        break
                else:
                    headers = [*headers, (header, scope.request_id)]
            return start_response(status, headers) if exc_info is None else start_response(status, headers, exc_info)

        scope.enter()
        try:
            body = self._app(environ, start)
        except BaseException as exc:
            scope.fail(exc)
            scope.finish(exc)
            scope.leave()
            raise
        if type(body) in _WHOLE:  # all of it is there, and nothing runs any more
            scope.finish()
            scope.leave()
            return body
        return _ending(body, scope, get("wsgi.file_wrapper"))


def _inner(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    settle: Callable[[WSGIEnvironment, RequestScope], None],
) -> StartResponse:
    """Return what notes the route for an application that is mounted below another one of ours."""

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
        settle(environ, environ[SCOPE])
        return start_response(status, headers) if exc_info is None else start_response(status, headers, exc_info)

    return start


def _ending(body: Iterable[bytes], scope: RequestScope, file_wrapper: Any) -> Iterable[bytes]:
    """Return a body that ends its request when it is closed."""
    if isinstance(file_wrapper, type) and isinstance(body, file_wrapper):
        _end_with_file(body, scope)
        return body
    return _Body(body, scope)


class _Body:
    """The body of an answer; ends the request when the server closes it."""

    __slots__ = ("_body", "_scope")

    def __init__(self, body: Iterable[bytes], scope: RequestScope) -> None:
        self._body = body
        self._scope = scope

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces of the body; of several, the moment of the first is noted."""
        scope, first = self._scope, 0
        try:
            for piece in self._body:
                if not first:
                    first = perf_counter_ns()
                elif not scope.first_byte:
                    scope.first_byte = first
                yield piece
        except GeneratorExit:  # nobody wants the rest
            raise
        except BaseException as exc:
            scope.fail(exc)
            raise

    def close(self) -> None:
        """Close the body itself, and end the request."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as exc:
            self._scope.fail(exc)
            raise
        finally:
            self._end()

    def _end(self) -> None:
        self._scope.finish()
        self._scope.leave()

    def __del__(self) -> None:
        """End the request all the same, where whoever has the body just lets go of it, as clients for tests do."""
        if not self._scope.has_ended:
            self._end()


def _end_with_file(body: Any, scope: RequestScope) -> None:
    """End a request with its file, which stays what it is: the server may send its own kind without reading it."""
    close = getattr(body, "close", None)

    def closed() -> None:
        try:
            if close is not None:
                close()
        finally:
            scope.finish()
            scope.leave()

    try:
        body.close = closed
    except AttributeError:  # written in C: the server goes on alone
        scope.finish()
        scope.leave()
