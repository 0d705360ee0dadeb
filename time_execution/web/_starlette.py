"""Our paths as a route of Starlette's, and of FastAPI's: behind the application's own middlewares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.routing import BaseRoute, Match, NoMatchFound

from time_execution.web._asgi import REQUEST
from time_execution.web._asgi_answer import answer
from time_execution.web._route_table import RouteTable, path_below
from time_execution.web.site import LIVE, READING

if TYPE_CHECKING:
    from starlette.datastructures import URLPath

    from time_execution.web._asgi import Receive, Scope, Send
    from time_execution.web.site import Site


class SiteRoute(BaseRoute):
    """Takes the requests for our paths; those that the application has a route of its own for are left to it.

    Args:
        site: Answers them.
        table: Knows the routes of the application.

    Attributes:
        path: One of its paths, for whoever lists the routes of an application.
        name: The same.
        methods: The same.
        include_in_schema: The same; False.
    """

    name = "time_execution"
    methods = frozenset(READING)
    include_in_schema = False

    def __init__(self, site: Site, table: RouteTable) -> None:
        self.path = site.prefix or LIVE
        self._site = site
        self._table = table

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say whether a request is one of ours; and note the scope that the application's routers go by."""
        if scope["type"] != "http":
            return Match.NONE, {}
        passage = scope.get(REQUEST)
        if passage is not None:
            passage.scope = scope  # a middleware in between may have made a copy
        path = path_below(scope) if scope.get("root_path") else scope["path"]
        if path.startswith(self._site.beginnings) and self._site.is_ours(path) and not self._table.has(path):
            return Match.FULL, {}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; not counted among the application's requests."""
        passage = scope.get(REQUEST)
        if passage is not None:
            passage.request.is_counted = False
        await answer(self._site, scope, receive, send, native=Request(scope, receive))

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """Have no name."""
        raise NoMatchFound(name, path_params)
