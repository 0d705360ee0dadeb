"""`Dashboard`: which page, data or file a path stands for. Who may ask for it is decided before, not here."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from time_execution.quietlog import QuietLog
from time_execution.web.dashboard import answer, pages, static
from time_execution.web.dashboard.data import PAGES, Query, QueryError, Store

if TYPE_CHECKING:
    from time_execution.web.message import Request, Response

_READING = ("GET", "HEAD")
_NOT_ALLOWED = 405
_SAYS = {
    404: ("Not found", "There is nothing at this address."),
    405: ("Not possible", "This address can only be read."),
    500: ("No answer", "Something went wrong while this was made. The application's log tells more."),
}


class Dashboard:
    """Answers requests for the dashboard's pages, their data and their files; knows no framework and no user.

    Reads only: no path changes anything. Thread-safe, and fork-safe since nothing is kept open between requests.
    `handle` blocks while the store is read.

    Args:
        store: The path of the metrics database, as `SQLiteBackend` got it; need not be there yet.
        prefix: Where the pages lie, such as ``/admin/monitoring``; "" for the root.
        logs: The folder of the log files; None where there are none to show.
        title: The name of what is watched, shown at the head of each page.
        sign_out: Given a request, returns the token that its sender's form for leaving has to carry; None for no
            such form. The form posts ``token`` to ``logout`` below the prefix, which is the caller's to answer.
        clock: Returns seconds since the epoch.

    Raises:
        MissingExtraError: When Jinja2 is not installed.
    """

    def __init__(
        self,
        store: str,
        *,
        prefix: str = "",
        logs: str | None = None,
        title: str = "Monitoring",
        sign_out: Callable[[Request], str | None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = Store(store, logs=logs)
        self._prefix = prefix.rstrip("/")
        self._shell = pages.Shell(title)
        self._sign_out = sign_out
        self._clock = clock
        self._log = QuietLog()

    def handle(self, request: Request) -> Response | None:
        """Answer a request; None when its path does not lie below the prefix.

        The answer to HEAD is that to GET: whoever sends it leaves out the body.

        Args:
            request: Left as it is.
        """
        if request.path == self._prefix:
            # Relative, as all links are: where the application is mounted does not matter.
            return answer.html(308, "", ("Location", f"{self._prefix.rpartition('/')[2]}/"))
        if not request.path.startswith(f"{self._prefix}/"):
            return None
        path = request.path[len(self._prefix) + 1 :]
        try:
            return self._answer(path, request)
        except Exception as exc:  # noqa: BLE001 - whatever it is, nobody out there is told what
            self._log.tell(type(exc).__name__, f"the dashboard could not answer: {type(exc).__name__}")
            return self._trouble(500, path, request)

    def _answer(self, path: str, request: Request) -> Response:
        if request.method not in _READING:
            return self._trouble(405, path, request)
        if path.startswith("data/"):
            return self._data(path.removeprefix("data/"), request)
        if path.startswith("static/"):
            return static.serve(path.removeprefix("static/"), request) or self._trouble(404, path, request)
        page = pages.find(path)
        if page is None:
            return self._trouble(404, path, request)
        token = None if self._sign_out is None else self._sign_out(request)
        return answer.html(200, self._shell.page(page, token=token))

    def _data(self, name: str, request: Request) -> Response:
        make = PAGES.get(name)
        if make is None:
            return self._trouble(404, "data/", request)
        try:
            found = make(self._store, Query.parse(request.query, now=self._clock()))
        except QueryError as exc:
            return answer.document(400, {"error": str(exc)}, request)
        return answer.document(200, found, request)

    def _trouble(self, status: int, path: str, request: Request) -> Response:
        """Return an answer that says nothing but that there is none."""
        headers = [("Allow", ", ".join(_READING))] if status == _NOT_ALLOWED else []
        heading, sentence = _SAYS[status]
        if path.startswith("data/"):
            return answer.document(status, {"error": sentence}, request, *headers)
        return answer.html(status, self._shell.told(path, heading, sentence), *headers)
