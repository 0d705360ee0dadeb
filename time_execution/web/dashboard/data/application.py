"""The course of the application as a whole: requests, errors, gauges of the system, health checks; pages share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from time_execution.web.dashboard.data.catalogue import ERROR, HEALTH, REQUEST, SYSTEM_PREFIX, Named
from time_execution.web.dashboard.data.course import Course

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from time_execution.web.dashboard.data.query import Query
    from time_execution.web.dashboard.data.store import Store
    from time_execution.web.dashboard.data.windows import Used

REQUESTS = "requests"
"""The group of all requests, whose durations are counted in histograms."""

ERRORS = "errors"
"""The group of errors."""

CLASSES = ("2xx", "3xx", "4xx", "5xx")
"""The groups of requests by status."""

_KEY = "application"


def course(store: Store, query: Query) -> AbstractContextManager[Used[Course]]:
    """Hold the course of the application in the range of a query; see `Store.course`.

    The groups are `REQUESTS`, `CLASSES`, `ERRORS`, each gauge of the system by its name, and each health check by
    `check_group` of its name.
    """
    return store.course(query, key=_KEY, groups_of=groups_of, measured=REQUESTS, kind=Course)


def groups_of(series: Named) -> tuple[str, ...]:
    """Return the groups that a series belongs to."""
    if series.family == REQUEST:
        status = series.labels.get("status_code", "")
        of_status = f"{status[:1]}xx"
        return (REQUESTS, of_status) if of_status in CLASSES else (REQUESTS,)
    if series.family == ERROR and series.labels:
        return (ERRORS,)
    if series.family == HEALTH and "service" in series.labels:
        return (check_group(series.labels["service"]),)
    if series.family.startswith(SYSTEM_PREFIX) and series.kind == "gauge":
        return (series.family,)
    return ()


def check_group(service: str) -> str:
    """Return the group of a health check."""
    return f"{HEALTH}:{service}"
