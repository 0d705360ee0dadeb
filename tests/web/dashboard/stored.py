"""Metrics for databases that dashboards are asked about, at moments of a day long gone, and asking itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.reported import BASE, FOREVER
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.types import Metric
from time_execution.web.dashboard.data import PAGES, Query, Store

NOW = BASE + 15 * 3600 + 1234.5
"""The present moment, unless a test says otherwise: some minutes past an hour, in the afternoon."""

SECOND = 1_000_000_000
REQUEST_LABELS = ("method", "route", "status_code")


def timing(name, value, ago=1.0, *, now=NOW, **fields):
    """Return a call that ended so many seconds ago."""
    moment = int((now - ago) * SECOND)
    return Metric({"name": name, "value": value, "hostname": "h", "timestamp": moment, **fields})


def request(route, value, ago=1.0, *, method="GET", status=200, now=NOW, **fields):
    """Return a request that was answered so many seconds ago."""
    own = {"method": method, "route": route, "status_code": status, **fields}
    if status >= 500:
        own.setdefault("error_type", str(status))
    metric = timing("http.server.request.duration", value, ago, now=now, **own)
    metric.labels = REQUEST_LABELS
    return metric


def error(kind, place, ago=1.0, *, now=NOW, **fields):
    """Return an error that was told so many seconds ago."""
    own = {"type": kind, "place": place, "error_type": kind, "message": f"{kind} happened", **fields}
    metric = Metric({"name": "error", "timestamp": int((now - ago) * SECOND), **own}, kind="event")
    metric.labels = ("type", "place")
    return metric


def gauge(name, value, ago=1.0, *, now=NOW, **fields):
    """Return a gauge that was read so many seconds ago."""
    moment = int((now - ago) * SECOND)
    return Metric({"name": name, "value": value, "timestamp": moment, **fields}, kind="gauge", unit="%")


def check(service, ago=1.0, *, failed=False, now=NOW):
    """Return the outcome of a health check that ran so many seconds ago."""
    metric = gauge("health.check", 2.5, ago, now=now, service=service, status="unhealthy" if failed else "healthy")
    metric.labels = ("service",)
    if failed:
        metric["error_type"] = "TimeoutError"
    return metric


def alert(metric, ago=1.0, *, state="firing", level="warning", now=NOW, message="it is high"):
    """Return an alert that was told so many seconds ago."""
    fields = {"name": "alert", "timestamp": int((now - ago) * SECOND), "message": f"{level}: {message}"}
    return Metric(
        {**fields, "metric": metric, "level": level, "state": state}, kind="event", labels=("metric", "level", "state")
    )


def write(path, metrics, *, rolled_up=False, **options):
    """Store metrics; rolled up, or waiting for that."""
    # As much at a time as there is, hours and days as well.
    at_once = {"rollup_rows": 1 << 20, "rollup_interval": 0.0} if rolled_up else {"rollup_rows": 1 << 30}
    with SQLiteBackend(path, **{**FOREVER, **at_once, **options}) as backend:
        backend.write_many(list(metrics))
    return path


def put(path, topic, owner, body, *, now=NOW):
    """Store the word of a process on a topic, as if it had told it then."""
    with SQLiteBackend(path, **FOREVER) as backend:
        backend.put_state(topic, owner, body)
    with closing(sqlite3.connect(path)) as connection, connection:
        moment = "UPDATE states SET timestamp = ? WHERE topic = ? AND owner = ?"
        connection.execute(moment, (int(now * SECOND), topic, owner))


def fresh_store(path, **options):
    """Return a store that reads everything when it is asked, and never gives an answer twice."""
    store = Store(path, in_background=False, **options)
    store.answers._seconds = 0.0
    return store


def ask(store, page, *, now=NOW, **parameters):
    """Return the data of a page."""
    return PAGES[page](
        store, Query.parse({name.rstrip("_"): str(value) for name, value in parameters.items()}, now=now)
    )
