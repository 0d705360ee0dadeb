"""Signing in and out, where no application says who may see the pages: one password, sessions, and checked forms."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlencode

from time_execution.web.dashboard import answer

if TYPE_CHECKING:
    from time_execution.web.dashboard.pages import Shell
    from time_execution.web.dashboard.password import Password
    from time_execution.web.dashboard.sessions import Lockout, Session, Sessions
    from time_execution.web.message import Request, Response

LOGIN, LOGOUT = "/login", "/logout"
_READING = {"GET", "HEAD"}
_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 10
_LONGEST_ADDRESS = 2000
_COOKIE, _FORM_COOKIE = "time-execution", "time-execution-form"
# What stands for itself in the address to go to; all else is written as its bytes.
_SAFE = "/?&=%:@!$'()*+,;~-._"


class Login:
    """Answers ``/login`` and ``/logout``, and tells whose a request is. Thread-safe.

    Args:
        password: What is asked for.
        shell: Makes the page.
        sessions: Who is signed in.
        lockout: Who has to wait.
    """

    def __init__(self, password: Password, shell: Shell, *, sessions: Sessions, lockout: Lockout) -> None:
        self._password, self._shell = password, shell
        self._sessions, self._lockout = sessions, lockout
        self._key = secrets.token_bytes(32)

    def session(self, request: Request) -> Session | None:
        """Return the session that a request belongs to; None for nobody's."""
        key = _cookie(request, _COOKIE)
        return self._sessions.find(key) if key else None

    def handle(self, request: Request) -> Response | None:
        """Answer a request; None when it is for another path."""
        if request.path == LOGIN and request.method == "POST":
            return self._enter(request)
        if request.path == LOGIN and request.method in _READING:
            return self._ask(request, onward=_last(request.query.get("next")))
        if request.path == LOGIN:
            return answer.html(405, self._told(405), ("Allow", "GET, HEAD, POST"))
        if request.path == LOGOUT:
            return self._leave(request)
        return None

    def to_login(self, request: Request) -> Response:
        """Send the browser to the form, and from there back to what it asked for."""
        query = urlencode([(name, each) for name, values in request.query.items() for each in values])
        onward = request.path + (f"?{query}" if query else "")
        return answer.html(303, "", ("Location", f"{request.mount}{LOGIN}?{urlencode({'next': onward})}"))

    def _ask(self, request: Request, *, onward: str, status: int = 200, problem: str = "", wait: float = 0) -> Response:
        known = _cookie(request, _FORM_COOKIE)
        key = known or secrets.token_urlsafe(32)
        page = self._shell.login(token=self._token(key), onward=_safe(onward), problem=problem)
        headers = [("Retry-After", str(math.ceil(wait)))] if wait else []
        if not known:
            headers.append(_set(request, _FORM_COOKIE, key, strict=True))
        return answer.html(status, page, *headers)

    def _enter(self, request: Request) -> Response:
        form = _form(request)
        onward = form.get("next", "")
        key = _cookie(request, _FORM_COOKIE)
        is_ours = bool(key) and hmac.compare_digest(self._token(key).encode(), form.get("token", "").encode())
        if not is_ours or not _is_same_site(request):
            return self._ask(request, onward=onward, status=403, problem="The form was too old. Please try again.")
        client = request.client or ""
        wait = self._lockout.admit(client)
        if wait > 0:
            problem = f"Too many wrong passwords. Please wait {math.ceil(wait / 60)} minutes."
            return self._ask(request, onward=onward, status=429, problem=problem, wait=wait)
        if not self._password.is_right(form.get("password", "")):
            return self._ask(request, onward=onward, status=403, problem="This password is not right.")
        self._lockout.forgive(client)
        self._sessions.close(_cookie(request, _COOKIE))
        opened = _set(request, _COOKIE, self._sessions.open())
        return answer.html(303, "", ("Location", request.mount + _safe(onward)), opened, _unset(request, _FORM_COOKIE))

    def _leave(self, request: Request) -> Response:
        if request.method != "POST":
            return answer.html(405, self._told(405), ("Allow", "POST"))
        session = self.session(request)
        sent = _form(request).get("token", "")
        if session is None:
            return answer.html(303, "", ("Location", request.mount + LOGIN))
        if not hmac.compare_digest(session.token.encode(), sent.encode()) or not _is_same_site(request):
            return answer.html(403, self._told(403))
        self._sessions.close(_cookie(request, _COOKIE))
        return answer.html(303, "", ("Location", request.mount + LOGIN), _unset(request, _COOKIE))

    def _told(self, status: int) -> str:
        sentences = {403: "That did not come from a page of this dashboard.", 405: "This can only be done by its form."}
        return self._shell.told("logout", "Not possible", sentences[status])

    def _token(self, key: str) -> str:
        """Return what proves that a form was made here for the browser that has this cookie."""
        return hmac.new(self._key, key.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _is_same_site(request: Request) -> bool:
    """Whether the browser, if it says so, sent a request from a page of this very host."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    return origin is None or origin.lower() in {f"http://{host.lower()}", f"https://{host.lower()}"}


def _safe(onward: str) -> str:
    """Return where to go after signing in: a path of ours, or else the overview."""
    # Browsers read a backslash as a slash, and pass over control characters: two slashes begin the name of a host.
    is_path = onward.startswith("/") and not onward.startswith("//") and "\\" not in onward and onward.isprintable()
    is_asked_for = onward.partition("?")[0] not in {LOGIN, LOGOUT} and len(onward) <= _LONGEST_ADDRESS
    return quote(onward, safe=_SAFE) if is_path and is_asked_for else "/"


def _form(request: Request) -> dict[str, str]:
    """Return the last value of each field that was sent; nothing when it is no form."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        return {}
    try:
        fields = parse_qs(request.body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in fields.items()}


def _last(values: list[str] | None) -> str:
    return values[-1] if values else ""


def _cookie(request: Request, name: str) -> str:
    # Cookies of other applications on this host come along; the way of the library stops at the first odd one.
    wanted = _named(request, name)
    pairs = (each.strip().partition("=") for each in request.headers.get("cookie", "").split(";"))
    return next((value for key, _, value in pairs if key == wanted), "")


def _set(request: Request, name: str, value: str, *, strict: bool = False) -> tuple[str, str]:
    site = "Strict" if strict else "Lax"
    return "Set-Cookie", f"{_named(request, name)}={value}; {_attributes(request)}; SameSite={site}"


def _unset(request: Request, name: str) -> tuple[str, str]:
    return "Set-Cookie", f"{_named(request, name)}=; {_attributes(request)}; SameSite=Lax; Max-Age=0"


def _named(request: Request, name: str) -> str:
    """Return a cookie's name; over HTTPS one that no other host of the domain can set."""
    return f"__Host-{name}" if request.scheme == "https" else name


def _attributes(request: Request) -> str:
    return "Path=/; HttpOnly" + ("; Secure" if request.scheme == "https" else "")
