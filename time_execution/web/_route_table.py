"""Which template a request was routed by, in applications whose routes are Starlette's: found once for each endpoint.

Starlette tells the endpoint that it chose, but not the template as a whole, of which each `Mount` and each included
router knows a part. So the routes are walked; where one endpoint has several templates, the path says which it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from time_execution.monitor.requests import OTHER, UNMATCHED

_PARAMETER = re.compile(r"{([a-zA-Z_][a-zA-Z0-9_]*)(:[a-zA-Z_][a-zA-Z0-9_]*)?}")
_ANY_PATH = ":path"
_BELOW = "/{path}"
_DEEPEST = 20  # an application may be mounted below itself
_MOST_LOOKS = 100


class _Template(NamedTuple):
    """A template, and what a path looks like that fits it."""

    text: str
    pattern: re.Pattern[str]


class RouteTable:
    """The templates of an application's routes, by endpoint. Thread-safe.

    Routes that are added later are found, too, by the first request for one; not any more when a hundred looks were in
    vain, as where endpoints are made anew for each request.

    Args:
        app: The application, or a middleware around it.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._known: dict[int, tuple[Any, list[_Template]]] = {}
        self._looks_left = _MOST_LOOKS
        self._has_routes = False
        self._is_read = False

    def route_of(self, scope: Mapping[str, Any], path: str) -> str:
        """Return the template that a request was routed by.

        It is ``(unmatched)`` when no route took it, and ``(other)`` when that cannot be told.

        Args:
            scope: The request's scope, after the application was called.
            path: The path below the application.
        """
        endpoint = scope.get("endpoint")
        if endpoint is None:
            if not self._is_read:
                self._read()
            return UNMATCHED if self._has_routes else OTHER
        entry = self._known.get(id(endpoint))
        if entry is None or entry[0] is not endpoint:
            entry = self._find(endpoint)
            if entry is None:
                return OTHER
        templates = entry[1]
        if len(templates) == 1:
            return templates[0].text
        return next((template.text for template in templates if template.pattern.fullmatch(path)), OTHER)

    def has(self, path: str) -> bool:
        """Return whether a route of the application has just this path as its template, or an application is there."""
        own = {path, f"{path}/", f"{path}{_BELOW}"}  # asked for without its slash, Starlette leads to it
        return any(text in own for _, text in templates_of(_routes_of(self._app)))

    def _find(self, endpoint: Any) -> tuple[Any, list[_Template]] | None:
        if self._looks_left <= 0:
            return None
        self._read()
        found = self._known.get(id(endpoint))
        self._looks_left -= found is None
        return found

    def _read(self) -> None:
        found: dict[int, tuple[Any, list[_Template]]] = {}
        for target, text in templates_of(_routes_of(self._app)):
            found.setdefault(id(target), (target, []))[1].append(_Template(text, _pattern(text)))
        self._known, self._has_routes, self._is_read = found, bool(found), True


def templates_of(routes: Iterable[Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[Any, str]]:
    """Yield endpoint and whole template of each route that answers itself.

    Args:
        routes: Of an application.
        prefix: What all their templates begin with.
        depth: How many applications they are below.
    """
    for route in routes if depth <= _DEEPEST else ():
        included = getattr(route, "effective_route_contexts", None)  # of a router that FastAPI includes
        if callable(included):
            for context in included():
                yield from templates_of((getattr(context, "starlette_route", None) or context,), prefix, depth + 1)
            continue
        template = f"{prefix}{getattr(route, 'path', '')}"  # a Host has no path
        endpoint, below = getattr(route, "endpoint", None), getattr(route, "routes", None)
        app = getattr(route, "app", None)
        if endpoint is not None:
            yield endpoint, template or "/"
        elif below:
            yield from templates_of(below, template, depth + 1)
            yield app, UNMATCHED  # which is the endpoint while nothing below it matched
        elif app is not None:  # files, or an application of another kind
            yield app, f"{template}{_BELOW}"


def path_below(scope: Mapping[str, Any]) -> str:
    """Return the path of a request below the place where the application at hand is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] or "/" if root and (path == root or path.startswith(f"{root}/")) else path


def _routes_of(app: Any) -> Iterable[Any]:
    """Return the routes of an application, through the middlewares around it."""
    for _ in range(_DEEPEST):
        routes = getattr(app, "routes", None)
        if isinstance(routes, (list, tuple)):
            return routes
        app = getattr(app, "app", None)
    return ()


def _pattern(template: str) -> re.Pattern[str]:
    """Return what paths look like that fit a template; parameters of all kinds but ``path`` are taken for alike."""
    parts, position = [], 0
    for match in _PARAMETER.finditer(template):
        parts += [re.escape(template[position : match.start()]), ".*" if match[2] == _ANY_PATH else "[^/]+"]
        position = match.end()
    return re.compile("".join([*parts, re.escape(template[position:])]))
