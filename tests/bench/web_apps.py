"""Applications that do next to nothing, bare and measured: what `tests.bench.web` puts under load."""

from __future__ import annotations

from typing import Any

ANSWER = {"id": 7, "name": "anna"}


def flask_bare() -> Any:
    """Return an application of Flask's with one route."""
    import flask

    app = flask.Flask("shop")
    app.add_url_rule("/users/<int:user>", view_func=lambda user: ANSWER, endpoint="user")
    return app


def flask_ours() -> Any:
    """Return it as our documents say it is to be measured, with the store, the totals and the sampler."""
    from time_execution.web.flask import init_app

    app = flask_bare()
    init_app(app)
    return app


def flask_unstored() -> Any:
    """Return it measured by us, but with nowhere to store: what the thread that serves pays."""
    from time_execution import settings

    app = flask_ours()
    settings.configure(backends=())
    return app


def flask_peer() -> Any:
    """Return it measured by prometheus-flask-exporter."""
    from prometheus_flask_exporter import PrometheusMetrics  # type: ignore[import-not-found]

    app = flask_bare()
    PrometheusMetrics(app, group_by="url_rule")
    return app


def starlette_bare() -> Any:
    """Return an application of Starlette's with one route."""
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def user(request: Any) -> Any:
        return JSONResponse(ANSWER)

    return Starlette(routes=[Route("/users/{user:int}", user)])


def starlette_ours() -> Any:
    """Return it as our documents say it is to be measured."""
    from time_execution.web.asgi import init_app

    app = starlette_bare()
    init_app(app)
    return app


def starlette_unstored() -> Any:
    """Return it measured by us, but with nowhere to store."""
    from time_execution import settings

    app = starlette_ours()
    settings.configure(backends=())
    return app


def starlette_peer() -> Any:
    """Return it measured by starlette-exporter."""
    from starlette_exporter import PrometheusMiddleware  # type: ignore[import-not-found]

    app = starlette_bare()
    app.add_middleware(PrometheusMiddleware, group_paths=True)
    return app
