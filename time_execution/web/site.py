"""`Site`: what is answered at our paths, whatever the framework; adapters only translate requests and responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from time_execution.formats import health
from time_execution.quietlog import QuietLog
from time_execution.web.message import MAX_BODY, Request, Response, plain

if TYPE_CHECKING:
    from time_execution.web.access import Access

LIVE, READY, HEALTH, METRICS = "/livez", "/readyz", "/healthz", "/metrics"

READING = ("GET", "HEAD")
_PROBES = (LIVE, READY, HEALTH)
_NOTHING_CHECKED: Mapping[str, Any] = {"status": health.HEALTHY, "checks": {}}
_log = QuietLog()


class Site:
    """Answers ``/livez``, ``/readyz``, ``/healthz``, ``/metrics`` and everything below the dashboard's prefix.

    The three of health are open to everybody and tell no details, but to those who may see the admin pages, when they
    ask for ``application/health+json``. ``/livez`` answers as long as the process does; the other two are alike, and
    answer 503 when something that the application needs is unhealthy. Thread-safe. Blocks for as long as the dashboard
    reads its store, so an event loop calls it on another thread.

    Args:
        access: Who may see what.
        prefix: Where the dashboard lies, such as ``/admin/monitoring``; None for no dashboard.
        dashboard: Makes what answers below the prefix, at the first request for it.
        health: Returns the report of `Monitor.health`; None where there is nothing to check.
        metrics: Returns body and content type for an ``Accept`` header; None from it when there is nothing to scrape.

    Attributes:
        access: As given.
        prefix: As given, without a slash at its end; None for no dashboard.
        beginnings: What each of our paths begins with, and few others do.
    """

    def __init__(
        self,
        access: Access,
        *,
        prefix: str | None = "/admin/monitoring",
        dashboard: Callable[[], Any] | None = None,
        health: Callable[[], Mapping[str, Any]] | None = None,
        metrics: Callable[[str | None], tuple[bytes, str] | None] | None = None,
    ) -> None:
        self.access = access
        self.prefix = None if prefix is None else prefix.rstrip("/")
        self.beginnings = (*_PROBES, METRICS, *(() if self.prefix is None else (self.prefix,)))
        self._make_dashboard = dashboard
        self._dashboard: Any = None
        self._health = health
        self._metrics = metrics
        self._fixed = dict.fromkeys(_PROBES, self._probe) | {METRICS: self._scrape}

    def is_ours(self, path: str) -> bool:
        """Whether a path is one that `handle` answers at."""
        if path in self._fixed:
            return True
        prefix = self.prefix
        return prefix is not None and (path == prefix or path.startswith(f"{prefix}/"))

    def handle(self, request: Request, *, granted: bool | None = None) -> Response | None:
        """Answer a request; None when its path is not one of ours.

        Args:
            request: Left as it is.
            granted: Whether its sender may see the admin pages, where the caller has asked already; None to ask here.
        """
        if not self.is_ours(request.path):
            return None
        try:
            found = self._answer(request, partial(self._is_granted, request, granted=granted))
        except Exception as exc:  # noqa: BLE001 - whatever it is, nobody out there is told what
            _log.tell(f"site.{type(exc).__name__}", f"a page of time_execution failed: {type(exc).__name__}")
            found = plain(500, "internal error")
        if request.method == "HEAD" and isinstance(found.body, bytes):
            length = [] if _has_length(found) else [("Content-Length", str(len(found.body)))]
            return replace(found, headers=[*found.headers, *length], body=b"")
        return found

    def needs_permission(self, request: Request) -> bool:
        """Whether `auth` has to be asked about a request."""
        path = request.path
        return self.is_ours(path) and (path not in self._fixed or (path in _PROBES and _asks_for_details(request)))

    def is_quick(self, request: Request) -> bool:
        """Whether a request is answered without reading anything, so that an event loop may wait for it."""
        return request.path in _PROBES and not self.needs_permission(request)

    def _answer(self, request: Request, is_granted: Callable[[], bool]) -> Response:
        fixed = self._fixed.get(request.path)
        if fixed is not None:
            if request.method not in READING:
                return plain(405, "method not allowed", ("Allow", ", ".join(READING)))
            return fixed(request, is_granted)
        if not is_granted():
            return plain(403, "forbidden")
        if len(request.body) > MAX_BODY:
            return plain(413, "content too large")
        if self._dashboard is None and self._make_dashboard is not None:
            self._dashboard = self._make_dashboard()
        found: Response | None = None if self._dashboard is None else self._dashboard.handle(request)
        return plain(404, "not found") if found is None else found

    def _is_granted(self, request: Request, *, granted: bool | None) -> bool:
        return self.access.may_see_pages(request) if granted is None else granted

    def _probe(self, request: Request, is_granted: Callable[[], bool]) -> Response:
        is_live = request.path == LIVE
        report = _NOTHING_CHECKED if is_live or self._health is None else self._health()
        # Nobody is asked who may see details when nobody wants any: probes come every few seconds.
        details = _asks_for_details(request) and is_granted()
        status, headers, body = health.answer(
            report,
            request.path.removeprefix("/"),
            accept=request.headers.get("accept", ""),
            details=details,
            verbose="verbose" in request.query,
            exclude=request.query.get("exclude", ()),
        )
        return Response(status, list(headers), body)

    def _scrape(self, request: Request, is_granted: Callable[[], bool]) -> Response:  # noqa: ARG002 - as all answers
        if not self.access.may_scrape(request):
            scheme = self.access.scheme
            if scheme is None:
                return plain(403, "forbidden: metrics are shown to clients on this machine only")
            return plain(401, "a bearer token is needed", ("WWW-Authenticate", scheme))
        found = None if self._metrics is None else self._metrics(request.headers.get("accept"))
        if found is None:
            return plain(503, "there is nothing to scrape: add a PrometheusBackend to the settings")
        body, content_type = found
        return Response(200, [("Content-Type", content_type), ("Cache-Control", "no-store")], body)


def _asks_for_details(request: Request) -> bool:
    return "verbose" in request.query or health.wants_document(request.headers.get("accept", ""))


def _has_length(response: Response) -> bool:
    return any(name.lower() == "content-length" for name, _ in response.headers)
