"""`HTTPCheck`: whether a web service answers, and with a status that is expected."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from http.client import HTTPException
from typing import Any, ClassVar
from urllib.parse import SplitResult, urljoin

from time_execution.address_guard import AddressGuard, AnyAddress, Resolver
from time_execution.argument_check import check_counts, check_switches, check_timeouts
from time_execution.exceptions import ConfigurationError
from time_execution.formats.redaction import REDACTOR
from time_execution.monitor.checks.check import Check
from time_execution.monitor.checks.connection import reason_of
from time_execution.monitor.checks.http_request import (
    Answer,
    Asking,
    ask,
    checked_headers,
    context_maker,
    host_text,
    origin_of,
)
from time_execution.monitor.health_outcome import Outcome, failure

_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_EXPECTED = range(200, 400)
_LARGEST_BODY = 1_000_000
_METHODS = ("GET", "HEAD", "OPTIONS", "POST")


class HTTPCheck(Check):
    """Asks a web service for a page, and looks at the status of the answer. The page itself is shown to nobody.

    Proxies of the environment are not used. Thread-safe and fork-safe; each run has a connection of its own.

    Args:
        url: ``http://…`` or ``https://…``; a login in it is sent as basic authentication.
        expected: The statuses that mean that the service works: a number, some, or a `range`. By default 200 to 399.
        timeout: The longest wait for all of it, in seconds; None for the time-out that the check is registered with.
        headers: Sent with the request; not to another server that a redirection leads to.
        method: ``GET``, ``HEAD``, ``OPTIONS`` or ``POST``.
        allow_private: False for a URL that came in through a request: then it may lead to public addresses only, it is
            read strictly, and what its host's name meant when it was checked is what is connected to.
        allow: With ``allow_private=False``, networks that are open all the same, such as ``10.20.0.0/16``.
        redirects: Whether to follow redirections, five at most, each checked as the URL itself; otherwise a redirection
            is an answer like any other.
        max_body: Read so many bytes of the answer at most, up to 1 000 000: a service that promises more than it sends
            does not work.
        verify_certs: Whether to check the certificate. Without, anybody in between may answer.
        ca_certs: The file with the certificates to trust, for an authority of your own.
        resolver: Finds the addresses of a host; by default `socket.getaddrinfo`.

    Raises:
        ConfigurationError: When an argument is wrong, or the URL is not allowed.

    Example:
        >>> HTTPCheck("https://anna:secret@api.example.com/ping?token=x")
        HTTPCheck('https://api.example.com/ping')
    """

    kind: ClassVar[str] = "http"

    def __init__(
        self,
        url: str,
        *,
        expected: Collection[int] | int = _EXPECTED,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        allow_private: bool = True,
        allow: Iterable[str] = (),
        redirects: bool = False,
        max_body: int = 65_536,
        verify_certs: bool = True,
        ca_certs: str | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        check_switches(allow_private=allow_private, redirects=redirects, verify_certs=verify_certs)
        check_counts(least=0, max_body=max_body)
        if max_body > _LARGEST_BODY:
            raise ConfigurationError(f"max_body must be at most {_LARGEST_BODY}, got {max_body}")
        if timeout is not None:
            check_timeouts(timeout=timeout)
        if method not in _METHODS:
            raise ConfigurationError(f"method must be one of {', '.join(_METHODS)}")
        if allow_private and allow:
            raise ConfigurationError("allow is of no use unless allow_private is False")
        addresses = AnyAddress(resolver=resolver) if allow_private else AddressGuard(allow, resolver=resolver)
        context = context_maker(verify_certs=verify_certs, ca_certs=ca_certs)
        self._asking = Asking(method, addresses, context, max_body)
        self._expected = _statuses(expected)
        self._timeout = timeout
        self._redirects = redirects
        parts, own = addresses.check(url), checked_headers(headers)
        self._server = host_text(parts)
        self._shown = REDACTOR.redact_text(f"{parts.scheme}://{self._server}{parts.path}")
        # In a function, where neither `vars` nor a traceback shows what may be secret.
        self._first: Callable[[], tuple[SplitResult, dict[str, str]]] = lambda: (parts, own)

    def probe(self, timeout: float) -> Outcome:
        """Ask, and say what came of it; see `Check.probe`."""
        seconds = timeout if self._timeout is None else min(timeout, self._timeout)
        try:
            status = self._answer(time.monotonic() + seconds).status
        except HTTPException as exc:
            return failure(f"{self._server}: what it answers is not HTTP, or ends too early", type(exc).__name__)
        except (OSError, ValueError) as exc:
            return failure(f"{self._server}: {reason_of(exc)}", type(exc).__name__)
        if status in self._expected:
            return Outcome("healthy", f"it answered {status}")
        return failure(f"{self._server}: it answered {status}")

    def _answer(self, deadline: float) -> Answer:
        parts, headers = self._first()
        first = origin_of(parts)
        for _ in range(_MAX_REDIRECTS + 1):
            answer = ask(self._asking, parts, headers if origin_of(parts) == first else {}, deadline=deadline)
            if not self._redirects or answer.status not in _REDIRECTS or answer.location is None:
                return answer
            parts = self._asking.addresses.check(urljoin(parts.geturl(), answer.location))
        raise ConfigurationError(f"it redirects more than {_MAX_REDIRECTS} times")

    def __repr__(self) -> str:
        """Show the URL without login and query."""
        return f"{type(self).__name__}({self._shown!r})"


def _statuses(expected: Any) -> frozenset[int]:
    try:
        found = frozenset((expected,) if type(expected) is int else expected)
    except TypeError:
        found = frozenset()
    if not found or not all(type(status) is int and 100 <= status < 600 for status in found):  # noqa: PLR2004 - HTTP's
        raise ConfigurationError("expected must be statuses from 100 to 599, such as range(200, 400) or (200, 204)")
    return found
