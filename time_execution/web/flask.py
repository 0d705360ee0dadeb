"""Flask: `init_app` measures the requests of an application and gives it our routes.

Requests are measured by a WSGI middleware around ``app.wsgi_app``, which costs less than Flask's hooks and sees what
they do not: the end of a streamed body, and answers that no hook was run for. Our routes are Flask's own, so whatever
the application does before its requests, such as signing in, happens before ours, too.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from time_execution import logs
from time_execution.exceptions import ConfigurationError
from time_execution.extra import extra
from time_execution.monitor.monitor import monitor
from time_execution.quietlog import QuietLog
from time_execution.web._wsgi import SCOPE, RequestMiddleware
from time_execution.web.message import MAX_BODY, Request
from time_execution.web.monitoring import Monitoring
from time_execution.web.options import GivenOptions, options_of
from time_execution.web.site import HEALTH, LIVE, METRICS, READY

with extra("flask"):
    import flask
    from flask.logging import default_handler
    from flask.signals import got_request_exception

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from typing_extensions import Unpack
    from werkzeug.routing import Rule

    from time_execution.monitor.requests import RequestScope

EXTENSION = "time_execution"
"""Where ``app.extensions`` has the application's `Monitoring`."""

ENDPOINT = "time_execution_"
"""What the names of our endpoints begin with."""

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_log = QuietLog()


def init_app(app: flask.Flask, db: Any = None, **options: Unpack[GivenOptions]) -> FlaskMonitoring:
    """Measure the requests of an application, and add health, metrics and the dashboard to its routes.

    Added are ``/livez``, ``/readyz``, ``/healthz``, ``/metrics`` and all below ``/admin/monitoring``; where a route of
    the application's own has the same path, that one is served. To be called before the first request, once for each
    application; in the parent of forked workers or in each of them alike. No thread is started before a process has its
    first request. Changes the settings of this package: it adds the backends and the hook that `Options` names.

    Args:
        app: The application.
        db: A Flask-SQLAlchemy extension, or an engine or URL of SQLAlchemy's: errors are also stored there, and
            whether it answers is a health check named ``database``.
        **options: See `time_execution.web.options.Options`.

    Returns:
        What is also ``app.extensions["time_execution"]``.

    Raises:
        ConfigurationError: When an option is wrong, the application was given before, or has served requests already.
    """
    if EXTENSION in app.extensions:
        raise ConfigurationError("init_app() was called for this application before")
    if getattr(app, "_got_first_request", False):
        raise ConfigurationError("init_app() must be called before the application's first request")
    return FlaskMonitoring(app, db, **options)


class FlaskMonitoring(Monitoring):
    """The monitoring of a Flask application; made by `init_app`."""

    def __init__(self, app: flask.Flask, db: Any, **options: Unpack[GivenOptions]) -> None:
        chosen = options_of(options)
        if chosen.auth is not None and callable(chosen.auth):
            options["auth"] = app.ensure_sync(chosen.auth)
        super().__init__(options_of(options))
        self.title = app.name
        app.extensions[EXTENSION] = self
        self._rules = _add_rules(app, self)
        self.at_first_request(partial(_give_way, app, self._rules))
        got_request_exception.connect(_note_exception, app)
        if chosen.logs:
            _attach_logger(app)
        if db is not None:
            self._use_extension(app, db)
        app.wsgi_app = RequestMiddleware(  # type: ignore[method-assign]
            app.wsgi_app,
            self.tracker,
            request_id_header=chosen.request_id_header,
            settle=_settle,
            prepare=self.prepare,
        )

    def _use_extension(self, app: flask.Flask, db: Any) -> None:
        """Use a database; of an extension that is told of the application later, when there is a request."""
        name = "database" if "database" not in monitor.health_checks() else f"database of {app.name}"
        if not hasattr(type(db), "init_app"):
            self.use_database(db, name=name)
            return

        def use() -> None:
            with app.app_context():
                self.use_database(db.engine, name=name)

        if "sqlalchemy" in app.extensions:
            use()
        else:
            self.at_first_request(use)

    def answer(self, **_: Any) -> flask.Response:
        """Answer the request at hand, at one of our routes."""
        request = flask.request
        found = self.site.handle(_translated(request))
        if found is None:  # below a prefix that is not ours any more
            flask.abort(404)
        body = found.body
        return flask.current_app.response_class(
            [body] if isinstance(body, bytes) else body,  # bytes alone would replace the length that HEAD tells
            status=found.status,
            headers=found.headers,
            direct_passthrough=not isinstance(body, bytes),
        )


def _attach_logger(app: flask.Flask) -> None:
    """Have the application's logger feed our destinations."""
    logger = logging.getLogger(app.name)
    level = logs.current_options().log_level if logger.level == logging.NOTSET else None
    logs.attach(logger, level=level)  # first: Flask gives a logger that has no handler one of its own
    if logs.current_options().log_console:
        app.logger.removeHandler(default_handler)  # or each line would stand there twice


def _add_rules(app: flask.Flask, monitoring: FlaskMonitoring) -> list[Rule]:
    """Give the application our routes, and return them."""
    paths = {path.removeprefix("/"): path for path in (LIVE, READY, HEALTH, METRICS)}
    prefix = monitoring.site.prefix
    if prefix is not None:
        paths |= {"dashboard": prefix, "dashboard_page": f"{prefix}/<path:time_execution_page>"}
        paths["dashboard_root"] = f"{prefix}/"
    known = {id(rule) for rule in app.url_map.iter_rules()}
    options: dict[str, Any] = {"host": "<time_execution_host>"} if app.url_map.host_matching else {}
    for name, path in paths.items():
        app.add_url_rule(
            path,
            endpoint=f"{ENDPOINT}{name}",
            view_func=monitoring.answer,
            methods=_METHODS,
            provide_automatic_options=False,
            strict_slashes=True,
            merge_slashes=False,
            **options,
        )
    return [rule for rule in app.url_map.iter_rules() if id(rule) not in known]


def _give_way(app: flask.Flask, ours: list[Rule]) -> None:
    """Leave the paths to the application that it has routes of its own for."""
    known = {id(rule) for rule in ours}  # rules of one path are equal
    paths = {rule.rule for rule in app.url_map.iter_rules() if id(rule) not in known}
    paths |= {path.removesuffix("/") for path in paths}  # asked for without its slash, Flask leads to it
    for rule in ours:
        if rule.rule in paths:
            rule.methods = set()  # which matches no request
            _log.tell(f"route.{rule.rule}", f"{rule.rule} is left to the application, which has a route of its own")


def _settle(environ: WSGIEnvironment, scope: RequestScope) -> None:
    """Note the route that a request was matched with."""
    request = environ.get("werkzeug.request")
    if request is None:
        request = flask.request if flask.has_request_context() else None
    rule = getattr(request, "url_rule", None)
    if rule is not None:
        scope.route = rule.rule
        if rule.endpoint.startswith(ENDPOINT):
            scope.is_counted = False


def _note_exception(_: flask.Flask, *, exception: BaseException, **__: Any) -> None:
    """Note an exception that no handler of the application takes; its answer is still to come, if there is one."""
    environ = flask.request.environ
    scope: RequestScope | None = environ.get(SCOPE)
    if scope is not None:
        _settle(environ, scope)
        scope.fail(exception)


def _translated(request: flask.Request) -> Request:
    """Return what a request of Flask's asks."""
    environ = request.environ
    length = request.content_length or 0
    body = b"" if not length else request.get_data(cache=False) if length <= MAX_BODY else bytes(MAX_BODY + 1)
    return Request(
        method=request.method,
        path=request.path,
        query=dict(request.args.lists()),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body,
        client=environ.get("REMOTE_ADDR") or None,
        scheme=request.scheme,
        mount=request.script_root,
        native=request._get_current_object(),  # type: ignore[attr-defined]  # noqa: SLF001 - Werkzeug's way
    )
