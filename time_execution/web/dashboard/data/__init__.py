"""What the pages of the dashboard show, as JSON-ready dicts: one module a page, each a function of store and query.

Every answer has ``now`` (s), ``range`` (``from``, ``to``, ``step``: s; ``label``) and ``store`` (``state``: ``ok``,
``empty``, ``missing`` or ``broken``; ``last``: s or None; ``message``: what to say when it is not ``ok``). Moments are
UNIX seconds as floats, durations milliseconds, None stands for a gap or for what is not known. ``"warming": True`` says
that figures are still being read: ask again in a second. Nothing here knows HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from time_execution.web.dashboard.data import (
    delivery,
    errors,
    function,
    functions,
    logs,
    overview,
    request,
    requests,
    services,
    system,
)
from time_execution.web.dashboard.data.page import page_of
from time_execution.web.dashboard.data.query import Query, QueryError
from time_execution.web.dashboard.data.store import Store

__all__ = ["PAGES", "Page", "Query", "QueryError", "Store"]

Page: TypeAlias = Callable[[Store, Query], dict[str, Any]]

PAGES: dict[str, Page] = {
    "overview": page_of("overview", overview.data, overview.empty),
    "functions": page_of("functions", functions.data, functions.EMPTY),
    "function": page_of("function", function.data, function.EMPTY, needs=("name",)),
    "requests": page_of("requests", requests.data, requests.EMPTY),
    "request": page_of("request", request.data, request.EMPTY, needs=("method", "route")),
    "errors": page_of("errors", errors.data, errors.EMPTY),
    "delivery": page_of("delivery", delivery.data, delivery.EMPTY),
    "system": page_of("system", system.data, system.EMPTY),
    "services": page_of("services", services.data, services.EMPTY),
    "logs": page_of("logs", logs.data, logs.EMPTY, reads_database=False),
}
"""Name -> what makes its data. Thread-safe; blocks for a few milliseconds; callers that ask the same at once share one
answer, so nobody may change it.

Raises:
    QueryError: When the page needs a parameter that is missing, such as ``name``.
"""
