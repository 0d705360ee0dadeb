"""Who may see what: nobody, unless the application says so. All decisions about access are made here."""

from __future__ import annotations

import hmac
import inspect
import ipaddress
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from time_execution.config import expect
from time_execution.guard import faults
from time_execution.quietlog import QuietLog
from time_execution.signature import shape_of

if TYPE_CHECKING:
    from time_execution.web.message import Request

Auth: TypeAlias = Callable[[Any], object]
"""Takes the framework's own request, and says whether its sender may see the admin pages: only True grants."""

MetricsAccess: TypeAlias = Literal["loopback", "open"]

_WAYS = get_args(MetricsAccess)
# Whoever sends one of these, or any that begins with `_FORWARDED`, speaks for somebody else, who may be elsewhere.
_PROXY_HEADERS = (
    *("forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-original-forwarded-for"),
    *("cf-connecting-ip", "fly-client-ip", "true-client-ip", "x-envoy-external-address"),
)
_FORWARDED = "x-forwarded"
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::[0-9]*)?", re.IGNORECASE)
_SHORTEST_TOKEN = 8
_log = QuietLog()


class Access:
    """Decides for each request. Immutable and thread-safe; waits for nothing but `auth`.

    Args:
        auth: Says who may see the admin pages and the details of health; without one nobody may. What it raises, and
            any answer but True, is a refusal.
        metrics: Who may read ``/metrics``: ``loopback`` for clients on this machine that ask it by a name of its own
            and that no proxy speaks for, or ``open`` for everybody. A proxy on this machine that adds none of the usual
            headers, and asks so, too, looks like a client.
        metrics_token: Whoever sends it as a bearer token may read ``/metrics``, and then nobody else; kept out of
            ``repr``.

    Attributes:
        is_async: Whether `auth` is to be awaited, by `ask`.

    Raises:
        ConfigurationError: When an argument is wrong, or a token comes with ``open``.
    """

    def __init__(
        self, *, auth: Auth | None = None, metrics: MetricsAccess = "loopback", metrics_token: str | None = None
    ) -> None:
        is_right = auth is None or callable(auth)
        expect("a function that takes the framework's request", auth, where="auth", is_right=is_right)
        wanted = " or ".join(repr(way) for way in _WAYS)
        expect(wanted, metrics, where="metrics_access", is_right=metrics in _WAYS, is_word=True)
        token: object = metrics_token
        is_right = token is None or (isinstance(token, str) and len(token) >= _SHORTEST_TOKEN)
        wanted = f"a text of at least {_SHORTEST_TOKEN} characters"
        expect(wanted, metrics_token, where="metrics_token", is_right=is_right)
        is_right = metrics_token is None or metrics != "open"
        expect("no token where metrics_access is 'open'", metrics_token, where="metrics_token", is_right=is_right)
        self.is_async = auth is not None and shape_of(auth) == "coroutine"
        self._auth = auth
        self._is_open = metrics == "open"
        self._bearer = None if metrics_token is None else f"Bearer {metrics_token}".encode()

    def may_see_pages(self, request: Request) -> bool:
        """Whether `auth` says True of this request; False without one, when it raises, or when it is to be awaited."""
        if self._auth is None:
            return False
        try:
            answer = self._auth(request.native)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is no permission
            return _refusal(exc)
        if inspect.iscoroutine(answer):
            answer.close()  # an asynchronous function behind a plain one: nobody here can wait for it
        return answer is True

    async def ask(self, request: Request) -> bool:
        """Do what `may_see_pages` does, awaiting `auth` where it is asynchronous."""
        if self._auth is None:
            return False
        try:
            answer = self._auth(request.native)
            if inspect.isawaitable(answer):
                answer = await answer
        except Exception as exc:  # noqa: BLE001 - as above
            return _refusal(exc)
        return answer is True

    def may_scrape(self, request: Request) -> bool:
        """Whether this request may read ``/metrics``."""
        if self._bearer is not None:
            given = request.headers.get("authorization", "").encode("utf-8", "replace")
            return hmac.compare_digest(given, self._bearer)
        return self._is_open or is_local(request)

    @property
    def scheme(self) -> str | None:
        """How a client shows who it is to `may_scrape`: ``Bearer``, or None where nothing that it sends would help."""
        return None if self._bearer is None else "Bearer"


def is_local(request: Request) -> bool:
    """Whether a request comes from this machine, for this machine, and from nobody who speaks for another one.

    Example:
        >>> from time_execution.web.message import Request
        >>> is_local(Request("GET", "/", client="127.0.0.1")), is_local(Request("GET", "/", client="192.0.2.7"))
        (True, False)
        >>> is_local(Request("GET", "/", client="127.0.0.1", headers={"x-forwarded-for": "127.0.0.1"}))
        False
        >>> is_local(Request("GET", "/", client="127.0.0.1", headers={"host": "shop.example"}))
        False
    """
    headers = request.headers
    if request.client is None or any(name.startswith(_FORWARDED) or name in _PROXY_HEADERS for name in headers):
        return False
    return _is_loopback(request.client) and _names_this_machine(headers.get("host"))


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def _names_this_machine(host: str | None) -> bool:
    """Whether a request was meant for this machine, by the name that it has in the URL; where it tells none, it was.

    Another name is that of a site whose page a browser here was sent to us by (DNS rebinding), or that a proxy here
    passes on whose own headers the server took away, as Waitress does with those that it was not told to trust.
    """
    if host is None:
        return True
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = (found[1] or found[2]).lower()
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def _refusal(exc: Exception) -> bool:
    """Count and log what an `auth` raised: it may mean to refuse, and it may be broken."""
    error = type(exc).__name__
    faults.count("hook", "auth", error)
    _log.tell(f"auth.{error}", f"auth raised {error}; the request is refused")
    return False
