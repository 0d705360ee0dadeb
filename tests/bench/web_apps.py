"""Applications with two routes, bare and measured: what `tests.bench.web` puts under load.

``/users/7`` does nothing, so that nearly all there is to measure is the framework. ``/orders/7`` does as little as a
route that people write: it reads fifty rows from a database, here SQLite, and answers with them as JSON.
"""

from __future__ import annotations

import sqlite3
from typing import Any

ANSWER = {"id": 7, "name": "anna"}
_ORDERS = "CREATE TABLE orders (id INTEGER PRIMARY KEY, user INTEGER, article TEXT, price REAL, placed TEXT)"


class Orders:
    """Ten thousand orders of two hundred users, in memory."""

    def __init__(self) -> None:
        # One connection for all threads: SQLite lets one after the other use it.
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        self._database.execute(_ORDERS)
        made = [(number % 200, f"Article {number}", number / 7, "2026-01-02T03:04:05Z") for number in range(10_000)]
        self._database.executemany("INSERT INTO orders (user, article, price, placed) VALUES (?, ?, ?, ?)", made)
        self._database.execute("CREATE INDEX by_user ON orders (user, id)")

    def of(self, user: int) -> list[dict[str, Any]]:
        """Return those of a user, the latest first."""
        found = self._database.execute("SELECT * FROM orders WHERE user = ? ORDER BY id DESC LIMIT 50", (user,))
        return [dict(row) for row in found.fetchall()]


def flask_bare() -> Any:
    """Return an application of Flask's."""
    import flask

    app, orders = flask.Flask("shop"), Orders()
    app.add_url_rule("/users/<int:user>", view_func=lambda user: ANSWER, endpoint="user")
    app.add_url_rule("/orders/<int:user>", view_func=orders.of, endpoint="orders")
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
    """Return an application of Starlette's."""
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    stored = Orders()

    async def user(request: Any) -> Any:
        return JSONResponse(ANSWER)

    def orders(request: Any) -> Any:  # in a thread, as what waits for a database should be
        return JSONResponse(stored.of(request.path_params["user"]))

    return Starlette(routes=[Route("/users/{user:int}", user), Route("/orders/{user:int}", orders)])


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
