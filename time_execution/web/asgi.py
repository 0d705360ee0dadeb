"""ASGI: `init_app` for Starlette and FastAPI, `MonitoringMiddleware` for any other application.

Requests are measured from outside of all other middlewares. WebSockets are passed on as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from time_execution.exceptions import ConfigurationError
from time_execution.monitor.monitor import monitor
from time_execution.operations import flush
from time_execution.quietlog import QuietLog
from time_execution.web._asgi import RequestMiddleware
from time_execution.web._asgi_answer import answer, in_thread
from time_execution.web._route_table import RouteTable, path_below
from time_execution.web.monitoring import Monitoring
from time_execution.web.options import GivenOptions, options_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from time_execution.web._asgi import ASGIApp, Receive, Scope, Send

_STOP_TIMEOUT = 1.0
_FLUSH_TIMEOUT = 5.0
_log = QuietLog()


def init_app(app: Any, db: Any = None, **options: Unpack[GivenOptions]) -> Monitoring:
    """Measure the requests of a Starlette or FastAPI application, and add health, metrics and the dashboard to it.

    Added are ``/livez``, ``/readyz``, ``/healthz``, ``/metrics`` and all below ``/admin/monitoring``; where a route of
    the application's own has the same path, that one is served. They lie behind the application's middlewares, so
    `auth` is given a request that has its user and session. To be called before the application starts, once for each.
    No thread is started before a process has its first request. Changes the settings of this package: it adds the
    backends and the hook that `Options` names.

    Args:
        app: The application.
        db: An engine or URL of SQLAlchemy's: errors are also stored there, and whether it answers is a health check
            named ``database``.
        **options: See `time_execution.web.options.Options`; `auth` may be a coroutine function.

    Returns:
        What is also ``app.state.time_execution``.

    Raises:
        ConfigurationError: When an option is wrong, the application was given before, has started already, or is of
            another kind.
    """
    routes, build = getattr(getattr(app, "router", None), "routes", None), getattr(app, "build_middleware_stack", None)
    if not isinstance(routes, list) or not callable(build) or not hasattr(app, "state"):
        kind = type(app).__name__
        raise ConfigurationError(
            f"init_app() takes an application of Starlette or FastAPI, not {kind}: wrap others in MonitoringMiddleware"
        )
    if hasattr(app.state, "time_execution"):
        raise ConfigurationError("init_app() was called for this application before")
    if app.middleware_stack is not None:
        raise ConfigurationError("init_app() must be called before the application starts")
    from time_execution.web._starlette import SiteRoute  # noqa: PLC0415 - who has such an application has it installed

    monitoring = app.state.time_execution = Monitoring(options_of(options), db)
    title = getattr(app, "title", None)  # of FastAPI's
    if isinstance(title, str) and title:
        monitoring.title = title
    table = RouteTable(app)
    routes.insert(0, SiteRoute(monitoring.site, table))
    # Not `add_middleware`, which puts it within the one that answers exceptions with 500.
    app.build_middleware_stack = lambda: _measured(build(), monitoring, table)
    return monitoring


class MonitoringMiddleware:
    """Measures the requests of an ASGI application, and answers at our paths itself.

    For applications of any framework. Those that have no routes as Starlette has them, such as Quart's or Litestar's,
    cannot tell the template of a route: their requests have the route ``(other)``. Our paths are answered before the
    application is called, unless it has a route of just that path; `auth` is called with the ASGI scope.

    Args:
        app: The application.
        db: As for `init_app`.
        **options: The same.

    Attributes:
        monitoring: What it set up.

    Raises:
        ConfigurationError: When an option is wrong.
    """

    def __init__(self, app: ASGIApp, db: Any = None, **options: Unpack[GivenOptions]) -> None:
        self.monitoring = Monitoring(options_of(options), db)
        self._table = RouteTable(app)
        self._app = _measured(app, self.monitoring, self._table)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, WebSocket or lifespan."""
        if scope["type"] == "http":
            site, path = self.monitoring.site, path_below(scope)
            if site.is_ours(path) and not self._table.has(path):
                self.monitoring.prepare()
                await answer(site, scope, receive, send, native=scope)
                return
        await self._app(scope, receive, send)


def _measured(app: ASGIApp, monitoring: Monitoring, table: RouteTable) -> RequestMiddleware:
    return RequestMiddleware(
        app,
        monitoring.tracker,
        table=table,
        request_id_header=monitoring.options.request_id_header,
        prepare=monitoring.prepare,
        stop=_stop,
    )


async def _stop() -> None:
    """End the monitor's thread, and deliver what is queued, away from the loop, whose tasks may still be busy.

    At the end of the process it may be too late: uvicorn ends it by the signal that it was stopped by.
    """
    try:
        await in_thread(_deliver)
    except Exception as exc:  # noqa: BLE001 - the server is to hear that the application has shut down
        _log.tell(f"stop.{type(exc).__name__}", f"monitoring could not be stopped: {type(exc).__name__}")


def _deliver() -> None:
    monitor.stop(_STOP_TIMEOUT)
    flush(_FLUSH_TIMEOUT)
