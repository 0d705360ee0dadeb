"""The dashboard as an application of its own, for any WSGI server, with the access that no framework looks after."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from time_execution.quietlog import QuietLog
from time_execution.web.dashboard import answer, pages
from time_execution.web.dashboard.login import Login
from time_execution.web.dashboard.sessions import Lockout, Session, Sessions
from time_execution.web.dashboard.site import Dashboard
from time_execution.web.message import MAX_BODY, Request, Response, plain

if TYPE_CHECKING:
    from time_execution.web.dashboard.password import Password

_MOST_PARAMETERS = 100
_MISDIRECTED = "This dashboard has no password, so it answers only to the names of this machine, such as localhost."
_log = QuietLog()
_PHRASES = {200: "OK", 303: "See Other", 304: "Not Modified", 308: "Permanent Redirect", 400: "Bad Request"}
_PHRASES |= {401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed"}
_PHRASES |= {413: "Content Too Large", 421: "Misdirected Request", 429: "Too Many Requests"}
_PHRASES |= {500: "Internal Server Error"}


class Standalone:
    """A WSGI application that serves the dashboard at ``/``. Thread-safe.

    With a password, everything but the form to sign in and the files of its looks is behind it. Without one, whoever
    reaches it sees everything, so it answers to names of the loopback interface only: a page of another site that
    had its own name point here would be refused.

    Args:
        store: The path of the metrics database.
        logs: The folder of the log files; None for none.
        title: The name of what is watched.
        password: What visitors are asked for; None for nothing.
        sessions: Who is signed in; by default a new `Sessions`.
        lockout: Who has to wait; by default a new `Lockout`.

    Raises:
        MissingExtraError: When Jinja2 is not installed.
    """

    def __init__(
        self,
        store: str,
        *,
        logs: str | None = None,
        title: str = "Monitoring",
        password: Password | None = None,
        sessions: Sessions | None = None,
        lockout: Lockout | None = None,
    ) -> None:
        self._login = None
        if password is not None:
            self._login = Login(
                password,
                pages.Shell(title),
                sessions=Sessions() if sessions is None else sessions,
                lockout=Lockout() if lockout is None else lockout,
            )
        sign_out = None if password is None else _token
        self._dashboard = Dashboard(store, logs=logs, title=title, sign_out=sign_out)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request, as WSGI has it."""
        return wsgi(self.handle)(environ, start_response)

    def handle(self, request: Request) -> Response:
        """Answer a request.

        Args:
            request: Left as it is.
        """
        if self._login is None:
            if not _names_loopback(request.headers.get("host", "")):
                return plain(421, _MISDIRECTED)
            return self._answered(request)
        found = self._login.handle(request)
        if found is not None:
            return found
        session = self._login.session(request)
        if session is not None or request.path.startswith("/static/"):
            return self._answered(replace(request, user=session))
        if request.path.startswith("/data/"):
            return answer.document(401, {"error": "You are not signed in."}, request)
        return self._login.to_login(request)

    def _answered(self, request: Request) -> Response:
        return self._dashboard.handle(request) or plain(404, "not found")


def wsgi(handle: Callable[[Request], Response]) -> Callable[..., Iterable[bytes]]:
    """Return a WSGI application that answers with what a function makes of each request.

    Args:
        handle: Whatever it raises is told to the log, and to nobody else.
    """

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = _request(environ)
        try:
            found = plain(413, "too long") if request is None else handle(request)
        except Exception as exc:  # noqa: BLE001 - whatever it is, nobody out there is told what
            _log.tell(type(exc).__name__, f"the dashboard could not answer: {type(exc).__name__}")
            found = plain(500, "something went wrong here")
        body = found.body if isinstance(found.body, bytes) else b"".join(found.body)
        headers = [*found.headers, ("Content-Length", str(len(body)))]
        start_response(f"{found.status} {_PHRASES.get(found.status, '')}", headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    return application


def is_loopback(host: str) -> bool:
    """Whether an address, or the name ``localhost``, is reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False


def _names_loopback(header: str) -> bool:
    """Whether the ``Host`` that a browser asked for is one of this machine, whatever the port."""
    host = header[: header.find("]") + 1] if header.startswith("[") else header.partition(":")[0]
    return is_loopback(host)


def _token(request: Request) -> str | None:
    return request.user.token if isinstance(request.user, Session) else None


def _request(environ: dict[str, Any]) -> Request | None:
    """Return what a request asks; None when it is too long to be looked at."""
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > MAX_BODY:
        return None
    try:
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        return None
    return Request(
        environ["REQUEST_METHOD"],
        # WSGI hands the bytes of a path over as if they were Latin-1.
        environ.get("PATH_INFO", "/").encode("latin-1", "replace").decode("utf-8", "replace") or "/",
        query,
        headers,
        body=environ["wsgi.input"].read(int(length)) if int(length) else b"",
        client=environ.get("REMOTE_ADDR"),
        scheme=environ.get("wsgi.url_scheme", "http"),
    )
